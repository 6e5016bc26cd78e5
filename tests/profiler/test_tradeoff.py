"""The front, on cases worked by hand and against its definition."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.tradeoff import halfway, pareto_front

OPTIONS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=12)


@pytest.mark.parametrize(
    ("costs", "values", "front"),
    [
        ([], [], []),
        ([3.0], [0.1], [True]),
        # 1 ms at 80% and 2 ms at 90% are worth considering; 3 ms at 85% is beaten by the second.
        ([1, 2, 3], [0.8, 0.9, 0.85], [True, True, False]),
        # Same cost: only the better one. Same value: only the cheaper one.
        ([1, 1], [0.8, 0.9], [False, True]),
        ([1, 2], [0.8, 0.8], [True, False]),
        # Equals stand together, and a later beaten one does not.
        ([1, 1, 2], [0.8, 0.8, 0.8], [True, True, False]),
        ([2, 1], [float("-inf"), float("-inf")], [False, True]),
    ],
)
def test_worked_by_hand(costs, values, front):
    assert pareto_front(costs, values) == front


@given(OPTIONS)
def test_marks_are_those_of_the_definition(options):
    costs, values = [c for c, _ in options], [v for _, v in options]
    expected = [not any(oc <= c and ov >= v and (oc < c or ov > v) for oc, ov in options) for c, v in options]
    assert pareto_front(costs, values) == expected


def test_refuses_nan_and_uneven_lengths():
    with pytest.raises(ValueError, match="NaN"):
        pareto_front([1.0], [float("nan")])
    with pytest.raises(ValueError, match="2 costs and 1 values"):
        pareto_front([1.0, 2.0], [0.5])


def test_the_middle_is_that_of_ratios():
    assert halfway(1.0, 4.0, close=1.5) == pytest.approx(2.0)
    assert halfway(2.0, 3.0, close=1.5) is None


@given(st.floats(1e-6, 1e3), st.floats(1.01, 1e6), st.floats(1.01, 2.0), st.floats(0.0, 1.0))
def test_bisection_ends_beside_what_it_looks_for(low, ratio, close, place):
    high = low * ratio
    enough = low * ratio**place
    for _ in range(100):
        middle = halfway(low, high, close)
        if middle is None:
            break
        low, high = (low, middle) if middle >= enough else (middle, high)
    assert high / low <= close
    assert low <= enough * 1.0001
    assert high >= enough * 0.9999
