"""``uniform``: every group to the same share of its width. The baseline that each other method must beat."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import ClassVar

from compressor.costs import scaled
from compressor.search.base import SearchMethod, SearchProblem, check_least
from compressor.search.levels import first_holding


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
