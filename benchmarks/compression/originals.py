"""The networks before anything is cut: trained once per task and seed, and at other widths for the sweep."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.compression.answers import Answers, answers_of
from benchmarks.compression.schedules import Plan
from benchmarks.compression.tasks import Rows, Split, Task
from compressor.data import Data
from compressor.export import export
from compressor.training import FineTuner, Schedule
from compressor.training import Task as Learning
from profiler.files import replacing, write_json

SWEEP = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
"""Widths that are trained to see whether the original is a bloated one."""

SETTINGS_OF_FILES = ("none", "int8")


def data_of(split: Split, task: Task) -> Data:
    """What `compress` is given: it never sees the test rows, only validation rows in their place."""
    validation = split.validation
    return Data(
        split.train.x, split.train.y, validation.x, validation.y,
        x_test=validation.x[:100], y_test=validation.y[:100], augment=task.augment, source=task.name,
    )  # fmt: skip


def train_alone(
    model: Any, data: Data, schedule: Schedule, seed: int, checkpoint: Path | None = None, last: bool = False
) -> tuple[float, float]:
    """Train on labels alone; accuracy on validation rows, and seconds.

    Parameters
    ----------
    last
        Whether the last epoch's weights are kept, in place of those that did best on validation.
    """
    began = time.monotonic()
    outcome = FineTuner(Learning("softmax", data)).fit(model, schedule, seed, checkpoint, last=last)
    return outcome.score, max(outcome.seconds, time.monotonic() - began)


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

    @property
    def done(self) -> bool:
        """Whether everything is there."""
        return self.keras.exists() and all(
            self.tflite(q).exists() and (self.folder / f"{q}.npz").exists() for q in SETTINGS_OF_FILES
        )


def make_original(
    folder: Path, task: Task, split: Split, plan: Plan, seed: int, width: float = 1.0,
    quantize: tuple[str, ...] = SETTINGS_OF_FILES, say: Callable[[str], None] = print,
) -> Original:  # fmt: skip
    """Train, export and test what is not there yet; goes on from where it was stopped."""
    import keras

    original = Original(folder)
    folder.mkdir(parents=True, exist_ok=True)
    data = data_of(split, task)
    if not original.keras.exists():
        keras.utils.set_random_seed(1000 + seed)
        model = task.network(width)
        score, seconds = train_alone(
            model, data, plan.original, seed, folder / "checkpoint.npz", plan.last_epoch
        )
        facts = {"validation": score, "seconds": seconds, "parameters": int(model.count_params())}
        write_json(folder / "training.json", facts)
        with replacing(original.keras) as temporary:
            model.save(temporary)
        (folder / "checkpoint.npz").unlink(missing_ok=True)
        say(f"{folder.name}: {score:.2%} on validation after {seconds:.0f} s")
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
        answers_of(file, test, task.classes).save(kept)
    return file, Answers.load(kept)
