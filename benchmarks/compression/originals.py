"""The networks before anything is cut, trained once per task and seed, and how files are tested."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.compression.answers import Answers, answers_of
from benchmarks.compression.tasks import Rows, Split, Task
from compressor.data import Data
from compressor.export import export
from compressor.training import FineTuner, Schedule
from compressor.training import Task as Learning
from profiler.files import replacing, write_json

_ROWS_IN_PLACE_OF_A_TEST = 100


def data_of(split: Split, task: Task) -> Data:
    """What `compress` is given: it never sees the test rows; some validation rows stand in their place."""
    count = _ROWS_IN_PLACE_OF_A_TEST
    chosen = np.random.default_rng(20).permutation(len(split.validation))
    held, validation = split.validation.at(chosen[:count]), split.validation.at(chosen[count:])
    return Data(
        split.train.x, split.train.y, validation.x, validation.y, x_test=held.x, y_test=held.y,
        augment=task.augment, source=task.name,
        loss="mean_squared_error" if task.regression else None, metric=explained if task.regression else None,
    )  # fmt: skip


def explained(model: Any, rows: tuple[NDArray[Any], NDArray[Any]]) -> float:
    """The share of the labels' variance that a model explains."""
    x, y = rows
    error = np.asarray(model.predict(x)) - y
    return 1 - float((error**2).sum() / ((y - y.mean(axis=0)) ** 2).sum())


def tuner_of(data: Data, teacher: Any = None) -> FineTuner:
    """What trains networks of a task: classes by softmax, or values."""
    return FineTuner(Learning("softmax" if data.loss is None else "values", data), teacher)


@dataclass(frozen=True)
class Original:
    """A trained network in its folder.

    Attributes
    ----------
    folder
        Holds ``net.keras`` and, by arithmetic, ``none.tflite``, ``int8.tflite`` and their answers.
    """

    folder: Path

    @property
    def keras(self) -> Path:
        """The trained network."""
        return self.folder / "net.keras"

    def tflite(self, quantize: str) -> Path:
        """The exported file."""
        return self.folder / f"{quantize}.tflite"

    def answers(self, quantize: str) -> Answers:
        """What the exported file said to the test rows."""
        return Answers.load(self.folder / f"{quantize}.npz")


def make_original(
    folder: Path, task: Task, split: Split, schedule: Schedule, seed: int, quantize: tuple[str, ...],
    last: bool = False, say: Callable[[str], None] = print,
) -> Original:  # fmt: skip
    """Train, export and test what is not there yet; goes on from where it was stopped."""
    import keras

    original = Original(folder)
    folder.mkdir(parents=True, exist_ok=True)
    data = data_of(split, task)
    if not original.keras.exists():
        keras.utils.set_random_seed(1000 + seed)
        model = task.network(1.0)
        outcome = tuner_of(data).fit(model, schedule, seed, folder / "checkpoint.npz", last=last)
        facts = {
            "validation": outcome.score,
            "seconds": outcome.seconds,
            "parameters": int(model.count_params()),
        }
        write_json(folder / "training.json", facts)
        with replacing(original.keras) as temporary:
            model.save(temporary)
        (folder / "checkpoint.npz").unlink(missing_ok=True)
        say(f"{folder}: {outcome.score:.2%} on validation after {outcome.seconds:.0f} s")
    for mode in quantize:
        export_and_test(original.keras, folder, mode, split.test, data, task)
    return original


def export_and_test(
    model: Any, folder: Path, quantize: str, test: Rows, data: Data, task: Task
) -> tuple[Path, Answers]:
    """Export a network as ``QUANTIZE.tflite`` and ask that file once about every test row."""
    file, kept = folder / f"{quantize}.tflite", folder / f"{quantize}.npz"
    if not file.exists():
        calibration = data.x if quantize != "none" else None
        export(model, file, quantize, calibration, check_data=data, allow_drop=True)
        kept.unlink(missing_ok=True)
    if not kept.exists():
        answers_of(file, test, task.outputs).save(kept)
    return file, Answers.load(kept)
