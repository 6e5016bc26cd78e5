"""How well can candidates be told apart before they are trained? Rank correlation to a longer training, and seconds of each.

    python -m benchmarks.compression.ranking [--task cifar] [--tasks DIR] [--candidates 10] [--steps 1200]

A small residual network is trained on small images (or on the digits of the demo), candidates with and without blocks are
filled to two budgets, and each is judged in several ways and then trained with the original as its teacher: the same number of
steps for all.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from benchmarks.compression.supernet_widths import train_supernet
from benchmarks.compression.tasks_image import augment, cached
from compressor.costs import Configuration
from compressor.data import Data
from compressor.export import tensorflow
from compressor.graph import cut
from compressor.pipeline.prepare import Evaluator, prepare, search_problem
from compressor.pipeline.prepare.quick import QuickLoss
from compressor.search import Goal
from compressor.search.structure import Filled, structures_of
from compressor.training import FineTuner, Options, Schedule, strongest, task_of
from edgetime.demo import load_digits
from profiler.records import Records
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
    parser.add_argument(
        "--minutes", type=float, default=1e6, help="after which it stops; it goes on next time"
    )
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    tensorflow()
    data = digits() if args.task == "digits" else images(args.tasks, args.work, args.rows, args.seed)
    path = args.work / f"{args.task}_{args.original}_{args.seed}.keras"
    if not path.exists():
        original(data, 2 if args.task == "digits" else 3, args.original, args.seed).save(path)
    model = TimeModel.load(args.time_model)
    prepared = prepare(path, data, model, "none", None, None, "taylor", args.seed, Options(), lambda *_: None)
    print(f"original: {prepared.original.score:.4f} at {prepared.original.predicted_ms:.4g} ms", flush=True)
    chosen = candidates(prepared, args.candidates)
    keep = Kept(args, time.monotonic() + 60 * args.minutes)
    judged = {
        name: [keep(name, one, judge) for one in chosen]
        for name, judge in ways(prepared, args.short, args.seed).items()
    }
    trained = [
        keep("trained", one, lambda c: trained_score(prepared, c, args.steps, args.seed, True))[:2]
        for one in chosen
    ]
    report(chosen, judged, trained)


Chosen = tuple[Configuration, float]
"""A candidate, and the share of the original's time that it was filled to."""

Judged = tuple[tuple[float, ...], float]
"""What a way to judge found of a candidate, and its seconds."""


class Kept:
    """What was found out, in a file: a run that is stopped goes on where it was."""

    def __init__(self, args: argparse.Namespace, deadline: float) -> None:
        signature = [args.task, args.original, args.short, args.steps, args.rows, args.seed]
        self._records = Records(args.work / f"ranking_{args.task}.jsonl", signature)
        self._known = {(row["way"], row["key"]): row["found"] for row in self._records.read()}
        self._deadline = deadline
        self.seconds: dict[str, float] = {}

    def __call__(self, way: str, one: Chosen, judge: Callable[[Configuration], tuple[float, ...]]) -> Any:
        """What a way to judge gives of a candidate, with the seconds that it took behind it."""
        key = way, one[0].key
        if key not in self._known:
            if time.monotonic() > self._deadline:
                raise SystemExit("Time is up; the same command goes on.")
            started = time.monotonic()
            found = [*judge(one[0]), time.monotonic() - started]
            self._records.append({"way": way, "key": one[0].key, "found": found})
            self._known[key] = found
        return self._known[key]


def report(chosen: list[Chosen], judged: dict[str, list[list[float]]], trained: list[list[float]]) -> None:
    """Print the candidates, and how each way to judge ranks them."""
    print(f"\n{'removed':>8s}{'budget':>8s}{'score':>9s}{'loss':>9s}")
    for (configuration, share), (score, loss) in zip(chosen, trained, strict=True):
        print(f"{len(configuration.removed):8d}{share:8.2f}{score:9.4f}{loss:9.4f}")
    print(f"\n{'judged by':40s}{'all':>7s}" + "".join(f"{budget:7.2f}" for budget in BUDGETS) + "  s each")
    truth = np.array([-loss for _, loss in trained])  # scores of easy tasks are all alike
    budgets = np.array([share for _, share in chosen])
    for name, rows in judged.items():
        for place, kind in enumerate(("loss", "score")[: len(rows[0]) - 1]):
            values = np.array([row[place] for row in rows])
            parts = [spearman(values[budgets == b], truth[budgets == b]) for b in BUDGETS]
            figures = "".join(f"{part:7.2f}" for part in [spearman(values, truth), *parts])
            print(f"{name + ', ' + kind:40s}{figures}{np.median([row[-1] for row in rows]):8.2f}")


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
    rows = load_digits()
    return Data(
        x=rows.x, y=rows.y, x_val=rows.x_val, y_val=rows.y_val, x_test=rows.x_test, y_test=rows.y_test
    )


def original(data: Data, blocks: int, steps: int, seed: int) -> Any:
    """A residual network of three stages of so many blocks, trained."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(seed)
    x = source = keras.Input(data.x.shape[1:])
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(16, 3, padding="same", use_bias=False)(x)))
    for width in (16, 32, 64):
        for block in range(blocks):
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


def candidates(prepared: Any, count: int) -> list[Chosen]:
    """Structures with and without blocks, each filled evenly and by importance, at each of the budgets."""
    found = []
    whole_ms = prepared.original.predicted_ms
    for share in BUDGETS:
        goal = Goal(budget_ms=share * whole_ms)
        problem = search_problem(prepared, goal, Evaluator(prepared, Schedule(), 0), 0, None)
        row = [
            one for full in structures_of(problem, 5) for one in Filled(problem, full).all(share * whole_ms)
        ]
        able = list(dict.fromkeys(row))
        picked = np.unique(np.linspace(0, len(able) - 1, count // len(BUDGETS)).round().astype(int))
        found += [(able[i], share) for i in picked]
    return found


def ways(prepared: Any, short: int, seed: int) -> dict[str, Callable[[Configuration], tuple[float, ...]]]:
    """How candidates are judged: what each way finds, higher is better; minus the loss first, then the score."""
    quick, again, shared = QuickLoss(prepared, False), QuickLoss(prepared), QuickLoss(prepared, False)
    taught: list[int] = []

    def by_supernet(configuration: Configuration) -> tuple[float, ...]:
        if not taught:
            shared(configuration)  # before it is trained it is compared with the network itself
            started = time.monotonic()
            train_supernet(
                shared.supernet, prepared, short, 1e-3, seed, blocks=list(prepared.structures.blocks)
            )
            print(f"supernet: {short} steps in {time.monotonic() - started:.1f} s", flush=True)
            taught.append(short)
        return (-shared(configuration),)

    def tuned(configuration: Configuration, solved: bool = False) -> tuple[float, ...]:
        score, loss = trained_score(prepared, configuration, short, seed, solved)
        return -loss, score

    return {
        "inherited weights": lambda one: (-quick(one),),
        "inherited, least squares": lambda one: (-again(one),),
        f"supernet, {short} steps": by_supernet,
        f"fine-tuned, {short} steps": tuned,
        f"least squares, fine-tuned, {short} steps": lambda one: tuned(one, solved=True),
    }


def trained_score(
    prepared: Any, configuration: Configuration, steps: int, seed: int, solved: bool = False
) -> tuple[float, float]:
    """Validation score and loss after so many steps."""
    model = prepared.build(configuration)
    if not solved:
        structure = prepared.structures.of(configuration)
        widths = {name: configuration.widths[name] for name in structure.graph.groups}
        model = cut(structure.model, strongest(prepared.importance, widths), structure.graph)
    count = len(prepared.task.data.x)
    schedule = Schedule(
        epochs=max(1, -(-steps * 64 // count)),
        batch_size=64,
        learning_rate=3e-3,
        most_rows=min(count, steps * 64),
    )
    outcome = prepared.tuner.fit(model, schedule, seed)
    return outcome.score, outcome.loss


def spearman(first: NDArray[Any], second: NDArray[Any]) -> float:
    """Rank correlation."""
    return float(spearmanr(first, second).statistic)


if __name__ == "__main__":
    main()
