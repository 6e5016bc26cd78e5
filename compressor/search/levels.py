"""The outer loop of every method that can say which widths it would take at a given cost."""

from __future__ import annotations

import math
from collections.abc import Callable

from compressor.graph import Widths
from compressor.search.base import (
    Candidate,
    SearchProblem,
    Trial,
)

CLOSE = 1.06
"""Costs nearer to each other than this ratio are not told apart."""

Propose = Callable[[float, int], Widths | Candidate | None]
"""(cost to stay within, attempt from 0) -> widths, or a candidate that says which channels stay; None where
the method has none (left)."""


def search_levels(
    problem: SearchProblem, propose: Propose, least: float, tries: int = 1, close: float = CLOSE
) -> None:
    """Try what a method proposes: at the budget, or at less and less cost while the score holds.

    Under a limit on the score the least cost is found by halving on the scale of ratios: after an
    interruption the same steps are taken again, and what was tried is only looked up.

    Parameters
    ----------
    least
        The least cost that the method can reach.
    tries
        Proposals that may miss the score before a cost is given up.
    close
        Halving ends where the costs between which the answer lies are nearer than this ratio.
    """
    if problem.budget is not None:
        for attempt in range(tries):
            proposed = propose(problem.budget, attempt)
            if proposed is None:
                break
            _try(problem, proposed)
        if not problem.trials:
            nearest = propose(least * (1 + 1e-9), 0)
            _try(problem, dict.fromkeys(problem.full, 1) if nearest is None else nearest)
        return
    low, high = least / close, problem.cost.exact(problem.full)
    while high / low > close:
        level = math.sqrt(low * high)
        met = _first_met(problem, propose, level, tries)
        if met is None:
            low = level
        else:
            high = min(level, problem.cost.exact(met.widths))
    if not problem.trials:
        problem.try_widths(problem.full)


def _first_met(problem: SearchProblem, propose: Propose, level: float, tries: int) -> Trial | None:
    for attempt in range(tries):
        proposed = propose(level, attempt)
        if proposed is None:
            return None
        trial = _try(problem, proposed)
        if trial.score >= problem.least_score:
            return trial
    return None


def _try(problem: SearchProblem, proposed: Widths | Candidate) -> Trial:
    if isinstance(proposed, Candidate):
        return problem.try_widths(proposed.widths, proposed.keep, proposed.model, proposed.network)
    return problem.try_widths(proposed)
