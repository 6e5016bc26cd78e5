"""Which point of the front is handed over where an accuracy must be kept: one that rows which chose nothing confirm.

The rows that chose give an order: the points of the front of cost against score, dearest first. Then the rows that were kept aside
test one after the other, each at the full level, until the first that is not shown to keep the limit (fixed-sequence testing, no
correction is needed). The last one that passed is handed over: with 95% confidence it loses no more than was asked. Where none
passed, the first one is, the most accurate, with the widest claim that holds of it. The choice does not weaken that claim, since
the first of the order was fixed before these rows were looked at.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from compressor.export import file_outputs, file_score
from compressor.pipeline.final import Finalist
from compressor.pipeline.prepare import Prepared
from compressor.pipeline.result.files import PointFiles
from compressor.pipeline.result.promise import Promise, promise_of
from compressor.search import Goal
from profiler.tradeoff import pareto_front


def order_of_tests(costs: Sequence[float], scores: Sequence[float]) -> list[int]:
    """Places of the points that no other one beats in cost and score, dearest first.

    >>> order_of_tests([1.0, 2.0, 3.0, 4.0], [0.8, 0.9, 0.85, 0.95])
    [3, 1, 0]
    """
    marks = pareto_front(costs, scores)
    return sorted((place for place, mark in enumerate(marks) if mark), key=lambda place: -costs[place])


@dataclass(frozen=True)
class Confirmed:
    """What rows that were kept aside came to.

    Attributes
    ----------
    place
        The point that is handed over.
    passed, tested
        How many points were shown to keep the limit, and how many were looked at.
    claim
        Of the point that is handed over.
    """

    place: int
    passed: int
    tested: int
    claim: Promise

    @property
    def holds(self) -> bool:
        """Whether the point is shown to keep the limit."""
        return self.passed > 0

    def lead(self, points: Sequence[Finalist]) -> list[Finalist]:
        """The points with the one in front that is handed over; what is confirmed has reached the goal."""
        found = list(points)
        found[0], found[self.place] = found[self.place], found[0]
        if self.holds:
            found[0] = replace(found[0], met=True, sure=True)
        return found

    def sentence(self) -> str:
        """What it came to, in words."""
        if self.holds:
            turns = f"{self.passed} of {self.tested} point{'s' * (self.tested != 1)} passed in turn, the dearest first"
            return f"{self.claim.sentence[:-1]}: {turns}, and the last that did is handed over."
        return (
            "No point is shown to lose no more than was asked, so the most accurate one of the front is handed over. "
            f"{self.claim.sentence}"
        )

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {**asdict(self), "claim": self.claim.to_dict(), "holds": self.holds}


def passed_in_turn(order: Sequence[int], holds: Callable[[int], bool]) -> int:
    """How many of the points in their order pass before the first that does not."""
    for count, place in enumerate(order):
        if not holds(place):
            return count
    return len(order)


def confirm(order: Sequence[int], claim_of: Callable[[int], Promise]) -> Confirmed:
    """Test one or more points in their order until the first that is not shown to keep what was asked."""
    claims: dict[int, Promise] = {}

    def holds(place: int) -> bool:
        claims[place] = claim_of(place)
        return claims[place].holds

    passed = passed_in_turn(order, holds)
    place = order[max(passed - 1, 0)]
    return Confirmed(place, passed, len(claims), claims[place])


def confirm_files(
    prepared: Prepared, files: PointFiles, points: Sequence[Finalist], goal: Goal, asked: float | None
) -> Confirmed | None:
    """Which point's file the rows that were kept aside confirm; None where there are none, or no point gains anything."""
    aside, task = prepared.aside, prepared.task
    if aside is None or asked is None:
        return None
    trials = [point.trial for point in points]
    whole = goal.cost(prepared.original)
    able = [n for n, trial in enumerate(trials) if goal.excess(trial) == 0 and goal.cost(trial) < whole]
    paths = {n: files.tflite[files.seeds(n)[0]] for n in able}
    scores = {n: file_score(task, path, *prepared.validation_rows) for n, path in paths.items()}
    able = [n for n in able if math.isfinite(scores[n])]
    if not able:
        return None
    before = file_outputs(task, files.tflite["original"], aside.x)
    order = order_of_tests([goal.cost(trials[n]) for n in able], [scores[n] for n in able])

    def claim_of(place: int) -> Promise:
        after = file_outputs(task, paths[place], aside.x)
        return promise_of(
            task, before, after, aside.x, aside.y, aside.groups, asked, "validation", no_tighter=True
        )

    return confirm([able[place] for place in order], claim_of)
