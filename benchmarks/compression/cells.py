"""Cells of the table: which there are, in which order, and where what they made is kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.compression.answers import Answers
from benchmarks.compression.sizes import FIRST, Size
from benchmarks.compression.supernet_widths import SupernetWidths
from compressor.search import SearchMethod
from profiler.files import write_json

ORIGINAL, SCRATCH = "original", "scratch"
QUANTIZE = {"float32": "none", "int8": "int8"}
"""How the files of a setting are exported, as in `compress`."""


@dataclass(frozen=True)
class Way:
    """How a row chooses a network: arguments of `compress`."""

    method: str | type[SearchMethod]
    steer: str = "time"
    importance: str = "taylor"


WAYS = {
    "structure": Way("structure"),
    "optuna": Way("optuna"),
    "uniform-snapped": Way("uniform-snapped"),
    "fastdeepiot": Way("fastdeepiot"),
    "deepiot": Way("deepiot"),
    "taylor": Way("importance"),
    "magnitude": Way("importance", importance="magnitude"),
    "knapsack": Way("knapsack"),
    "uniform": Way("uniform"),
    "supernet": Way(SupernetWidths),
    "flops": Way("structure", steer="flops"),
}
"""Rows that search. ``taylor`` and ``magnitude`` are Torch-Pruning's global pruning with group importances: all channels of all
groups of layers that hang together in one ranking, each group's importance divided by its mean, whatever the device."""


@dataclass(frozen=True)
class Cell:
    """One network that is made: a task, a number type, a seed, a row, and the part of the original's time that it may take."""

    task: str
    setting: str
    seed: int
    name: str
    share: float = 1.0

    @property
    def row(self) -> str:
        """Row and budget, as measurements name them: ``structure@0.35``."""
        return self.name if self.name == ORIGINAL else f"{self.name}@{self.share:g}"

    def __str__(self) -> str:
        return f"{self.task}/{self.setting}/{self.seed}/{self.row}"

    def matches(self, patterns: Sequence[str]) -> bool:
        """Whether one of the patterns names it: parts in any order, as ``motion`` or ``sound/int8/fastdeepiot``."""
        parts = {self.task, self.setting, str(self.seed), self.name, f"{self.share:g}"}
        return not patterns or any(set(pattern.split("/")) <= parts for pattern in patterns)


def all_cells(size: Size, tasks: Iterable[str], names: Iterable[str]) -> list[Cell]:
    """All cells in the order in which they are run.

    All seeds of the rows that tell most come before the other rows; a seed's rows are run one after the other, so that what
    else the machine does meets all of them.
    """
    wanted, found = set(names), []
    for first in (True, False):
        for seed in range(size.seeds):
            for task in tasks:
                for setting, rows in size.plans[task].settings.items():
                    if first:
                        found.append(Cell(task, setting, seed, ORIGINAL))
                    found += [
                        Cell(task, setting, seed, name, share)
                        for share in size.plans[task].shares_of(setting)
                        for name in rows
                        if name in wanted and (name in FIRST) == first
                    ]
    return found


class Store:
    """The work folder's cells."""

    def __init__(self, work: Path) -> None:
        self.work = work

    def folder(self, cell: Cell) -> Path:
        """Everything of a cell."""
        return self.work / "cells" / cell.task / cell.setting / f"seed{cell.seed}" / cell.row

    def original(self, task: str, seed: int) -> Path:
        """The folder of a task's trained network."""
        return self.work / "originals" / task / f"seed{seed}"

    def facts(self, cell: Cell) -> dict[str, Any] | None:
        """What a finished cell came to; None where it was not run."""
        try:
            value = json.loads((self.folder(cell) / "cell.json").read_text("utf-8"))
        except (OSError, ValueError):
            return None
        return value if isinstance(value, dict) else None

    def finish(self, cell: Cell, facts: dict[str, Any]) -> None:
        """Keep that a cell is finished."""
        write_json(self.folder(cell) / "cell.json", facts)

    def done(self, cell: Cell) -> bool:
        """Whether a cell is finished and made a network."""
        facts = self.facts(cell)
        return facts is not None and not facts.get("error")

    def file(self, cell: Cell) -> Path:
        """Its ``.tflite`` file."""
        facts = self.facts(cell)
        assert facts is not None
        return self.work / facts["file"]

    def answers(self, cell: Cell) -> Answers:
        """Its answers to the test rows."""
        return Answers.load(self.file(cell).with_suffix(".npz"))


def code_mark() -> str:
    """A short fingerprint of the code that decides what a cell comes to: numbers of different versions do not compare."""
    root = Path(__file__).resolve().parents[2]
    found = hashlib.sha256()
    for name in ("compressor", "timemodel", "profiler"):
        for path in sorted((root / name).rglob("*.py")):
            found.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    return found.hexdigest()[:8]
