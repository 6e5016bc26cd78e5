"""What every policy must be seen beside, on the same rows: single networks, oracle, static ensemble, plain cascade."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from selector.candidates import Answers
from selector.policies.base import PolicyPoint, table_point
from selector.policies.goal import PolicyGoal
from selector.policies.stages import Combiner, Gate, Prefixes, best_thresholds, stops_at

_PRICES = 48


def baselines(
    answers: Answers,
    single: int,
    goal: PolicyGoal,
    *,
    single_ms: NDArray[np.float64] | None = None,
    row_weights: NDArray[np.float64] | None = None,
) -> tuple[PolicyPoint, ...]:
    """Single networks, oracle, static ensemble and the plain cascade of two, in this order.

    Parameters
    ----------
    answers
        Of all networks.
    single
        The best single network.
    goal
        What the plain cascade is chosen by.
    single_ms
        Time of each network alone [networks]; default: its predicted time. For an early-exit network, the time up to each exit.
    """
    times = answers.times_ms if single_ms is None else single_ms
    rows = len(answers.y)
    found = [
        table_point(
            network.name, "single", answers.right[index], np.full(rows, times[index]), float(times[index]),
            row_weights=row_weights, dtype=network.dtype,
        )
        for index, network in enumerate(answers.networks)
    ]  # fmt: skip
    if len(answers.networks) < 2:
        return tuple(found)
    found.append(_oracle(answers, times, row_weights))
    together = Combiner(answers.log_probabilities, answers.y, row_weights).combined(
        range(len(answers.networks))
    )
    total = float(answers.times_ms.sum())
    found.append(
        table_point(
            "all networks, combined", "ensemble", together.argmax(axis=1) == answers.y, np.full(rows, total), total,
            row_weights=row_weights,
        )
    )  # fmt: skip
    if single_ms is None and (plain := _margin_cascade(answers, single, goal, row_weights)):
        found.append(plain)
    return tuple(found)


def best_of_type(points: tuple[PolicyPoint, ...], *, floats: bool) -> PolicyPoint | None:
    """The most accurate single network whose numbers are floats, or integers; None where there is none."""
    singles = [one for one in points if one.kind == "single" and one.dtype.startswith("float") == floats]
    return max(singles, key=lambda one: (one.accuracy, -one.mean_ms), default=None)


def _oracle(
    answers: Answers, times: NDArray[np.float64], row_weights: NDArray[np.float64] | None
) -> PolicyPoint:
    """For each row the fastest network that is right; the fastest of all where none is."""
    costs = np.where(answers.right, times[:, None], np.inf)
    anyone = np.asarray(answers.right.any(axis=0))
    ms = np.where(anyone, costs.min(axis=0), times.min())
    return table_point("oracle", "oracle", anyone, ms, float(times.max()), row_weights=row_weights)


def _margin_cascade(
    answers: Answers, single: int, goal: PolicyGoal, row_weights: NDArray[np.float64] | None
) -> PolicyPoint | None:
    """As published: one faster network, its margin, one threshold, then the best network; chosen on the same rows."""
    rows = len(answers.y)
    counts = np.full(rows, 1 / rows) if row_weights is None else row_weights / row_weights.sum()
    combiner = Combiner(answers.log_probabilities, answers.y, row_weights, fixed=True)
    prefixes = Prefixes(answers, combiner)
    least = float(answers.right[single] @ counts) - (goal.max_accuracy_drop or 0.0) / 100 - 1e-12
    budget = goal.budget_ms if goal.budget_ms is not None else np.inf
    if goal.prefer == "accuracy":
        least = -np.inf
        budget = min(budget, float(answers.times_ms[single])) if goal.budget_ms is None else budget
    prices = np.geomspace(1e-4, 1.0, _PRICES) / answers.times_ms[single]
    found = []
    for first in range(len(answers.networks)):
        if answers.times_ms[first] >= answers.times_ms[single]:
            continue
        stages = prefixes.stages((first, single), Gate())
        for thresholds in np.unique(best_thresholds(stages, prices, row_weights), axis=0):
            stopped = stops_at(stages, thresholds)
            wrong = np.where(stopped == 0, stages[0].loss, stages[1].loss)
            ms = np.array([stage.total_ms for stage in stages])[stopped]
            name = f"{answers.networks[first].name} > {answers.networks[single].name}"
            point = table_point(
                name, "margin cascade", wrong == 0, ms, stages[1].total_ms,
                row_weights=row_weights, stopped=stopped, stages=2,
            )  # fmt: skip
            if point.accuracy >= least and point.mean_ms <= budget:
                found.append(point)
    if goal.prefer == "accuracy":
        return max(found, key=lambda one: (one.accuracy, -one.mean_ms), default=None)
    return min(found, key=lambda one: (one.mean_ms, -one.accuracy), default=None)
