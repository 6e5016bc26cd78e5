"""``uniform-snapped``: one multiplier for all groups, then each group's width on a step of the staircase."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from compressor.costs import (
    Ladders,
    descended,
    exactly_within,
    fastest,
    fitted,
    kept_value,
    ladders,
    lowered,
    scaled,
)
from compressor.graph import Widths
from compressor.search.base import SearchMethod, SearchProblem
from compressor.search.levels import search_levels
from compressor.training import normalised
from profiler.errors import UsageError

_HALVINGS = 6


class UniformSnapped(SearchMethod):
    """Cuts all groups by one multiplier, and makes the best of it on the device: the strongest baseline that
    asks nothing about the network's weights.

    Parameters
    ----------
    grid
        Multipliers are looked at in steps of ``1 / grid``.
    rungs
        Widths per group that are looked at.

    Notes
    -----
    Two ways to snap are compared, each at its largest multiplier within the cost: every group down to the
    rung below, and the widths as they are. Both are then widened where that costs nothing
    (`compressor.costs.staircase.descended`). The one that keeps larger shares (their geometric mean) is tried.
    """

    name: ClassVar[str] = "uniform-snapped"

    def __init__(self, grid: int = 64, rungs: int = 24) -> None:
        if grid < 2:
            raise UsageError(f"grid must be 2 or more, not {grid}.")
        if rungs < 1:
            raise UsageError(f"rungs must be 1 or more, not {rungs}.")
        self.grid = grid
        self.rungs = rungs

    def search(self, problem: SearchProblem) -> None:
        """See `SearchMethod.search`."""
        snapper = _Snapper(problem, self.grid, self.rungs)
        search_levels(
            problem,
            lambda level, attempt: exactly_within(problem.cost, level, snapper.within),
            problem.cost.exact(snapper.least),
            close=1.01,
        )


class _Snapper:
    """All multipliers of one problem, snapped, with what they cost."""

    def __init__(self, problem: SearchProblem, grid: int, rungs: int) -> None:
        self._cost, self._full = problem.cost, problem.full
        self._even = normalised({name: np.ones(width) for name, width in problem.full.items()})
        self._steps: Ladders = {}
        self._rows: list[tuple[list[dict[str, int]], list[float]]] = []
        if problem.cost.cheap:
            self._steps = ladders(problem.cost, problem.full, rungs)
            plain = [scaled(problem.full, step / grid) for step in range(1, grid + 1)]
            for row in (plain, [lowered(widths, self._steps) for widths in plain]):
                self._rows.append((row, problem.cost.many(row).tolist()))
        self.least = fastest(problem.cost, problem.full, self._steps)

    def within(self, cost: float) -> dict[str, int] | None:
        """The best snapped widths by estimates within a cost."""
        if not self._steps:
            return fitted(self._cost, self._full, dict.fromkeys(self._full, 1.0), cost, _HALVINGS)
        found = []
        for row, costs in self._rows:
            fits = [widths for widths, price in zip(row, costs, strict=True) if price <= cost]
            if fits:
                found.append(descended(self._cost, fits[-1], self._steps))
        if not found:
            return self.least if self._cost(self.least) <= cost else None
        return max(found, key=self._merit)

    def _merit(self, widths: Widths) -> tuple[float, float]:
        return kept_value(self._even, widths), -self._cost(widths)
