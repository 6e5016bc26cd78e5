"""The networks of a task: each trained once per seed, most of them with the largest as their teacher, in float32 and int8.

What is trained is kept, and a training that was stopped goes on from its last epoch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.compression import tasks_image, tasks_motion, tasks_sound
from benchmarks.compression.tasks import Rows, Split
from benchmarks.compression.tasks import Task as Source
from benchmarks.selection import networks
from compressor.data import Data
from compressor.export import export
from compressor.training import FineTuner, Schedule
from compressor.training import Task as Learning
from profiler.files import replacing, write_json

COPY_ROWS = 90_000
"""Rows in augmented copies of the training rows, made once, so that the teacher answers each of them once for all students."""

QUANTIZE = ("none", "int8")


@dataclass(frozen=True)
class Member:
    """One network: how it is built and for how long it is trained; `distilled` ones learn from the task's first."""

    name: str
    build: Callable[[], Any]
    epochs: int
    rate: float = 3e-3
    batch: int = 64
    distilled: bool = True


@dataclass(frozen=True)
class SelectionTask:
    """A data set and its networks, first the one that the distilled ones learn from.

    The largest learns from it too: what students gain from a teacher's answers must not be missing from the network that policies
    are held against. Early exits are added to `with_exits`.
    """

    source: Source
    members: tuple[Member, ...]
    with_exits: str


TASKS = {
    "image": SelectionTask(
        tasks_image.TASKS["image"],
        (
            Member("resnet9-first", networks.residual, 22, distilled=False),
            Member("mobile", networks.mobile, 40),
            Member("strided", networks.strided, 35),
            Member("resnet9", networks.residual, 30),
            Member("tiny", networks.tiny, 40),
            Member("separable", networks.separable, 40),
            Member("strided-alone", partial(networks.strided, "strided_alone"), 35, distilled=False),
        ),
        "resnet9",
    ),
    "sound": SelectionTask(
        tasks_sound.TASKS["sound"],
        (
            Member("wide", partial(networks.sound, (32, 32, 64, 64, 64), (1, 2, 2, 1, 2), "wide"), 40, distilled=False),
            Member("middle", partial(networks.sound, (16, 32, 32, 48), (2, 1, 2, 2), "middle"), 60),
            Member("small", partial(networks.sound, (16, 16, 32), (2, 2, 2), "small"), 60),
            Member("middle-alone", partial(networks.sound, (16, 32, 32, 48), (2, 1, 2, 2), "alone"), 60, distilled=False),
        ),
        "wide",
    ),
    "motion": SelectionTask(
        tasks_motion.TASKS["motion"],
        (
            Member("deepsense", lambda: networks.without_softmax(tasks_motion.network(0.5)), 25, distilled=False),
            Member("convolutions", partial(networks.motion, 48, 5, "convolutions"), 40),
            Member("small", partial(networks.motion, 16, 3, "small"), 40),
            Member("convolutions-alone", partial(networks.motion, 48, 5, "alone"), 40, distilled=False),
        ),
        "deepsense",
    ),
}  # fmt: skip


def folder_of(work: Path, task: str, seed: int) -> Path:
    """Where the networks of one task and seed are."""
    return work / "zoo" / task / f"seed{seed}"


def files(work: Path, task: str, seed: int) -> Iterator[tuple[str, str, Path]]:
    """Name, kind of quantising and file of every network that is there."""
    for member in TASKS[task].members:
        for quantize in QUANTIZE:
            file = folder_of(work, task, seed) / f"{member.name}-{quantize.replace('none', 'float32')}.tflite"
            if file.exists():
                yield member.name, quantize, file


def make(
    data_folder: Path, work: Path, task: str, seed: int, say: Callable[[str], None], until: float
) -> None:
    """Train and export what is not there yet, the largest network first; `until` on the clock of `time.monotonic`."""
    import keras

    folder = folder_of(work, task, seed)
    folder.mkdir(parents=True, exist_ok=True)
    chosen = TASKS[task]
    todo = [member for member in chosen.members if not (folder / f"{member.name}.keras").exists()]
    split = chosen.source.load(data_folder, work, seed)
    if todo:
        data = _augmented(split, chosen.source, seed)
        teacher = None
        tuners: dict[bool, FineTuner] = {}
        for member in todo:
            if member.distilled and teacher is None:
                teacher = keras.models.load_model(folder / f"{chosen.members[0].name}.keras", compile=False)
            if member.distilled not in tuners:
                tuners[member.distilled] = FineTuner(
                    Learning("logits", data), teacher if member.distilled else None
                )
            keras.utils.set_random_seed(1000 + seed)
            model = member.build()
            schedule = Schedule(
                epochs=member.epochs,
                batch_size=member.batch,
                most_rows=len(split.train),
                learning_rate=member.rate,
                patience=member.epochs,
                alpha=0.8 if member.distilled else 0.0,
                temperature=4.0,
            )
            began = time.monotonic()
            outcome = tuners[member.distilled].fit(
                model, schedule, seed, folder / f"{member.name}.checkpoint.npz", until, last=True
            )
            if not outcome.complete:
                say(f"{task} seed {seed}: time is up within {member.name}; the same command goes on")
                return
            facts = {
                "validation": outcome.score,
                "seconds": time.monotonic() - began,
                "parameters": model.count_params(),
            }
            write_json(folder / f"{member.name}.training.json", facts)
            with replacing(folder / f"{member.name}.keras") as temporary:
                model.save(temporary)
            (folder / f"{member.name}.checkpoint.npz").unlink(missing_ok=True)
            say(
                f"{task} seed {seed} {member.name}: {outcome.score:.2%} on validation in {facts['seconds']:.0f} s"
            )
    for member in chosen.members:
        for quantize in QUANTIZE:
            file = folder / f"{member.name}-{quantize.replace('none', 'float32')}.tflite"
            if (folder / f"{member.name}.keras").exists() and not file.exists():
                calibration = split.train.x[:: max(1, len(split.train) // 500)]
                export(
                    folder / f"{member.name}.keras",
                    file,
                    quantize,
                    calibration if quantize == "int8" else None,
                    check_data=Data(split.train.x[:500], split.train.y[:500], source=task),
                    allow_drop=True,
                )


def _augmented(split: Split, source: Source, seed: int) -> Data:
    generator = np.random.default_rng([seed, 17])
    rows: Rows = split.train
    copies = max(1, COPY_ROWS // len(rows))
    x = np.concatenate([source.augment(rows.x, generator) for _ in range(copies)])
    return Data(
        x, np.concatenate([rows.y] * copies), split.validation.x, split.validation.y, source=source.name
    )
