"""Choosing one network: under a budget, by accuracy, by predicted time."""

from __future__ import annotations

import math
from collections.abc import Sequence

from profiler.errors import BudgetError, UsageError
from selector.candidates import Candidate


def check_budget(budget_ms: float | None) -> None:
    """Refuse budgets that no network can meet.

    Raises
    ------
    UsageError
        The budget is not a positive number.
    """
    if budget_ms is not None and not (budget_ms > 0 and math.isfinite(budget_ms)):
        raise UsageError(f"A budget of {budget_ms:g} ms cannot be met: give a time above 0.")


def recommend(candidates: Sequence[Candidate], budget_ms: float | None = None) -> Candidate:
    """The network to run.

    Among those whose *predicted* time is within the budget the most accurate one, of equally accurate ones
    the fastest; where accuracy is not known the fastest. The prediction itself decides, not the upper end
    of its interval: that end bounds 90% of networks and would throw away most that fit. Who must not be
    late measures those that `Candidate.crosses` marks.

    Raises
    ------
    UsageError
        The budget is not positive, or there is nothing to choose from.
    BudgetError
        No network meets the budget; the message names the nearest.
    """
    check_budget(budget_ms)
    if not candidates:
        raise UsageError("There is no network to choose from: name at least one .tflite file.")
    fitting = [candidate for candidate in candidates if candidate.fits(budget_ms)]
    if not fitting:
        nearest = min(candidates, key=lambda candidate: candidate.predicted_ms)
        assert budget_ms is not None
        ratio = nearest.predicted_ms / budget_ms
        over = (
            f"{100 * (ratio - 1):.1f}% over"
            if ratio < 2
            else f"{ratio:,.0f} times that"
            if ratio >= 100
            else f"{ratio:.3g} times that"
        )
        raise BudgetError(
            f"No network is predicted to take at most {budget_ms:g} ms; nearest is {nearest.path} with "
            f"{nearest.predicted_ms:.3g} ms ({over}): raise the budget, or make it faster with "
            "'edgetime compress'."
        )
    return max(fitting, key=lambda candidate: (_worth(candidate), -candidate.predicted_ms))


def _worth(candidate: Candidate) -> float:
    return -math.inf if candidate.accuracy is None else candidate.accuracy
