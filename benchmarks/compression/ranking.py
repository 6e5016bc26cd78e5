"""How well can candidates be told apart before they are trained? Rank correlation to a longer training, and seconds of each.

    python -m benchmarks.compression.ranking [--task cifar] [--tasks DIR] [--candidates 10] [--steps 1200]

A small residual network is trained on small images (or on the digits of the demo), candidates with and without blocks are
filled to two budgets, and each is judged in several ways and then trained with the original as its teacher: the same number of
steps for all.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.compression.tasks_image import augment, cached
from compressor.costs import Configuration
from compressor.data import Data, take
from compressor.export import tensorflow
from compressor.graph import cut
from compressor.pipeline.prepare import prepare
from compressor.search import Goal
from compressor.training import Options, Schedule, strongest
from compressor.training.reconstruction import Reconstruction
from compressor.training.supernet import Supernet
from timemodel.model import TimeModel

BUDGETS = (0.3, 0.15)
SIZE = 16


def main() -> None:
    """Train, judge, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--task", choices=("cifar", "digits"), default="cifar")
    parser.add_argument("--tasks", type=Path, default=Path("shared/data/tasks"))
    parser.add_argument("--work", type=Path, default=Path("ranking"))
    parser.add_argument("--time-model", type=Path, required=True)
    parser.add_argument("--candidates", type=int, default=10)
    parser.add_argument("--steps", type=int, default=1200, help="of the longer training")
    parser.add_argument(
        "--short", type=int, default=150, help="of the short fine-tuning, and of the supernet"
    )
    parser.add_argument("--original", type=int, default=2500, help="of the original")
    parser.add_argument("--rows", type=int, default=8000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    tensorflow()
    data = digits() if args.task == "digits" else images(args.tasks, args.work, args.rows, args.seed)
    path = args.work / f"{args.task}_{args.original}_{args.seed}.keras"
    if not path.exists():
        original(data, args.original, args.seed).save(path)
    model = TimeModel.load(args.time_model)
    prepared = prepare(path, data, model, "none", None, None, "taylor", args.seed, Options(), lambda *_: None)
    print(f"original: {prepared.original.score:.4f} at {prepared.original.predicted_ms:.4g} ms", flush=True)
    chosen = candidates(prepared, args.candidates)
    judged: dict[str, list[float]] = {}
    seconds: dict[str, float] = {}
    for name, judge in ways(prepared, args.short, args.seed):
        started = time.monotonic()
        judged[name] = [judge(one) for one in chosen]
        seconds[name] = (time.monotonic() - started) / len(chosen)
        print(f"{name}: {' '.join(f'{value:.3f}' for value in judged[name])}", flush=True)
    trained = [trained_score(prepared, one, args.steps, args.seed)[0] for one in chosen]
    print(f"\n{'removed':>8s}{'budget':>8s}{'after':>8s}")
    for (configuration, share), score in zip(chosen, trained, strict=True):
        print(f"{len(configuration.removed):8d}{share:8.2f}{score:8.3f}")
    print(f"\n{'judged by':34s}{'rank correlation':>18s}{'within a budget':>18s}{'s each':>9s}")
    budgets = [share for _, share in chosen]
    for name, values in judged.items():
        inside = [
            spearman([v for v, b in zip(values, budgets, strict=True) if b == budget],
                     [t for t, b in zip(trained, budgets, strict=True) if b == budget])
            for budget in BUDGETS
        ]  # fmt: skip
        print(f"{name:34s}{spearman(values, trained):18.2f}{np.mean(inside):18.2f}{seconds[name]:9.2f}")


def images(tasks: Path, work: Path, rows: int, seed: int) -> Data:
    """Some of the images at a quarter of their pixels, mirrored and shifted while training."""
    arrays = cached(tasks, work)
    order = np.random.default_rng(seed).permutation(len(arrays["x_train"]))

    def small(x: NDArray[Any]) -> NDArray[np.float32]:
        pooled = x.astype(np.float32).reshape(len(x), SIZE, 2, SIZE, 2, 3).mean(axis=(2, 4))
        return (pooled - 127.5) / 64

    train, held = order[:rows], order[rows : rows + 1500]
    labels = arrays["y_train"]
    return Data(
        x=small(arrays["x_train"][train]), y=labels[train],
        x_val=small(arrays["x_train"][held]), y_val=labels[held],
        x_test=small(arrays["x_test"][:500]), y_test=arrays["y_test"][:500], augment=augment,
    )  # fmt: skip


def digits() -> Data:
    """The digits of the demo."""
    from edgetime.demo import load_digits

    return load_digits()


def original(data: Data, steps: int, seed: int) -> Any:
    """A residual network of three stages of two blocks, trained."""
    import keras
    from keras import layers

    from compressor.training import FineTuner, task_of

    keras.utils.set_random_seed(seed)
    x = source = keras.Input(data.x.shape[1:])
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(16, 3, padding="same", use_bias=False)(x)))
    for width in (16, 32, 64):
        for block in range(3):
            stride = 2 if block == 0 and width > 16 else 1
            y = layers.Conv2D(width, 3, strides=stride, padding="same", use_bias=False)(x)
            y = layers.ReLU()(layers.BatchNormalization()(y))
            y = layers.Conv2D(width, 3, padding="same", use_bias=False)(y)
            y = layers.BatchNormalization()(y)
            if x.shape[-1] != width:
                x = layers.BatchNormalization()(layers.Conv2D(width, 1, strides=stride, use_bias=False)(x))
            x = layers.ReLU()(layers.Add()([x, y]))
    model = keras.Model(source, layers.Dense(10)(layers.GlobalAveragePooling2D()(x)))
    schedule = Schedule(
        epochs=max(1, steps * 64 // len(data.x)), batch_size=64, learning_rate=3e-3, alpha=0.0
    )
    FineTuner(task_of(model, data)).fit(model, schedule, seed)
    return model


def candidates(prepared: Any, count: int) -> list[tuple[Configuration, float]]:
    """Structures with and without blocks, each filled evenly and by importance, at each of the budgets."""
    from compressor.pipeline.prepare import Evaluator, search_problem
    from compressor.search.structure import Filled, structures_of

    found = []
    whole_ms = prepared.original.predicted_ms
    for share in BUDGETS:
        goal = Goal(budget_ms=share * whole_ms)
        problem = search_problem(prepared, goal, Evaluator(prepared, Schedule(), 0), 0, None)
        row = []
        for full in structures_of(problem, 5):
            filled = Filled(problem, full)
            row += [filled.evenly(share * whole_ms), filled.by_importance(share * whole_ms)]
        able = list(dict.fromkeys(one for one in row if one is not None))
        picked = np.unique(np.linspace(0, len(able) - 1, count // len(BUDGETS)).round().astype(int))
        found += [(able[i], share) for i in picked]
    return found


def ways(
    prepared: Any, short: int, seed: int
) -> Iterator[tuple[str, Callable[[tuple[Configuration, float]], float]]]:
    """How candidates are judged: a name, and a function from a candidate to a number, higher is better."""
    from compressor.pipeline.prepare.quick import QuickLoss

    quick = QuickLoss(prepared)
    yield "inherited weights", lambda one: -quick(one[0])
    again = QuickLoss(prepared, reconstructs=True)
    yield "the same, least squares", lambda one: -again(one[0])
    shared = QuickLoss(prepared)
    started = time.monotonic()
    train_supernet(shared.supernet, prepared, short, 1e-3, seed)
    print(f"supernet: {short} steps in {time.monotonic() - started:.1f} s", flush=True)
    yield f"supernet, {short} steps", lambda one: -shared(one[0])
    yield f"fine-tuned, {short} steps", lambda one: trained_score(prepared, one, short, seed)[0]
    yield "the same by its loss", lambda one: -trained_score(prepared, one, short, seed)[1]
    yield "least squares, fine-tuned", lambda one: trained_score(prepared, one, short, seed, True)[0]
    yield "the same by its loss (2)", lambda one: -trained_score(prepared, one, short, seed, True)[1]


_known: dict[Any, tuple[float, float]] = {}


def trained_score(
    prepared: Any, one: tuple[Configuration, float], steps: int, seed: int, solved: bool = False
) -> tuple[float, float]:
    """Validation score and loss after so many steps."""
    key = (one[0], steps, solved)
    if key not in _known:
        configuration = one[0]
        model = prepared.build(configuration)
        if solved:
            structure = prepared.structures.of(configuration)
            widths = {name: configuration.widths[name] for name in structure.graph.groups}
            keep = strongest(prepared.importance, widths)
            rows = take(prepared.task.data.x, slice(0, 256))
            weights = Reconstruction(structure.model, structure.graph, rows).weights(keep)
            model = cut(structure.model, keep, structure.graph, weights)
        rows = len(prepared.task.data.x)
        schedule = Schedule(epochs=max(1, -(-steps * 64 // rows)), batch_size=64, learning_rate=3e-3,
                            most_rows=min(rows, steps * 64))  # fmt: skip
        outcome = prepared.tuner.fit(model, schedule, seed)
        _known[key] = outcome.score, outcome.loss
    return _known[key]


def train_supernet(supernet: Supernet, prepared: Any, steps: int, rate: float, seed: int) -> None:
    """Sandwich rule: the whole, the least and two random ones each step; the whole teaches the others."""
    import tensorflow as tf

    from compressor.training.shape import make_adam

    task, data = prepared.task, prepared.task.data
    variables = supernet.model.trainable_variables
    optimizer = make_adam(rate)
    optimizer.build(variables)
    rng = np.random.default_rng(seed)
    blocks = list(prepared.structures.blocks)

    @tf.function(reduce_retracing=True, autograph=False)
    def step(rows: Any, labels: Any, switches: Any) -> Any:
        with tf.GradientTape() as tape:
            taught = supernet(rows, *switches[0])
            loss = task.loss(labels, taught)
            for masks, gates in switches[1:]:
                outputs = supernet(rows, masks, gates)
                loss += task.distance(outputs, tf.stop_gradient(taught), 1.0) + 0.3 * task.loss(
                    labels, outputs
                )
        gradients = tape.gradient(loss, [v.value for v in variables])
        optimizer.apply(
            [tf.zeros_like(v) if g is None else g for g, v in zip(gradients, variables, strict=True)],
            variables,
        )
        return loss

    def random_one(share: float | None) -> Any:
        shares = rng.uniform(0.2, 1.0) if share is None else share
        widths = {n: max(1, round(w * shares)) for n, w in prepared.graph.widths.items()}
        removed = [name for name in blocks if rng.random() < rng.uniform(0, 0.6)] if share is None else []
        return supernet.switches(strongest(prepared.importance, widths), removed)

    for _ in range(steps):
        chosen = rng.choice(len(data.x), 64, replace=False)
        rows = data.augmented(take(data.x, chosen))
        step(
            rows,
            take(data.y, chosen),
            [supernet.switches({}), random_one(0.25), *(random_one(None) for _ in range(2))],
        )


def spearman(first: list[float], second: list[float]) -> float:
    """Rank correlation."""
    ranks = [np.argsort(np.argsort(values)).astype(float) for values in (first, second)]
    return float(np.corrcoef(*ranks)[0, 1])


if __name__ == "__main__":
    main()
