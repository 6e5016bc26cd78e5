"""``deepiot`` and ``fastdeepiot`` (Yao et al., SenSys 2017 and 2018): a network that looks at the weights learns which
channels can go; in the second one steered by predicted time, or by what stands in its place.

docs/how-compression-works.md says how it goes, and what differs from the papers.
"""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from compressor.costs import CandidateWidths, Configuration, staircase
from compressor.search.base import SearchMethod, SearchProblem
from compressor.search.deepiot.options import Rates, ThresholdSchedule
from compressor.search.deepiot.trajectory import ByGroup, Positions, Steering, Trajectory
from compressor.training import check_least, normalised
from profiler.errors import UsageError


class DeepIoT(SearchMethod):
    """Prunes what a compressor network, trained by REINFORCE, finds dispensable.

    Parameters
    ----------
    iterations
        In a step of the threshold: each trains the critic once and the compressor once.
    steps, final_threshold
        The threshold rises from 0 to `final_threshold` in so many steps; in fewer, higher ones where the time does not
        do for all.
    shrink
        Beyond the last threshold: the share of the cost that a further step takes away.
    margin
        Under a limit on the score the walk ends after so many candidates in a row that miss it: two, or six where
        they miss it by no more than this. (Scores are seen on few rows; a walk that ends at the first unlucky one
        ends far too early.)
    rates
        Other values than the defaults of `compressor.search.deepiot.options.Rates`, by name.
    """

    name: ClassVar[str] = "deepiot"
    on_edges: ClassVar[bool] = False
    trains: ClassVar[bool] = True
    share_of_time: ClassVar[float] = 0.55

    def __init__(
        self,
        iterations: int = 25,
        steps: int = 33,
        final_threshold: float = 0.825,
        shrink: float = 0.2,
        margin: float = 0.01,
        **rates: float,
    ) -> None:
        self.schedule = ThresholdSchedule(iterations, steps, final_threshold, shrink, margin)
        try:
            self.rates = Rates(**rates)  # type: ignore[arg-type]
        except TypeError as error:
            raise UsageError(f"{self.name} has no such parameter ({error}).") from error

    def search(self, problem: SearchProblem) -> None:
        """See `SearchMethod.search`."""
        Trajectory(self.name, self.schedule, self.rates, self.steering(problem), problem).go()

    def steering(self, problem: SearchProblem) -> Steering:
        """What a search is steered by beside the loss."""
        return Steering(problem)


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
        return _TimeSteering(problem, self)


class _TimeSteering(Steering):
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
        names = ("pressure", "growth", "window", "options")
        return {name: getattr(self._method, name) for name in names}

    def least(self) -> Configuration:
        return staircase.fastest(self._problem.cost, self._problem.full, self._candidates)

    def settled(self, keep: Positions, p: ByGroup) -> Positions:
        """Moved to a local minimum of the cost."""
        moved = self._problem.full.with_kept(keep)
        value = {name: p[name] * self._taylor[name] for name in keep}
        if self._candidates:
            moved = staircase.exchange_widths(self._problem.cost, moved, self._candidates, normalised(value))
        return {
            name: _resized(positions, moved.widths[name], value[name]) for name, positions in keep.items()
        }

    def slopes(self, p: ByGroup) -> dict[str, float]:
        """The slope of the logarithm of the cost by each group's width."""
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
        """Lambda grows while the expected cost is over the budget."""
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
