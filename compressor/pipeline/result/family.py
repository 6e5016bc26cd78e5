"""What a family of networks that are to work together needs beside its files: rows that none was trained on, and a look at them."""

from __future__ import annotations

import numpy as np

from compressor.data import named
from compressor.export import TfliteRunner
from compressor.pipeline.prepare import Prepared, Workspace
from compressor.pipeline.result.files import PointFiles
from profiler.errors import UsageError
from profiler.files import replacing

HELD_OUT = "held_out.npz"
"""Rows that no network of a family was trained on."""

_TOO_ALIKE = 0.1
"""Where the others are right on fewer of the rows that the best one misses, they hardly help it."""


def check_family(count: int) -> None:
    """Refuse a number that is no family, by UsageError."""
    if not 2 <= count <= 20:
        raise UsageError(f"--family is 2 to 20 networks, not {count}.")


def finish_family(prepared: Prepared, workspace: Workspace, files: PointFiles) -> list[str]:
    """Write the rows for `edgetime select`, and say what a choice by input could gain on them at best."""
    x, y = prepared.validation_rows
    if not prepared.task.counts_right or not isinstance(y, np.ndarray):
        return [
            "This task has no single class per row, so that its networks can be chosen by device only, not by input."
        ]
    place = workspace.path(HELD_OUT)
    with replacing(place) as temporary, temporary.open("wb") as stream:
        np.savez(stream, y=y, **named(x, "x"))
    right = np.array(
        [prepared.task.right(TfliteRunner(files.tflite[name]).predict(x), y) for name in files.shown()]
    )
    best = right[right.mean(axis=1).argmax()]
    any_right = right.max(axis=0)
    helped = float(any_right[best < 1].mean()) if (best < 1).any() else 0.0
    found = [
        f"The best network of the family is right on {best.mean():.1%} of {place.name}, some network on {any_right.mean():.1%}: "
        f"choose between them by input with 'edgetime select --per-input {workspace.folder} --data {place}'."
    ]
    if helped < _TOO_ALIKE:
        found.append(
            "These networks are wrong on the same rows, so that others than the fastest ones add little."
        )
    return found
