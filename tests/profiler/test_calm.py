"""What calm is, from the times of a canary."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.calm import WITHIN, Calm, State, calm_of, in_words

TIMES = st.lists(st.floats(1.0, 100.0), min_size=1, max_size=200)


def around(level: float, count: int, seed: int = 0, spread: float = 0.005) -> np.ndarray:
    return level * np.exp(spread * np.random.default_rng(seed).standard_normal(count))


# --- What holds for any times -------------------------------------------------------------------------------


@given(TIMES, st.floats(0.01, 100))
def test_units_do_not_matter(times: list[float], factor: float) -> None:
    one, other = calm_of(times), calm_of([factor * time for time in times])
    assert other.calm_us == pytest.approx(factor * one.calm_us)


@given(TIMES, st.integers(0, 99))
def test_order_does_not_matter(times: list[float], seed: int) -> None:
    assert calm_of(random.Random(seed).sample(times, len(times))) == calm_of(times)


@given(TIMES)
def test_calm_is_a_time_that_was_met_and_shares_are_shares(times: list[float]) -> None:
    found = calm_of(times)
    assert min(times) * (1 - 1e-9) <= found.calm_us <= max(times) * (1 + 1e-9)
    assert 0 < found.share <= 1
    assert sum(state.share for state in found.states) <= 1 + 1e-9
    factors = [state.factor for state in found.states]
    assert factors == sorted(factors)
    assert all(factor >= 1 for factor in factors)
    assert found.is_calm([min(times), found.calm_us])


@given(TIMES, st.integers(1, 50))
def test_missing_canaries_do_not_matter(times: list[float], missing: int) -> None:
    assert calm_of([*times, *[math.nan] * missing, *[0.0] * missing]) == calm_of(times)


@given(st.floats(0.1, 0.9), st.floats(1.12, 3.0), st.integers(0, 1000))
def test_of_two_states_the_lower_one_is_calm(share: float, factor: float, seed: int) -> None:
    calm = round(1000 * share)
    found = calm_of([*around(10.0, calm, seed), *around(10.0 * factor, 1000 - calm, seed + 1)])
    assert found.calm_us == pytest.approx(10.0, rel=0.01)
    assert found.share == pytest.approx(calm / 1000, abs=0.02)
    assert [state.factor for state in found.states] == [1.0, pytest.approx(factor, rel=0.02)]
    assert found.repeats


@given(st.floats(0.2, 0.9), st.integers(0, 1000))
def test_a_few_times_that_were_too_quick_do_not_define_calm(low: float, seed: int) -> None:
    times = around(10.0, 2000, seed)
    times[::200] = low * 10.0  # 0.5%
    found = calm_of(times)
    assert found.calm_us == pytest.approx(10.0, rel=0.01)
    assert found.share == pytest.approx(1.0)


# --- By hand ------------------------------------------------------------------------------------------------


def test_calm_is_the_lowest_state_and_not_the_most_usual_one() -> None:
    found = calm_of([*around(10.0, 60), *around(15.0, 300, 1), *around(19.0, 640, 2)])
    assert found.calm_us == pytest.approx(10.0, rel=0.005)
    assert found.share == pytest.approx(0.06)
    assert [state.factor for state in found.states] == pytest.approx([1.0, 1.5, 1.9], rel=0.01)
    assert [state.share for state in found.states] == pytest.approx([0.06, 0.3, 0.64], abs=0.03)


def test_a_state_that_was_hardly_met_is_none() -> None:
    found = calm_of([*around(10.0, 5), *around(15.0, 995, 1)])
    assert found.calm_us == pytest.approx(15.0, rel=0.01)
    assert len(found.states) == 1


def test_a_canary_that_wanders_a_little_is_one_state() -> None:
    found = calm_of(around(10.0, 3000, spread=0.012))
    assert found.calm_us == pytest.approx(10.0, rel=0.02)
    assert len(found.states) == 1
    assert found.share > 0.98


def test_a_canary_that_never_repeats() -> None:
    times = np.exp(np.linspace(math.log(10.0), math.log(80.0), 500))
    found = calm_of(times)
    assert not found.repeats
    assert found.calm_us < 10.5
    assert "never repeated" in in_words(found.share, found.states, found.repeats)
    assert calm_of(around(10.0, 500)).repeats


def test_a_handful_of_times_is_taken_as_it_is() -> None:
    found = calm_of([10.0])
    assert (found.calm_us, found.share, found.states) == (pytest.approx(10.0), 1.0, (State(1.0, 1.0),))
    found = calm_of([10.0, 20.0])
    assert (found.calm_us, found.share) == (pytest.approx(10.0), 0.5)


def test_without_a_canary_everything_is_calm() -> None:
    found = calm_of([])
    assert math.isnan(found.calm_us)
    assert (found.share, found.states, found.repeats) == (1.0, (), True)
    assert found.is_calm([])
    assert found.is_calm([1e9])
    assert np.isnan(found.slowness(np.array([3.0]))).all()


def test_shares_are_of_the_time_and_not_of_the_canaries() -> None:
    """Three calm canaries of 1 s and one busy one of 3 s: calm half of the time."""
    found = calm_of([10.0, 15.0, 10.0, 10.0] * 10, [1.0, 3.0, 1.0, 1.0] * 10)
    assert (found.calm_us, found.share) == (pytest.approx(10.0), pytest.approx(0.5))
    assert [(s.factor, s.share) for s in found.states] == [
        (1.0, pytest.approx(0.5)),
        (1.5, pytest.approx(0.5)),
    ]
    # Calm all the time is exactly that, whatever sums of fractions make of it.
    assert calm_of([10.0] * 9, [0.1] * 8 + [1e-9]).share == 1.0
    # A missing canary takes its time with it.
    assert calm_of([10.0, math.nan, 15.0], [1.0, 50.0, 3.0]).share == pytest.approx(0.25)


def test_what_is_calm_is_within_some_percent() -> None:
    calm = Calm(10.0, 0.5)
    assert calm.is_calm([])
    assert calm.is_calm([8.0, 10.0 * WITHIN])
    assert not calm.is_calm([10.0, 10.0 * WITHIN + 0.01])
    assert calm.slowness(np.array([5.0, 10.0, 15.0])).tolist() == [1.0, 1.0, 1.5]


def test_a_recorded_machine(shared_data) -> None:
    """Its calm time is known from a histogram: 14.2 to 14.4 us, met for 8 to 30% of the time."""
    recorded = np.load(shared_data / "noise" / "canary_trace.npz")["canary_us"]
    found = calm_of(recorded)
    assert 14.1 < found.calm_us < 14.5
    assert 0.2 < found.share < 0.32
    # Ten seconds of it say the same, where they hold calm moments; the last ones hardly do.
    *parts, last = np.split(recorded, 6)
    for part in parts:
        assert calm_of(part).calm_us == pytest.approx(found.calm_us, rel=0.02)
    assert calm_of(last).calm_us > 1.1 * found.calm_us
