"""Training heads in the middle of a network, with its own last answer as the teacher."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from compressor.data import Data, Rows
from compressor.exits.heads import LAST, Branched, head_layers
from compressor.training import Answered, FineTuner, Outcome, Schedule, Task, output_names, task_of
from profiler.errors import DataError
from profiler.progress import ProgressCallback, silent, sub_progress

JOINT = Schedule(epochs=6, batch_size=64, learning_rate=3e-4, patience=3)
"""How all of it is trained afterwards."""

_EPOCHS, _MOST_EPOCHS = 15, 60
_STEPS = 1000


def heads_schedule(rows: int) -> Schedule:
    """How heads are trained while the network under them stays as it is: for 15 epochs, or for more where rows are few."""
    schedule = Schedule(batch_size=min(max(rows // 16, 8), 64), learning_rate=3e-3)
    epochs = min(max(_STEPS * schedule.batch_size // rows, _EPOCHS), _MOST_EPOCHS)
    return replace(schedule, epochs=epochs, patience=epochs)


_EXIT_WEIGHT = 0.5
"""Of an early answer's loss, beside 1 of the last, where they share layers that learn."""

_HEADS_SHARE = 0.5
"""Of the progress; an epoch of heads alone takes about a third of one of the whole network."""


@dataclass(frozen=True)
class TrainedExits:
    """Share of right answers of each exit on the rows that epochs were chosen on; `joint` says whether the network learned too."""

    scores: dict[str, float]
    original: float
    joint: bool


def train_exits(
    branched: Branched,
    original: Any,
    data: Data,
    heads: Schedule,
    joint: Schedule | None = None,
    seed: int = 0,
    progress: ProgressCallback = silent,
    checkpoints: Path | None = None,
) -> TrainedExits:
    """Train the heads of a network in place; the network itself only where its last answer is not worse for it.

    First the heads alone, then with `joint` all of it: what an epoch comes to counts only where the last answer is right on at
    least as many validation rows as that of `original`, else all is left as the heads found it. Training that was stopped goes on
    from what is in the folder `checkpoints`.
    """
    data = _for_all(data, branched)
    kept = _Checkpoints(checkpoints, branched, data)
    task = task_of(branched.model, data)
    teacher = _teacher(original, branched)
    own = {id(layer) for layer in head_layers(branched, original)}
    frozen = [layer for layer in branched.model.layers if id(layer) not in own]
    share = _HEADS_SHARE if joint else 1.0
    tuner = FineTuner(_SelfTaught(task.head, task.data, heads.alpha, heads.temperature))
    shown = _shown(sub_progress(progress, 0, share), heads, "heads")
    tuner.fit(branched.model, heads, seed, kept.path("heads"), on_epoch=shown, frozen=frozen)
    floor = _rights(branched, tuner, data)[LAST]
    learned: Outcome | None = None
    if joint is not None:
        weights = dict.fromkeys(branched.exits, _EXIT_WEIGHT) | {LAST: 1.0}
        bound = replace(data, metric=_above(floor), loss_weights=weights)
        before = [np.array(weight) for weight in branched.model.get_weights()]
        both = FineTuner(task_of(branched.model, bound), teacher)
        part = sub_progress(progress, share, 1)
        shown = _shown(part, joint, "all layers")
        learned = both.fit(branched.model, joint, seed, kept.path("layers"), on_epoch=shown)
        after = branched.model.get_weights()
    scores = _rights(branched, tuner, data)
    changed = learned is not None and any(
        not np.array_equal(one, other) for one, other in zip(before, after, strict=True)
    )
    return TrainedExits(scores, floor, changed)


class _Checkpoints:
    """Files that training goes on from; those of another network, other heads or other rows have other names."""

    def __init__(self, folder: Path | None, branched: Branched, data: Data) -> None:
        self._folder = folder
        self._digest = 0
        for rows in (data.x, data.y, data.x_val, data.y_val, dict(enumerate(branched.model.get_weights()))):
            for array in rows.values() if isinstance(rows, Mapping) else [rows]:
                self._digest = zlib.crc32(np.ascontiguousarray(array).data, self._digest)

    def path(self, what: str) -> Path | None:
        return None if self._folder is None else self._folder / f"{what}-{self._digest:08x}.npz"


@dataclass(frozen=True)
class _SelfTaught(Task):
    """Every answer learns from labels and from the last one, which is at hand: no other network need be asked."""

    alpha: float = 0.0
    temperature: float = 1.0

    def loss(self, y: Rows, outputs: Rows) -> Any:
        """Mean loss of a batch."""
        import tensorflow as tf

        wanted = dict.fromkeys(outputs, tf.stop_gradient(outputs[LAST]))
        near = self.distance(outputs, wanted, self.temperature)
        return self.alpha * near + (1 - self.alpha) * super().loss(y, outputs)


def check_classes(data: Data, name: str) -> None:
    """Refuse labels that are no single class per row: exits choose between classes."""
    if not data.is_classification or not isinstance(data.y, np.ndarray):
        raise DataError(
            f"{data.source}: exits stop where a network is sure of a class, and {name} is trained with a loss of its own: give "
            "labels that are class numbers, without `loss`."
        )


def _for_all(data: Data, branched: Branched) -> Data:
    """The same labels for every exit, judged by the share of right answers."""

    def given(y: Any) -> Any:
        return None if y is None else dict.fromkeys(branched.exits, y)

    return replace(data, y=given(data.y), y_val=given(data.y_val), y_test=None, x_test=None, metric=None)


def _teacher(original: Any, branched: Branched) -> Any:
    """A copy of the network as it was, that gives its answer once for each exit."""
    import keras

    copy = keras.models.clone_model(original)
    copy.set_weights(original.get_weights())
    return keras.Model(copy.inputs, dict.fromkeys(output_names(branched.model), copy.outputs[0]))


def _rights(branched: Branched, tuner: FineTuner, data: Data) -> dict[str, float]:
    outputs, y = tuner.validation_outputs(branched.model), data.y_val
    assert y is not None
    return {name: float(np.mean(outputs[name].argmax(axis=-1) == y[name])) for name in branched.exits}


def _above(floor: float) -> Any:
    """The mean share of right answers, below all others where the last one is right less often than `floor`."""

    def metric(model: Answered, rows: tuple[Rows, Rows]) -> float:
        x, y = rows
        outputs = model.predict(x)
        rights = {name: float(np.mean(outputs[name].argmax(axis=-1) == y[name])) for name in outputs}
        mean = float(np.mean(list(rights.values())))
        return mean if rights[LAST] >= floor else mean - 1

    return metric


def _shown(progress: ProgressCallback, schedule: Schedule, what: str) -> Any:
    def on_epoch(epoch: int, score: float) -> None:
        progress(epoch / schedule.epochs, f"training {what}, epoch {epoch} of {schedule.epochs}")

    return on_epoch
