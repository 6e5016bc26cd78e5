"""What the networks of a task answer on rows that none was trained on, kept beside them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.compression.tasks import Rows
from benchmarks.selection.members import TASKS, files
from compressor.export import TfliteRunner
from profiler.files import replacing
from profiler.tflite import read_network
from selector.candidates import Answers
from selector.runtime import PolicyNetwork, log_probabilities
from timemodel import TimeModel

PARTS = ("validation", "test")


@dataclass(frozen=True)
class Held:
    """Answers to the rows that thresholds are chosen by and to those that judge, with the rows themselves."""

    choose: Answers
    judge: Answers
    choose_rows: Rows
    judge_rows: Rows


def held(
    data_folder: Path, work: Path, task: str, seed: int, model: TimeModel, say: Callable[[str], None]
) -> Held | None:
    """Answers of all networks of a task and seed, fastest first; None where not all of them are trained."""
    found = list(files(work, task, seed))
    if len(found) < 2 * len(TASKS[task].members):
        say(
            f"{task} seed {seed}: {len(found)} of {2 * len(TASKS[task].members)} files are there, so it is left out"
        )
        return None
    split = TASKS[task].source.load(data_folder, work, seed)
    parts = dict(zip(PARTS, (split.validation, split.test), strict=True))
    listed = []
    for name, quantize, file in found:
        predicted = model.predict(read_network(file))
        dtype = "float32" if quantize == "none" else quantize
        network = PolicyNetwork(
            file.name, f"{name}-{dtype}", predicted.predicted_ms, form="logits", dtype=dtype
        )
        listed.append((network, file, {part: _answers(file, part, rows) for part, rows in parts.items()}))
    listed.sort(key=lambda one: one[0].predicted_ms)
    by_part = [
        Answers(
            tuple(network for network, _, _ in listed),
            tuple(file for _, file, _ in listed),
            np.stack([log_p[part] for _, _, log_p in listed]),
            rows.y,
            rows.unit,
            f"{task} seed {seed}, {part}",
        )
        for part, rows in parts.items()
    ]
    return Held(*by_part, split.validation, split.test)


def _answers(file: Path, part: str, rows: Rows) -> NDArray[np.float32]:
    kept = file.with_suffix(f".{part}.npy")
    if not kept.exists():
        outputs = np.asarray(TfliteRunner(file).predict(rows.x), np.float32)
        with replacing(kept) as temporary, temporary.open("wb") as stream:
            np.save(stream, outputs)
    return log_probabilities(np.load(kept, allow_pickle=False), "logits")


def of_type(answers: Answers, dtype: str) -> Answers:
    """The networks of one number type; ``"all"`` leaves all."""
    chosen = [i for i, network in enumerate(answers.networks) if dtype in ("all", network.dtype)]
    return answers.of(chosen)


def joined(first: Answers, second: Answers) -> Answers:
    """The same networks on the rows of both."""
    assert first.groups is not None
    assert second.groups is not None
    return replace(
        first,
        log_probabilities=np.concatenate([first.log_probabilities, second.log_probabilities], axis=1),
        y=np.concatenate([first.y, second.y]),
        groups=np.concatenate([first.groups, second.groups]),
    )
