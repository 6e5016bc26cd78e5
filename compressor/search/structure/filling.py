"""One structure at any cost, and configurations near another one."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from compressor.costs import Configuration, staircase
from compressor.search.base import SearchProblem
from compressor.search.uniform import SnappedWidths

_STARTS = (0.5, 0.8)
"""Shares of the cost that are filled evenly, before importance says how to go on."""

_AIMS = (0.9, 0.75)
"""Shares of its cost that a configuration is shrunk to before it is filled again."""


class Filled:
    """One structure (`full`: at full widths) at any cost."""

    def __init__(
        self, problem: SearchProblem, full: Configuration, grid: int = 64, options: int = 24
    ) -> None:
        self._problem, self.removed = problem, full.removed
        self._snapped = SnappedWidths(problem.cost, full, grid, options)
        self.fastest = self._snapped.fastest

    @property
    def least(self) -> float:
        """The least that it costs, by estimates."""
        return self._problem.cost(self.fastest)

    def evenly(self, most: float) -> Configuration | None:
        """By one multiplier for all groups; None where even the least is above the cost."""
        return self._snapped.within(most)

    def by_importance(self, most: float, start_share: float = _STARTS[0]) -> Configuration | None:
        """Where a millisecond buys most importance, from a share of the cost on."""
        cost, candidates = self._problem.cost, self._snapped.candidates
        if not candidates:
            return None

        def estimated(level: float) -> Configuration | None:
            start = self._snapped.within(level * start_share) or self.fastest
            if cost(start) > level:
                return None
            return staircase.fill_budget(cost, start, candidates, self._problem.importance, level)

        return staircase.fit_exactly(cost, most, estimated)

    def all(self, most: float) -> list[Configuration]:
        """Every way to fill it, evenly first; none where even the least is above the cost."""
        evenly = self.evenly(most)
        if evenly is None:
            return []
        found = [evenly, *(self.by_importance(most, share) for share in _STARTS)]
        return list(dict.fromkeys(one for one in found if one is not None))

    def near(self, one: Configuration, most: float, rng: np.random.Generator) -> Iterator[Configuration]:
        """Configurations of this structure near one of it: some group narrower or wider, the rest of the cost spent again."""
        cost, candidates, importance = self._problem.cost, self._snapped.candidates, self._problem.importance
        names = [name for name, widths in candidates.items() if len(widths) > 1]
        for name in rng.permutation(names).tolist() if names else ():
            widths = candidates[name]
            place = int(np.searchsorted(widths, one.widths[name]))
            for other in (place + 1, place - 1):
                if not 0 <= other < len(widths):
                    continue
                moved = one.with_widths({name: widths[other]})
                left = {key: options for key, options in candidates.items() if key != name}
                for aim in _AIMS if other > place else (1.0,):
                    small = staircase.shrink_to(cost, moved, left, importance, aim * most)
                    if small is None:
                        continue
                    found = staircase.fill_budget(cost, small, left, importance, most)
                    if found != one and cost.exact(found) <= most:
                        yield found
                        break
