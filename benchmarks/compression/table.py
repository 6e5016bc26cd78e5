"""What is in the work folder, as rows that can be compared."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.compression.answers import Answers
from benchmarks.compression.cells import ORIGINAL, Cell, Store
from benchmarks.compression.fronts import EqualScore, at_equal_score, over_all_scores
from benchmarks.compression.measuring import Turns, digest
from benchmarks.compression.sizes import OURS, UNCUT, Size
from benchmarks.compression.statistics import Noise, difference, half_width, training_noise


@dataclass(frozen=True)
class Made:
    """One finished cell.

    Attributes
    ----------
    facts
        As the run kept them.
    answers
        Of its file, to the test rows.
    time
        Over the original's of the same seed: measured in the same rounds, else predicted.
    measured_ms
        None where it was not measured.
    """

    cell: Cell
    facts: Mapping[str, Any]
    answers: Answers
    time: float
    measured_ms: float | None

    @property
    def score(self) -> float:
        """In hundredths."""
        return 100 * self.answers.score


@dataclass(frozen=True)
class Entry:
    """The networks of one row and one budget, by seed."""

    made: Mapping[int, Made]

    def time(self, seeds: Iterable[int]) -> float:
        """Over the original's: geometric mean over seeds."""
        return math.exp(float(np.mean([math.log(self.made[seed].time) for seed in seeds])))

    def score(self, seeds: Iterable[int]) -> float:
        """Mean over seeds, in hundredths."""
        return float(np.mean([self.made[seed].score for seed in seeds]))

    def mean(self, name: str) -> float | None:
        """Of a fact, over all seeds; None where no cell has it."""
        known = [made.facts[name] for made in self.made.values() if made.facts.get(name) is not None]
        return float(np.mean(known)) if known else None


@dataclass(frozen=True)
class AtBudget:
    """Two rows at one budget: points of score, half of their 95% interval, and time at the other row's score."""

    share: float
    points: float
    half: float
    time: EqualScore


@dataclass(frozen=True)
class Comparison:
    """Two rows of one part of the table, over the seeds that both have; `time` is over all scores that both have."""

    task: str
    setting: str
    one: str
    other: str
    seeds: int
    budgets: tuple[AtBudget, ...]
    time: EqualScore

    @property
    def points(self) -> float:
        """Mean over budgets."""
        return float(np.mean([found.points for found in self.budgets]))


@dataclass
class Part:
    """One task and setting."""

    task: str
    setting: str
    shares: Sequence[float]
    original: Entry
    rows: dict[str, dict[float, Entry]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)

    def seeds(self, *names: str) -> list[int]:
        """Seeds in which all of these rows have all budgets."""
        found = set(self.original.made)
        for name in names:
            for share in self.shares:
                found &= set(self.rows[name][share].made)
        return sorted(found)

    @property
    def complete(self) -> list[str]:
        """Rows of as many seeds as the fullest one has."""
        most = max((len(self.seeds(name)) for name in self.rows), default=0)
        return [name for name in self.rows if most and len(self.seeds(name)) == most]

    def noise(self) -> Noise:
        """Of training, by all budgets of rows that have all seeds."""
        names = self.complete
        if not names:
            return Noise(math.inf, 0)
        seeds = self.seeds(*names)
        scores = [[self.rows[n][s].made[seed].score for seed in seeds] for n in names for s in self.shares]
        return training_noise(np.array(scores))

    def strongest(self) -> str | None:
        """Of the rows that are not ours the one of the highest score, mean over budgets: by the test itself, which favours it."""
        rivals = [name for name in self.complete if name not in (*OURS, UNCUT)]
        if not rivals:
            return None
        seeds = self.seeds(*rivals)
        return max(rivals, key=lambda n: sum(self.rows[n][s].score(seeds) for s in self.shares))

    def _curve(self, row: Mapping[float, Entry], seeds: Sequence[int]) -> list[tuple[float, float]]:
        """Time and score of a row's networks, and of the original where that is better than all of them."""
        points = [(row[share].time(seeds), row[share].score(seeds)) for share in self.shares]
        whole = self.original.score(seeds)
        return [*points, (1.0, whole)] if whole > max(score for _, score in points) else points

    def compare(self, one: str, other: str) -> Comparison | None:
        """One row with another; None where they share no seed."""
        if one not in self.rows or other not in self.rows:
            return None
        seeds = self.seeds(one, other)
        if not seeds:
            return None
        first, second, noise = self.rows[one], self.rows[other], self.noise()
        points, others = (self._curve(row, seeds) for row in (first, second))
        found = []
        for share in self.shares:
            pairs = [(first[share].made[seed].answers, second[share].made[seed].answers) for seed in seeds]
            apart = difference(pairs)
            half = half_width(noise, len(seeds), apart.error)
            time, score = second[share].time(seeds), second[share].score(seeds)
            gain = first[share].score(seeds) - score
            found.append(AtBudget(share, gain, half, at_equal_score(points, time, score, half)))
        # Of a difference of two scores each has half the variance; a normal interval is 1.96 deviations wide.
        deviations = [*(at.half / 1.96 / math.sqrt(2) for at in found), 0.0]
        time = over_all_scores(points, others, (deviations[: len(points)], deviations[: len(others)]))
        return Comparison(self.task, self.setting, one, other, len(seeds), tuple(found), time)


def read(store: Store, turns: Turns, size: Size, tasks: Iterable[str]) -> list[Part]:
    """All parts of the table, as far as they were run."""
    parts = []
    for task in tasks:
        for setting, names in size.plans[task].settings.items():
            seeds = range(size.seeds)
            originals = {
                s: made for s in seeds if (made := _made(store, turns, Cell(task, setting, s, ORIGINAL)))
            }
            part = Part(task, setting, size.plans[task].shares_of(setting), Entry(originals))
            for name in names:
                part.rows[name] = {}
                for share in size.plans[task].shares_of(setting):
                    cells = [Cell(task, setting, seed, name, share) for seed in seeds]
                    found = {c.seed: made for c in cells if (made := _made(store, turns, c))}
                    part.rows[name][share] = Entry(found)
                    for cell in cells:
                        error = (store.facts(cell) or {}).get("error")
                        if error:
                            part.errors[name] = error
            parts.append(part)
    return parts


def _made(store: Store, turns: Turns, cell: Cell) -> Made | None:
    facts = store.facts(cell)
    original = store.facts(Cell(cell.task, cell.setting, cell.seed, ORIGINAL))
    if facts is None or facts.get("error") or original is None:
        return None
    place = (cell.task, cell.setting, cell.seed, cell.row, digest(store.file(cell)))
    relative = list(turns.relative(*place).values())
    time = float(np.median(relative)) if relative else facts["predicted_ms"] / original["predicted_ms"]
    return Made(cell, facts, store.answers(cell), time, turns.measured_ms(*place))
