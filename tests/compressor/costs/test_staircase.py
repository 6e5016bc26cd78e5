import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compressor.costs import (
    descended,
    exchanged,
    fastest,
    filled,
    fitted,
    kept_value,
    ladder,
    ladders,
    narrowed,
    scaled,
    thinned,
)
from compressor.testing.methods import WIDTHS, StaircaseTimes
from compressor.training import normalised

TIMES = StaircaseTimes()
EVEN = normalised({name: np.ones(width) for name, width in WIDTHS.items()})


class Dipping:
    """One group whose width 8 is faster than 5, 6 and 7."""

    def __call__(self, widths):
        return float([1, 1, 2, 2, 4, 4, 4, 3, 5, 5][widths["a"] - 1])

    def moves(self, widths, group, options):
        return np.array([self({group: option}) for option in options])


def test_scaled_widths_are_at_least_one_and_at_most_full():
    assert scaled({"a": 10, "b": 3}, 0.25) == {"a": 2, "b": 1}
    assert scaled({"a": 10, "b": 3}, {"a": 1.7, "b": 0.0}) == {"a": 10, "b": 1}


def test_a_ladder_leaves_out_what_a_wider_one_does_as_fast():
    assert ladder(np.array([1.0, 1.0, 3.0, 2.0, 4.0])) == [2, 4, 5]
    assert ladder(np.array([2.0])) == [1]
    assert ladder(np.array([3.0, 2.0, 1.0])) == [3]


def test_a_thinned_ladder_keeps_the_high_steps_and_both_ends():
    times = np.arange(1, 101, dtype=float)
    times[64:] += 50
    rungs = thinned(ladder(times), times, 8)
    assert len(rungs) <= 9
    assert {1, 64, 100} <= set(rungs)


def test_ladders_of_the_staircase():
    found = ladders(TIMES, WIDTHS, 60)
    assert found["c"] == [16, 32, 40]
    assert found["a"][-1] == 24


@given(
    share=st.floats(0.1, 1.0), others=st.tuples(st.floats(0.05, 1), st.floats(0.05, 1), st.floats(0.05, 1))
)
def test_fitted_widths_are_within_the_budget_and_use_it(share, others):
    budget = share * TIMES(WIDTHS)
    widths = fitted(TIMES, WIDTHS, dict(zip(WIDTHS, others, strict=True)), budget)
    assert TIMES(widths) <= budget
    if widths != WIDTHS:
        more = {name: min(full, widths[name] + 1) for name, full in WIDTHS.items()}
        assert TIMES(more) > budget


def test_nothing_fits_an_impossible_budget():
    assert fitted(TIMES, WIDTHS, dict.fromkeys(WIDTHS, 1.0), 1e-9) is None
    assert narrowed(TIMES, ladders(TIMES, WIDTHS), EVEN, 1e-9) is None


def test_descending_goes_to_a_wider_and_faster_width():
    steps = {"a": [2, 4, 8, 10]}
    assert descended(Dipping(), {"a": 5}, steps) == {"a": 8}
    assert descended(Dipping(), {"a": 3}, steps) == {"a": 4}
    assert descended(Dipping(), {"a": 8}, steps) == {"a": 8}


def test_the_fastest_widths_have_the_most_channels_of_the_least_time():
    assert fastest(Dipping(), {"a": 10}, {"a": [2, 4, 8, 10]}) == {"a": 2}


@given(share=st.floats(0.1, 1.0))
def test_filling_only_widens_and_stays_within_the_budget(share):
    budget = share * TIMES(WIDTHS)
    start = fitted(TIMES, WIDTHS, dict.fromkeys(WIDTHS, 0.3), 0.5 * budget)
    if start is None:
        return
    steps = ladders(TIMES, WIDTHS)
    widths = filled(TIMES, start, steps, EVEN, budget)
    assert TIMES(widths) <= budget
    assert all(widths[name] >= start[name] for name in WIDTHS)
    for name, rungs in steps.items():
        assert all(TIMES({**widths, name: rung}) > budget for rung in rungs if rung > widths[name])


@given(share=st.floats(0.1, 1.0))
def test_narrowing_meets_the_budget(share):
    budget = share * TIMES(WIDTHS)
    widths = narrowed(TIMES, ladders(TIMES, WIDTHS), EVEN, budget)
    assert widths is None or TIMES(widths) <= budget
    if share == 1.0:
        assert widths == WIDTHS


def test_narrowing_gives_up_what_matters_least():
    flat = {name: np.ones(width) / width for name, width in WIDTHS.items()}
    spiky = dict(flat)
    spiky["b"] = np.array([1.0] + [1e-9] * (WIDTHS["b"] - 1))
    widths = narrowed(TIMES, ladders(TIMES, WIDTHS), normalised(spiky), 0.6 * TIMES(WIDTHS))
    assert widths["b"] < WIDTHS["b"]
    assert {**widths, "b": WIDTHS["b"]} == WIDTHS


@given(st.fixed_dictionaries({name: st.integers(1, width) for name, width in WIDTHS.items()}))
def test_exchanging_is_neither_slower_nor_worth_less_than_widening_alone(widths):
    times, importance = StaircaseTimes(), normalised({n: np.linspace(2, 1, w) for n, w in WIDTHS.items()})
    steps = ladders(times, WIDTHS, 48)
    wider, found = descended(times, widths, steps), exchanged(times, widths, steps, importance)
    assert times(found) <= times(wider) * (1 + 1e-6) <= times(widths) * (1 + 1e-5)
    assert kept_value(importance, found) >= kept_value(importance, wider)
    assert all(1 <= found[name] <= WIDTHS[name] for name in WIDTHS)


def test_what_stands_on_a_new_tile_is_exchanged_for_what_is_worth_more():
    # The 33rd channel of b takes a tile that costs as much as seven more of a, which are then in their second tile.
    times, importance = StaircaseTimes(), normalised({n: np.ones(w) for n, w in WIDTHS.items()})
    steps = ladders(times, WIDTHS, 48)
    assert exchanged(times, {"a": 17, "b": 33, "c": 8}, steps, importance) == {"a": 24, "b": 32, "c": 16}


def test_kept_value_of_a_hand_worked_case():
    importance = {"a": np.array([0.1, 0.6, 0.3]), "b": np.array([0.5, 0.5])}
    assert kept_value(importance, {"a": 3, "b": 2}) == pytest.approx(0.0)
    assert kept_value(importance, {"a": 1, "b": 1}) == pytest.approx((np.log(0.6) + np.log(0.5)) / 2)
