"""Trains a network; a training that was stopped goes on from its last epoch."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from profiler.files import replacing, write_json

Tokens = tuple[NDArray[np.int32], NDArray[np.int32]]

_TOKENS = tf.TensorSpec((None, None), tf.int32)


@dataclass(frozen=True)
class Schedule:
    """How a network is trained: tokens of a batch, the highest learning rate, smoothing of labels."""

    epochs: int = 8
    batch: int = 128
    rate: float = 3e-3
    warm_up: float = 0.08
    smoothing: float = 0.1


RECURRENT = Schedule(epochs=12, batch=64)
"""Of the GRU and the LSTM on Multi30k: they want twice the steps per epoch, and more epochs."""

SCHEDULES = {"multi30k": Schedule(), "numerals": Schedule(epochs=16, rate=6e-3, smoothing=0.0)}
"""By corpus."""


def schedule_of(corpus: str, network: str) -> Schedule:
    """How a network is trained on a corpus."""
    return RECURRENT if corpus == "multi30k" and network != "transformer" else SCHEDULES[corpus]


def batches(data: Tokens, schedule: Schedule, generator: np.random.Generator) -> list[Tokens]:
    """Batches of pairs of like length, in random order, each as long as its longest pair."""
    source, target = data
    lengths = [np.count_nonzero(side, axis=1) for side in data]
    order = np.lexsort((generator.random(len(source)), lengths[0] // 4, (lengths[1] + 3) // 4))
    found = []
    for start in range(0, len(order), schedule.batch):
        rows = order[start : start + schedule.batch]
        ends = [int(length[rows].max()) for length in lengths]
        found.append((source[rows, : ends[0]], target[rows, : ends[1]]))
    generator.shuffle(found)  # type: ignore[arg-type]
    return found


def loss_of(model: Any, source: Any, target: Any, smoothing: float, training: bool) -> tuple[Any, Any]:
    """Sum over the batch's tokens of the cross entropy with smoothed labels, and their count."""
    inputs, wanted = target[:, :-1], target[:, 1:]
    scores = model([source, inputs], training=training)
    real = tf.cast(wanted != 0, tf.float32)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(wanted, scores)
    if smoothing:
        named = tf.gather(scores, wanted, batch_dims=2)
        losses += smoothing * (named - tf.reduce_mean(scores, axis=-1))
    return tf.reduce_sum(losses * real), tf.reduce_sum(real)


def train(
    model: Any,
    data: Tokens,
    dev: Tokens,
    schedule: Schedule,
    folder: Path,
    seed: int,
    until: float,
    say: Callable[[str], None],
) -> bool:
    """Train until `until` (`time.monotonic`) at most; returns whether the training is finished.

    `folder` keeps ``best.weights.h5`` (least loss on `dev`), ``last.weights.h5`` with the optimiser's state, and the log.
    """
    folder.mkdir(parents=True, exist_ok=True)
    optimizer = keras.optimizers.Adam(schedule.rate, beta_2=0.98, epsilon=1e-8, global_clipnorm=1.0)
    optimizer.build(model.trainable_variables)
    state, log = folder / "last.npz", folder / "training.json"
    history: list[dict[str, float]] = []
    if state.exists():
        with np.load(state, allow_pickle=False) as saved:
            for place, variable in enumerate([*model.variables, *optimizer.variables]):
                variable.assign(saved[f"v{place}"])
            history = [{"loss": float(a), "dev": float(b)} for a, b in saved["history"]]
    per_epoch = -(-len(data[0]) // schedule.batch)
    total = per_epoch * schedule.epochs

    @tf.function(input_signature=[_TOKENS, _TOKENS])
    def one_step(source: Any, target: Any) -> Any:
        with tf.GradientTape() as tape:
            loss, count = loss_of(model, source, target, schedule.smoothing, True)
            mean = loss / count
        gradients = tape.gradient(mean, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return mean

    @tf.function(input_signature=[_TOKENS, _TOKENS])
    def judge(source: Any, target: Any) -> Any:
        return loss_of(model, source, target, 0.0, False)

    for epoch in range(len(history), schedule.epochs):
        begin = time.monotonic()
        losses = []
        for number, (source, target) in enumerate(
            batches(data, schedule, np.random.default_rng([seed, epoch]))
        ):
            done = (epoch * per_epoch + number) / total
            warmed = min(1.0, done / schedule.warm_up)
            optimizer.learning_rate = schedule.rate * warmed * 0.5 * (1 + np.cos(np.pi * done))
            losses.append(float(one_step(tf.constant(source), tf.constant(target))))
        sums = np.array(
            [
                [float(v) for v in judge(*map(tf.constant, pair))]
                for pair in batches(dev, schedule, np.random.default_rng(0))
            ]
        )
        row = {"loss": float(np.mean(losses)), "dev": float(sums[:, 0].sum() / sums[:, 1].sum())}
        best = min((one["dev"] for one in history), default=np.inf)
        history.append(row)
        if row["dev"] < best:
            with replacing(folder / "best.npz") as temporary:
                _save(temporary, {f"v{i}": v.numpy() for i, v in enumerate(model.variables)})
        arrays = {f"v{i}": v.numpy() for i, v in enumerate([*model.variables, *optimizer.variables])}
        arrays["history"] = np.array([[one["loss"], one["dev"]] for one in history])
        with replacing(state) as temporary:
            _save(temporary, arrays)
        write_json(log, {"history": history})
        taken = time.monotonic() - begin
        say(
            f"epoch {epoch + 1} of {schedule.epochs}: loss {row['loss']:.3f}, dev {row['dev']:.3f} nats per token, {taken:.0f} s"
        )
        if time.monotonic() + 1.1 * taken > until and epoch + 1 < schedule.epochs:
            return False
    return True


def _save(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    with open(path, "wb") as stream:
        np.savez(stream, **arrays)


def load_best(model: Any, folder: Path) -> None:
    """Give a network the weights of its best epoch."""
    with np.load(folder / "best.npz", allow_pickle=False) as saved:
        for place, variable in enumerate(model.variables):
            variable.assign(saved[f"v{place}"])
