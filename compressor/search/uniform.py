"""``uniform``, the baseline that each other method must beat, and ``uniform-snapped``: one multiplier for all groups."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from compressor.costs import CandidateCost, CandidateWidths, Configuration, scaled, staircase
from compressor.search.base import SearchMethod, SearchProblem
from compressor.search.levels import first_holding, search_levels
from compressor.training import check_least, normalised


@dataclass(eq=False)
class UniformWidth(SearchMethod):
    """Cuts all groups by one multiplier, in steps of ``1 / grid``.

    Under a budget the widest multiplier within it is taken; predicted time need not rise with the multiplier, so all are
    looked at. Under a limit on the score the narrowest multiplier that keeps it is found by halving, and of all wider ones
    the fastest is taken. Where looking at a cost is expensive the widest within a budget is found by halving too, and of
    wider ones only the narrowest is tried.
    """

    name: ClassVar[str] = "uniform"
    on_edges: ClassVar[bool] = False

    grid: int = 64

    def __post_init__(self) -> None:
        check_least("grid", self.grid, 2)

    def search(self, problem: SearchProblem) -> None:
        """See `SearchMethod.search`."""
        candidates = [scaled(problem.full, step / self.grid) for step in range(1, self.grid)]
        cost, budget = problem.cost.exact, problem.budget
        if budget is not None and problem.cost.cheap:
            within = [c for c in candidates if cost(c) <= budget]
            problem.try_configuration(within[-1] if within else min(candidates, key=cost))
            return
        if budget is not None:
            first_over = bisect_right(candidates, budget, key=cost)
            problem.try_configuration(candidates[max(0, first_over - 1)])
            return

        def keeps(step: int) -> bool:
            return problem.try_configuration(candidates[step]).score >= problem.least_score

        steps = range(len(candidates))
        # Beyond the last stands the network as it is.
        wider = steps[first_holding(-1, len(candidates), keeps) :]
        for step in (
            sorted(wider, key=lambda step: cost(candidates[step])) if problem.cost.cheap else wider[:1]
        ):
            if keeps(step):
                return


class SnappedWidths:
    """All groups cut by one multiplier, in steps of ``1 / grid``, and made the best of on the device.

    Two ways to snap are compared, each at its largest multiplier within the cost: every group down to the candidate width
    below (of `options` per group), and the widths as they are. Both are then widened where that costs nothing
    (`compressor.costs.staircase.widen_free`). The one that keeps larger shares (their geometric mean) is taken.
    """

    def __init__(self, cost: CandidateCost, full: Configuration, grid: int = 64, options: int = 24) -> None:
        self._cost, self._full = cost, full
        self._even = normalised({name: np.ones(width) for name, width in full.widths.items()})
        self.candidates: CandidateWidths = {}
        self._rows: list[tuple[list[Configuration], list[float]]] = []
        if cost.cheap:
            self.candidates = staircase.candidate_widths(cost, full, options)
            plain = [scaled(full, step / grid) for step in range(1, grid + 1)]
            for row in (plain, [staircase.round_down(one, self.candidates) for one in plain]):
                self._rows.append((row, cost.many(row).tolist()))
        self.fastest = staircase.fastest(cost, full, self.candidates)
        """The widths of least cost that there are."""

    def within(self, most: float) -> Configuration | None:
        """The widest within a cost; None where there are none."""
        return staircase.fit_exactly(self._cost, most, self._estimated)

    def _estimated(self, most: float) -> Configuration | None:
        """The best snapped widths by estimates within a cost."""
        cost = self._cost
        if not self.candidates:
            return staircase.scale_to(cost, self._full, dict.fromkeys(self._full.widths, 1.0), most)
        found = []
        for row, costs in self._rows:
            fits = [one for one, price in zip(row, costs, strict=True) if price <= most]
            if fits:
                found.append(staircase.widen_free(cost, fits[-1], self.candidates))
        if not found:
            return self.fastest if cost(self.fastest) <= most else None
        return max(found, key=self._merit)

    def _merit(self, configuration: Configuration) -> tuple[float, float]:
        return staircase.kept_value(self._even, configuration), -self._cost(configuration)


@dataclass(eq=False)
class UniformSnapped(SearchMethod):
    """Tries `SnappedWidths` at the budget, or at ever lower costs while the score holds."""

    name: ClassVar[str] = "uniform-snapped"

    grid: int = 64
    options: int = 24

    def __post_init__(self) -> None:
        check_least("grid", self.grid, 2)
        check_least("options", self.options)

    def search(self, problem: SearchProblem) -> None:
        """See `SearchMethod.search`."""
        snapped = SnappedWidths(problem.cost, problem.full, self.grid, self.options)
        search_levels(
            problem,
            lambda level, attempt: snapped.within(level),
            problem.cost.exact(snapped.fastest),
            close=1.01,
        )
