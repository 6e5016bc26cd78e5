"""Which candidate is recommended, and what a budget that nothing meets says."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.errors import BudgetError, UsageError
from selector.selection import NetworkOption, front, recommend


def candidate(name, predicted_ms, accuracy=None, spread=0.1):
    low, high = predicted_ms * (1 - spread), predicted_ms * (1 + spread)
    return NetworkOption(Path(name), predicted_ms, low, high, accuracy=accuracy)


SMALL, MIDDLE, LARGE = (
    candidate("small", 1.0, 0.8),
    candidate("middle", 2.0, 0.9),
    candidate("large", 4.0, 0.92),
)
ALL = [SMALL, MIDDLE, LARGE]


@pytest.mark.parametrize(
    ("budget_ms", "chosen"), [(None, LARGE), (4.0, LARGE), (3.99, MIDDLE), (2.0, MIDDLE), (1.5, SMALL)]
)
def test_most_accurate_within_the_budget(budget_ms, chosen):
    assert recommend(ALL, budget_ms) is chosen


def test_of_equally_accurate_ones_the_fastest():
    slow = candidate("slow", 3.0, 0.9)
    assert recommend([slow, MIDDLE]) is MIDDLE


def test_without_accuracy_the_fastest():
    quick, slow = candidate("quick", 1.0), candidate("slow", 2.0)
    assert recommend([slow, quick], 5.0) is quick
    assert front([slow, quick]) == [False, True]


def test_interval_decides_what_is_marked_and_not_what_is_chosen():
    assert MIDDLE.crosses(2.1)
    assert MIDDLE.fits(2.1)
    assert MIDDLE.crosses(1.9)
    assert not MIDDLE.fits(1.9)
    assert not MIDDLE.crosses(2.3)
    assert not MIDDLE.crosses(1.7)
    assert not MIDDLE.crosses(None)
    assert recommend(ALL, 2.1) is MIDDLE


def test_unmet_budget_names_the_nearest_and_by_how_much():
    with pytest.raises(BudgetError, match=r"at most 0\.8 ms; nearest is small with 1 ms \(25\.0% over\)"):
        recommend(ALL, 0.8)


@pytest.mark.parametrize("budget_ms", [0, -1.0, float("nan"), float("inf")])
def test_refuses_budgets_that_are_no_time(budget_ms):
    with pytest.raises(UsageError, match="budget"):
        recommend(ALL, budget_ms)


@given(
    st.lists(st.tuples(st.floats(0.1, 9), st.floats(0, 1)), min_size=1, max_size=8),
    st.none() | st.floats(0.1, 9),
)
def test_recommended_is_on_the_front_of_what_fits(options, budget_ms):
    candidates = [candidate(str(i), ms, accuracy) for i, (ms, accuracy) in enumerate(options)]
    fitting = [c for c in candidates if c.fits(budget_ms)]
    if not fitting:
        with pytest.raises(BudgetError):
            recommend(candidates, budget_ms)
        return
    chosen = recommend(candidates, budget_ms)
    assert dict(zip(map(id, fitting), front(fitting), strict=True))[id(chosen)]
    assert all(c.accuracy <= chosen.accuracy for c in fitting)
