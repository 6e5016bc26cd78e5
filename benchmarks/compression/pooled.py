"""What the seeds of a row come to together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.compression.answers import Answers
from benchmarks.compression.cells import ORIGINAL, Cell, Store
from benchmarks.compression.measuring import Turns, digest
from benchmarks.compression.schedules import DROP_POINTS
from benchmarks.compression.statistics import Difference, Ratio, difference, time_ratio


@dataclass(frozen=True)
class Made:
    """One finished cell.

    Attributes
    ----------
    facts
        As the run kept them.
    answers
        Of its file, to the test rows.
    mark
        Digest of its file.
    measured_ms, relative
        Its time, and by round its time over the original's; None and empty where it was not measured.
    """

    cell: Cell
    facts: dict[str, Any]
    answers: Answers
    mark: str
    measured_ms: float | None
    relative: dict[int, float]


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes
    ----------
    made
        Its finished cells, one for each seed.
    errors
        Why others made no network.
    """

    task: str
    setting: str
    name: str
    made: tuple[Made, ...] = ()
    errors: tuple[str, ...] = ()
    against_original: Difference | None = field(default=None)

    @property
    def ran(self) -> bool:
        """Whether there is anything to show."""
        return bool(self.made)

    def mean(self, of: Callable[[Made], float | None]) -> float | None:
        """Mean over seeds; None where nothing is known."""
        known = [value for made in self.made if (value := of(made)) is not None and np.isfinite(value)]
        return float(np.mean(known)) if known else None

    @property
    def measured_ms(self) -> float | None:
        """Mean over seeds."""
        return self.mean(lambda made: made.measured_ms)

    @property
    def verdict(self) -> str:
        """Whether it is as accurate as the original."""
        return "" if self.against_original is None else self.against_original.verdict(DROP_POINTS)


class Table:
    """All rows, read once.

    Parameters
    ----------
    seeds
        How many seeds there are to be.
    """

    def __init__(self, store: Store, turns: Turns, tasks: Sequence[str], settings: Sequence[str], seeds: int,
                 names: Sequence[str]) -> None:  # fmt: skip
        self.store, self.turns = store, turns
        self.tasks, self.settings, self.seeds, self.names = tasks, settings, seeds, names
        self._rows: dict[tuple[str, str, str], Row] = {}
        for task in tasks:
            for setting in settings:
                for name in names:
                    self._rows[task, setting, name] = self._read(task, setting, name)
        for key, row in self._rows.items():
            original = self._rows.get((row.task, row.setting, ORIGINAL))
            if original is not None and row.name != ORIGINAL:
                found = compare(row, original)
                self._rows[key] = Row(row.task, row.setting, row.name, row.made, row.errors, found)

    def row(self, task: str, setting: str, name: str) -> Row:
        """One row; one without cells where it was not asked for."""
        return self._rows.get((task, setting, name), Row(task, setting, name))

    def rows(self, task: str, setting: str) -> list[Row]:
        """The rows of one table, in the order of `names`."""
        return [self._rows[task, setting, name] for name in self.names]

    def _read(self, task: str, setting: str, name: str) -> Row:
        made, errors = [], []
        for seed in range(self.seeds):
            cell = Cell(task, setting, seed, name)
            facts = self.store.facts(cell)
            if facts is None:
                continue
            if facts.get("error"):
                errors.append(str(facts["error"]))
                continue
            mark = digest(self.store.file(cell))
            place = (task, setting, seed, name, mark)
            made.append(
                Made(cell, facts, self.store.answers(cell), mark, self.turns.measured_ms(*place),
                     self.turns.relative(*place))
            )  # fmt: skip
        return Row(task, setting, name, tuple(made), tuple(errors))


def compare(one: Row, other: Row) -> Difference | None:
    """Accuracy of `one` minus that of `other`, over the seeds that both have."""
    pairs = [(a.answers, b.answers) for a, b in _paired(one, other)]
    return difference(pairs) if pairs else None


def ratio(one: Row, other: Row) -> Ratio | None:
    """Measured time of `one` over that of `other`, over the seeds and rounds that both have."""
    by_seed = [rounds for a, b in _paired(one, other) if (rounds := round_ratios(a, b))]
    return time_ratio(by_seed) if by_seed else None


def round_ratios(one: Made, other: Made) -> list[float]:
    """Time of one over that of the other in each round that both were in; else of their medians."""
    if other.cell.name == ORIGINAL:
        return list(one.relative.values())
    shared = [turn for turn in one.relative if turn in other.relative]
    if shared:
        return [one.relative[turn] / other.relative[turn] for turn in shared]
    if one.relative and other.relative:
        return [float(np.median(list(one.relative.values())) / np.median(list(other.relative.values())))]
    return []


def _paired(one: Row, other: Row) -> list[tuple[Made, Made]]:
    others = {made.cell.seed: made for made in other.made}
    return [(made, others[made.cell.seed]) for made in one.made if made.cell.seed in others]
