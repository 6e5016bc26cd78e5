"""The outer loop of every method that can say which widths it would take at a given cost."""

from __future__ import annotations

from collections.abc import Callable

from compressor.costs import Configuration, narrowest
from compressor.search.base import SearchProblem
from compressor.search.trial import Candidate, Trial
from profiler.tradeoff import halfway

CLOSE = 1.06
"""Costs nearer to each other than this ratio are not told apart."""

Propose = Callable[[float, int], Configuration | Candidate | None]
"""(cost to stay within, attempt from 0) -> a configuration, or a candidate that says which channels stay; None
where the method has none (left)."""


def search_levels(
    problem: SearchProblem, propose: Propose, least: float, tries: int = 1, close: float = CLOSE
) -> None:
    """Try what a method proposes: at the budget, or at less and less cost while the score holds.

    Under a limit on the score the least cost is found by halving on the scale of ratios, from `least`, what the method
    can reach, until the ratio is below `close`; `tries` proposals may miss the score before a cost is given up. After an
    interruption the same steps are taken again, and what was tried is only looked up.
    """
    if problem.budget is not None:
        for attempt in range(tries):
            proposed = propose(problem.budget, attempt)
            if proposed is None:
                break
            _try(problem, proposed)
        if not problem.trials:
            nearest = propose(least * (1 + 1e-9), 0)
            _try(problem, narrowest(problem.full) if nearest is None else nearest)
        return
    low, high = _span(problem, least, close)
    while (level := halfway(low, high, close)) is not None:
        met = _first_met(problem, propose, level, tries)
        if met is None:
            low = level
        else:
            high = min(level, problem.cost.exact(met.configuration))
    if not problem.trials:
        problem.try_configuration(problem.full)


def first_level(problem: SearchProblem, least: float, close: float = CLOSE) -> float | None:
    """The cost at which `search_levels` begins under a limit on the score; None where there is nothing to halve."""
    return halfway(*_span(problem, least, close), close)


def _span(problem: SearchProblem, least: float, close: float) -> tuple[float, float]:
    return least / close, problem.cost.exact(problem.full)


def first_holding(low: int, high: int, holds: Callable[[int], bool]) -> int:
    """The first number above `low` for which something holds, found by halving; for `high` it is taken to hold."""
    while high - low > 1:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle
    return high


def _first_met(problem: SearchProblem, propose: Propose, level: float, tries: int) -> Trial | None:
    for attempt in range(tries):
        proposed = propose(level, attempt)
        if proposed is None:
            return None
        trial = _try(problem, proposed)
        if trial.score >= problem.least_score:
            return trial
    return None


def _try(problem: SearchProblem, proposed: Configuration | Candidate) -> Trial:
    one = Candidate(proposed) if isinstance(proposed, Configuration) else proposed
    return problem.try_configuration(one.configuration, one.keep, one.model, one.network)
