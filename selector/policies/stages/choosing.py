"""Which of the points that a search found meets a goal best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from profiler.errors import BudgetError
from selector.policies.goal import PolicyGoal
from selector.policies.stages.search import Point

CAUTION = 0.5
"""Standard errors that are added to what a policy is estimated to lose."""

_ROUNDING = 1e-9


@dataclass(frozen=True)
class SingleNetwork:
    """The best single network, which every policy is held against: errors 0 to 1, and ms."""

    wrong: float
    ms: float


class Estimated(Protocol):
    """What a policy is estimated to lose, as a share of all rows, and the standard error of that."""

    @property
    def drop(self) -> float: ...  # noqa: D102
    @property
    def uncertainty(self) -> float: ...  # noqa: D102


def cautious_drop(point: Estimated) -> float:
    """What a policy is taken to lose: its estimate on rows left out and some of its uncertainty."""
    return point.drop + CAUTION * point.uncertainty


def choose(points: Sequence[Point], goal: PolicyGoal, single: SingleNetwork) -> Point:
    """The best point for the goal; BudgetError, which names the nearest, where none meets it."""
    budget = mean_budget(goal, single)
    fast = within_budget(points, budget)
    allowed = goal.max_accuracy_drop
    if goal.prefer == "time" and allowed is None:
        allowed = 0.0
    if allowed is None:
        # Where the best single network is within the limits, none that is worse than it on the same rows.
        as_good = [one for one in fast if one.wrong <= single.wrong + _ROUNDING]
        fitting = as_good if any(one.alone for one in as_good) else fast
    else:
        most = allowed / 100 + _ROUNDING
        fitting = [one for one in fast if cautious_drop(one) <= most and one.wrong - single.wrong <= most]
    if not fitting:
        nearest = min(fast, key=lambda one: max(cautious_drop(one), one.wrong - single.wrong))
        lost = 100 * max(cautious_drop(nearest), nearest.wrong - single.wrong)
        raise BudgetError(
            f"No policy within these times loses at most {allowed or 0:g} points of accuracy; the nearest loses {lost:.2g} in "
            f"{nearest.own_ms:.3g} ms: allow more points or more time."
        )
    return _first(fitting, goal)


def choose_tested(points: Sequence[Point], goal: PolicyGoal, single: SingleNetwork) -> Point:
    """The best point for the goal of those whose accuracy was tested on other rows; BudgetError where none is fast enough."""
    return _first(within_budget(points, mean_budget(goal, single)), goal)


def mean_budget(goal: PolicyGoal, single: SingleNetwork) -> float:
    """The longest mean time that the goal allows, ms."""
    if goal.budget_ms is not None:
        return goal.budget_ms
    return single.ms if goal.prefer == "accuracy" else math.inf


def within_budget(points: Sequence[Point], budget: float) -> list[Point]:
    """The points that are fast enough on average, on their own rows and on rows left out; BudgetError where none is."""
    fast = [one for one in points if max(one.mean_ms, one.own_ms) <= budget * (1 + _ROUNDING)]
    if not fast:
        if not points:
            raise BudgetError("No network is within the longest time: raise it, or give a faster network.")
        nearest = min(points, key=lambda one: one.own_ms)
        raise BudgetError(
            f"No policy takes {budget:.3g} ms on average; the nearest takes {nearest.own_ms:.3g} ms: raise the budget, or give a "
            "faster network."
        )
    return fast


def _first(points: Sequence[Point], goal: PolicyGoal) -> Point:
    """The fastest, or the one that loses least."""
    if goal.prefer == "time":
        return min(points, key=lambda one: (one.own_ms, one.drop))
    return min(points, key=lambda one: (cautious_drop(one), one.own_ms))
