"""Cells of the table: which there are, in which order, and where what they made is kept."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.compression.answers import Answers
from compressor.search import METHODS
from profiler.files import write_json

ORIGINAL, QUANTIZED, SCRATCH = "original", "int8", "scratch"
FLOPS = ":flops"

TIERS: tuple[tuple[str, ...], ...] = (
    (ORIGINAL, QUANTIZED, "uniform", "uniform-snapped", "deepiot", "fastdeepiot", "optuna", "knapsack"),
    ("fastdeepiot:flops", "optuna:flops", "knapsack:flops"),
    ("importance", "netadapt"),
    (SCRATCH,),
    ("importance:flops", "netadapt:flops", "netadapt:measured", "uniform:flops"),
)
"""What tells most comes first, so that a run that is stopped early has that.

Snapping uniform widths to steps of FLOPs is missing: FLOPs have no steps, so it is ``uniform:flops``.
"""

ROWS = tuple(name for tier in TIERS for name in tier)
OURS = ("fastdeepiot", "optuna")
"""Rows that count as edgetime's own; all other methods are baselines to beat, NetAdapt, the knapsack and snapped uniform
widths included, although these choose by edgetime's predicted time as well."""


@dataclass(frozen=True)
class Cell:
    """One network that is made: a task, a setting, a seed, and how.

    `name` is a method, perhaps with ``:flops`` or ``:measured`` behind it for what steers it in place of predicted time, or
    one of `ORIGINAL`, `QUANTIZED`, `SCRATCH`.
    """

    task: str
    setting: str
    seed: int
    name: str

    @property
    def method(self) -> str:
        """The name in `compressor.search.registry.METHODS`."""
        return self.name.partition(":")[0]

    @property
    def steer(self) -> str:
        """As `compress` takes it."""
        return self.name.partition(":")[2] or "time"

    @property
    def is_search(self) -> bool:
        """Whether a method chooses the widths."""
        return self.name not in (ORIGINAL, QUANTIZED, SCRATCH)

    @property
    def available(self) -> bool:
        """Whether this edgetime has the method."""
        return not self.is_search or self.method in METHODS

    def __str__(self) -> str:
        return f"{self.task}/{self.setting}/{self.seed}/{self.name}"

    def matches(self, patterns: Sequence[str]) -> bool:
        """Whether one of the patterns names it: parts in any order, as ``motion`` or ``sound/int8/fastdeepiot``."""
        parts = {self.task, self.setting, str(self.seed), self.name}
        return not patterns or any(set(pattern.split("/")) <= parts for pattern in patterns)


def all_cells(
    tasks: Sequence[str], settings: Sequence[str], seeds: int, rows: Iterable[str] = ROWS
) -> list[Cell]:
    """All cells in the order in which they are run: one seed of every task before the next seed."""
    wanted = set(rows)
    return [
        Cell(task, setting, seed, name)
        for tier in TIERS
        for seed in range(seeds)
        for task in tasks
        for setting in settings
        for name in tier
        if name in wanted
    ]


class Store:
    """The work folder's cells."""

    def __init__(self, work: Path) -> None:
        self.work = work

    def folder(self, cell: Cell) -> Path:
        """Everything of a cell."""
        return (
            self.work / "cells" / cell.task / cell.setting / f"seed{cell.seed}" / cell.name.replace(":", "-")
        )

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

    def forget(self, cell: Cell) -> None:
        """Remove what a cell made, so that it is run anew."""
        shutil.rmtree(self.folder(cell), ignore_errors=True)

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
