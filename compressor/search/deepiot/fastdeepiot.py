"""``fastdeepiot``: DeepIoT steered by predicted time (Yao et al., SenSys 2018), or by what stands in its place.

docs/how-compression-works.md says what is added to `compressor.search.deepiot.method`, and what is ours.
"""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from compressor.costs import CandidateWidths, Configuration, staircase
from compressor.search.base import SearchProblem
from compressor.search.deepiot.method import DeepIoT
from compressor.search.deepiot.trajectory import ByGroup, Positions, Steering
from compressor.training import check_least, normalised
from profiler.errors import UsageError


class FastDeepIoT(DeepIoT):
    """DeepIoT with predicted time in its loss and moves to local minima of predicted time.

    Parameters
    ----------
    pressure, growth
        Lambda at the start, and by what factor it grows in a step of the threshold while the expected time is
        over the budget.
    window
        Half the width of the window in which the slope of time is taken, as a share of a group's channels.
    options
        Widths per group that the moves look at.
    others
        Those of `DeepIoT`.
    """

    name: ClassVar[str] = "fastdeepiot"
    on_edges: ClassVar[bool] = True

    def __init__(
        self,
        pressure: float = 0.5,
        growth: float = 1.1,
        window: float = 0.125,
        options: int = 48,
        **others: float,
    ) -> None:
        super().__init__(**others)  # type: ignore[arg-type]
        check_least("pressure", pressure, 0)
        check_least("growth", growth)
        if not 0 < window <= 1:
            raise UsageError(f"window must be above 0 and at most 1, not {window}.")
        check_least("options", options, 2)
        self.pressure = pressure
        self.growth = growth
        self.window = window
        self.options = options

    def steering(self, problem: SearchProblem) -> Steering:
        """See `DeepIoT.steering`."""
        return TimeSteering(problem, self)


class TimeSteering(Steering):
    """The cost in the compressor's loss, and moves to its local minima."""

    def __init__(self, problem: SearchProblem, method: FastDeepIoT) -> None:
        super().__init__(problem)
        self._method = method
        self.start = method.pressure
        # Without a cheap cost no moves: each look at a candidate takes a conversion.
        self._candidates: CandidateWidths = {}
        if problem.cost.cheap:
            self._candidates = staircase.candidate_widths(problem.cost, problem.full, method.options)
        self._taylor = normalised(problem.importance)

    @property
    def options(self) -> dict[str, float]:
        """See `Steering.options`."""
        names = ("pressure", "growth", "window", "options")
        return {name: getattr(self._method, name) for name in names}

    def least(self) -> Configuration:
        """See `Steering.least`."""
        return staircase.fastest(self._problem.cost, self._problem.full, self._candidates)

    def settled(self, keep: Positions, p: ByGroup) -> Positions:
        """See `Steering.settled`: moved to a local minimum of the cost."""
        moved = self._problem.full.with_kept(keep)
        value = {name: p[name] * self._taylor[name] for name in keep}
        if self._candidates:
            moved = staircase.exchange_widths(self._problem.cost, moved, self._candidates, normalised(value))
        return {
            name: _resized(positions, moved.widths[name], value[name]) for name, positions in keep.items()
        }

    def slopes(self, p: ByGroup) -> dict[str, float]:
        """See `Steering.slopes`: the slope of the logarithm of the cost by each group's width."""
        now, found = expected(self._problem.full, p), {}
        for name, values in p.items():
            scatter = float(np.sqrt((values * (1 - values)).sum()))
            reach = max(1, round(max(self._method.window * len(values), scatter)))
            low, high = max(1, now.widths[name] - reach), min(len(values), now.widths[name] + reach)
            if low < high:
                least, most = self._problem.cost.by_width(now, name, [low, high])
                found[name] = math.log(most / least) / (high - low)
        return found

    def raised(self, weight: float, p: ByGroup) -> float:
        """See `Steering.raised`: lambda grows while the expected cost is over the budget."""
        budget = self._problem.budget
        met = budget is not None and self._problem.cost(expected(self._problem.full, p)) <= budget
        return weight if met else self._method.growth * weight


def expected(full: Configuration, p: ByGroup) -> Configuration:
    """The expected widths, one or more."""
    return full.with_widths({name: max(1, round(float(values.sum()))) for name, values in p.items()})


def _resized(kept: list[int], width: int, value: NDArray[np.float64]) -> list[int]:
    """The most valuable of `kept`, or these and the most valuable others, ascending."""
    order, there = np.argsort(-value, kind="stable").tolist(), set(kept)
    ranked = [position for position in order if position in there]
    ranked += [position for position in order if position not in there]
    return sorted(ranked[:width])
