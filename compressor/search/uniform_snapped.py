"""``uniform-snapped``: one multiplier for all groups, then each group's width on a step of the staircase."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from compressor.costs import CandidateWidths, Configuration, scaled, staircase
from compressor.search.base import SearchMethod, SearchProblem, check_least
from compressor.search.levels import search_levels
from compressor.training import normalised


@dataclass(eq=False)
class UniformSnapped(SearchMethod):
    """Cuts all groups by one multiplier, in steps of ``1 / grid``, and makes the best of it on the device.

    Two ways to snap are compared, each at its largest multiplier within the cost: every group down to the candidate width
    below (of `options` per group), and the widths as they are. Both are then widened where that costs nothing
    (`compressor.costs.staircase.widen_free`). The one that keeps larger shares (their geometric mean) is tried.
    """

    name: ClassVar[str] = "uniform-snapped"

    grid: int = 64
    options: int = 24

    def __post_init__(self) -> None:
        check_least("grid", self.grid, 2)
        check_least("options", self.options)

    def search(self, problem: SearchProblem) -> None:
        """See `SearchMethod.search`."""
        snapper = _Snapper(problem, self.grid, self.options)
        search_levels(
            problem,
            lambda level, attempt: staircase.fit_exactly(problem.cost, level, snapper.within),
            problem.cost.exact(snapper.least),
            close=1.01,
        )


class _Snapper:
    """All multipliers of one problem, snapped, with what they cost."""

    def __init__(self, problem: SearchProblem, grid: int, options: int) -> None:
        self._cost, self._full = problem.cost, problem.full
        self._even = normalised({name: np.ones(width) for name, width in problem.full.widths.items()})
        self._candidates: CandidateWidths = {}
        self._rows: list[tuple[list[Configuration], list[float]]] = []
        if problem.cost.cheap:
            self._candidates = staircase.candidate_widths(problem.cost, problem.full, options)
            plain = [scaled(problem.full, step / grid) for step in range(1, grid + 1)]
            for row in (plain, [staircase.round_down(one, self._candidates) for one in plain]):
                self._rows.append((row, problem.cost.many(row).tolist()))
        self.least = staircase.fastest(problem.cost, problem.full, self._candidates)

    def within(self, cost: float) -> Configuration | None:
        """The best snapped widths by estimates within a cost."""
        if not self._candidates:
            return staircase.scale_to(self._cost, self._full, dict.fromkeys(self._full.widths, 1.0), cost)
        found = []
        for row, costs in self._rows:
            fits = [one for one, price in zip(row, costs, strict=True) if price <= cost]
            if fits:
                found.append(staircase.widen_free(self._cost, fits[-1], self._candidates))
        if not found:
            return self.least if self._cost(self.least) <= cost else None
        return max(found, key=self._merit)

    def _merit(self, configuration: Configuration) -> tuple[float, float]:
        return staircase.kept_value(self._even, configuration), -self._cost(configuration)
