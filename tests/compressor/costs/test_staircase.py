import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compressor.costs import CandidateCost, Configuration
from compressor.costs.staircase import (
    candidate_widths,
    exchange_widths,
    fastest,
    fill_budget,
    kept_value,
    scale_to,
    scaled,
    shrink_to,
    widen_free,
)
from compressor.testing.workbench import WIDTHS, StaircaseTimes
from compressor.training import normalised

TIMES = StaircaseTimes()
FULL = Configuration(WIDTHS)
EVEN = normalised({name: np.ones(width) for name, width in WIDTHS.items()})


class Dipping(CandidateCost):
    """One group whose width 8 is faster than 5, 6 and 7."""

    cheap = True

    def exact(self, configuration):
        return float([1, 1, 2, 2, 4, 4, 4, 3, 5, 5][configuration.widths["a"] - 1])


def alone(width):
    return Configuration({"a": width})


def test_scaled_widths_are_at_least_one_and_at_most_full():
    full = Configuration({"a": 10, "b": 3})
    assert scaled(full, 0.25).widths == {"a": 2, "b": 1}
    assert scaled(full, {"a": 1.7, "b": 0.0}).widths == {"a": 10, "b": 1}


def test_candidate_widths_of_the_staircase():
    found = candidate_widths(TIMES, FULL, 60)
    assert found["c"] == [16, 32, 40]
    assert found["a"][-1] == 24


@given(
    share=st.floats(0.1, 1.0), others=st.tuples(st.floats(0.05, 1), st.floats(0.05, 1), st.floats(0.05, 1))
)
def test_scaled_widths_are_within_the_budget_and_use_it(share, others):
    budget = share * TIMES(FULL)
    found = scale_to(TIMES, FULL, dict(zip(WIDTHS, others, strict=True)), budget)
    assert TIMES(found) <= budget
    if found != FULL:
        more = {name: min(full, found.widths[name] + 1) for name, full in WIDTHS.items()}
        assert TIMES(Configuration(more)) > budget


def test_nothing_fits_an_impossible_budget():
    assert scale_to(TIMES, FULL, dict.fromkeys(WIDTHS, 1.0), 1e-9) is None
    assert shrink_to(TIMES, FULL, candidate_widths(TIMES, FULL), EVEN, 1e-9) is None


def test_widening_for_free_goes_to_a_wider_and_faster_width():
    candidates = {"a": [2, 4, 8, 10]}
    assert widen_free(Dipping(), alone(5), candidates) == alone(8)
    assert widen_free(Dipping(), alone(3), candidates) == alone(4)
    assert widen_free(Dipping(), alone(8), candidates) == alone(8)


def test_the_fastest_widths_have_the_most_channels_of_the_least_time():
    assert fastest(Dipping(), alone(10), {"a": [2, 4, 8, 10]}) == alone(2)


@given(share=st.floats(0.1, 1.0))
def test_filling_only_widens_and_stays_within_the_budget(share):
    budget = share * TIMES(FULL)
    start = scale_to(TIMES, FULL, dict.fromkeys(WIDTHS, 0.3), 0.5 * budget)
    if start is None:
        return
    candidates = candidate_widths(TIMES, FULL)
    found = fill_budget(TIMES, start, candidates, EVEN, budget)
    assert TIMES(found) <= budget
    assert all(found.widths[name] >= start.widths[name] for name in WIDTHS)
    for name, widths in candidates.items():
        wider = [found.with_widths({name: width}) for width in widths if width > found.widths[name]]
        assert all(TIMES(one) > budget for one in wider)


@given(share=st.floats(0.1, 1.0))
def test_shrinking_meets_the_budget(share):
    budget = share * TIMES(FULL)
    found = shrink_to(TIMES, FULL, candidate_widths(TIMES, FULL), EVEN, budget)
    assert found is None or TIMES(found) <= budget
    if share == 1.0:
        assert found == FULL


def test_shrinking_gives_up_what_matters_least():
    flat = {name: np.ones(width) / width for name, width in WIDTHS.items()}
    spiky = dict(flat)
    spiky["b"] = np.array([1.0] + [1e-9] * (WIDTHS["b"] - 1))
    candidates = candidate_widths(TIMES, FULL)
    found = shrink_to(TIMES, FULL, candidates, normalised(spiky), 0.6 * TIMES(FULL))
    assert found.widths["b"] < WIDTHS["b"]
    assert found.with_widths({"b": WIDTHS["b"]}) == FULL


@given(st.fixed_dictionaries({name: st.integers(1, width) for name, width in WIDTHS.items()}))
def test_exchanging_is_neither_slower_nor_worth_less_than_widening_alone(widths):
    times, importance = StaircaseTimes(), normalised({n: np.linspace(2, 1, w) for n, w in WIDTHS.items()})
    candidates = candidate_widths(times, FULL, 48)
    start = Configuration(widths)
    wider = widen_free(times, start, candidates)
    found = exchange_widths(times, start, candidates, importance)
    assert times(found) <= times(wider) * (1 + 1e-6) <= times(start) * (1 + 1e-5)
    assert kept_value(importance, found) >= kept_value(importance, wider)
    assert all(1 <= found.widths[name] <= WIDTHS[name] for name in WIDTHS)


def test_what_stands_on_a_new_tile_is_exchanged_for_what_is_worth_more():
    # The 33rd channel of b takes a tile that costs as much as seven more of a, which are then in their second tile.
    times, importance = StaircaseTimes(), normalised({n: np.ones(w) for n, w in WIDTHS.items()})
    candidates = candidate_widths(times, FULL, 48)
    found = exchange_widths(times, Configuration({"a": 17, "b": 33, "c": 8}), candidates, importance)
    assert found.widths == {"a": 24, "b": 32, "c": 16}


def test_kept_value_of_a_hand_worked_case():
    importance = {"a": np.array([0.1, 0.6, 0.3]), "b": np.array([0.5, 0.5])}
    assert kept_value(importance, Configuration({"a": 3, "b": 2})) == pytest.approx(0.0)
    assert kept_value(importance, Configuration({"a": 1, "b": 1})) == pytest.approx(
        (np.log(0.6) + np.log(0.5)) / 2
    )
