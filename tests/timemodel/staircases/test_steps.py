"""Arithmetic of staircases, worked by hand, and what holds of any times."""

from __future__ import annotations

import doctest
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from timemodel.staircases import (
    fastest_width,
    finer_period,
    main_period,
    step_around,
    step_ends,
    steps,
    steps_down,
    thin_out,
    undominated_widths,
    widths_to_try,
)

TIMES = st.lists(st.floats(0.001, 1000), min_size=1, max_size=60).map(np.array)


def test_examples():
    failed, tried = doctest.testmod(steps)
    assert tried >= 5
    assert failed == 0


def test_a_step_ends_where_one_channel_more_costs_as_much_as_several():
    assert step_ends(np.array([1.0] * 16 + [2.0] * 16 + [4.0] * 32 + [6.0])) == [16, 32, 64]
    assert step_ends(np.arange(1.0, 100.0)) == []
    assert step_ends(np.zeros(10)) == []
    assert step_ends(np.array([1.0])) == []


def test_the_step_around_a_width():
    assert step_around([16, 32, 64], 40, 100) == (33, 64)
    assert step_around([16, 32, 64], 7, 100) == (1, 16)
    assert step_around([16, 32, 64], 16, 100) == (1, 16)
    assert step_around([16], 17, 100) == (17, 100)
    assert step_around([], 17, 100) == (1, 100)


@given(st.sets(st.integers(1, 40)), st.integers(1, 41))
def test_steps_part_the_widths(ends, width):
    first, last = step_around(ends, width, 41)
    assert first <= width <= last
    assert {step_around(ends, other, 41) for other in range(first, last + 1)} == {(first, last)}
    assert last in ends or last == 41


@given(TIMES)
def test_a_width_is_worth_having_where_no_wider_one_is_as_fast(times):
    found = undominated_widths(times)
    assert found == sorted(set(found))
    assert found[-1] == len(times)
    chosen = times[np.array(found) - 1]
    assert (np.diff(chosen) > 0).all()
    for width, time in enumerate(times, 1):
        assert any(other >= width and times[other - 1] <= time * (1 + 1e-8) for other in found)


@given(TIMES, st.integers(2, 12))
def test_thinning_keeps_the_widest_and_the_end_of_the_highest_step(times, most):
    widths = undominated_widths(times)
    found = thin_out(widths, times, most)
    assert set(found) <= set(widths)
    assert found == sorted(found)
    assert found[-1] == widths[-1]
    if len(widths) <= most:
        assert found == widths
    else:
        assert len(found) <= most + 1
        rises = np.diff(times[np.array(widths) - 1]) / np.diff(widths)
        assert widths[int(np.argmax(rises))] in found


def test_thinning_by_hand():
    # Ten channels at 1 ms each, but the fifth costs 10 ms: the fourth width must stay, and the ends.
    times = np.array([1.0, 2, 3, 4, 14, 15, 16, 17, 18, 19])
    assert thin_out(range(1, 11), times, 4) == [1, 4, 10]
    assert thin_out(range(1, 11), times, 10) == list(range(1, 11))


def test_the_fastest_width_is_the_widest_of_equals():
    assert fastest_width([4, 8, 12, 16], [3.0, 1.0, 1.0 + 1e-12, 2.0]) == 12
    assert fastest_width([4, 8], [-1.0, -1.0 + 1e-12]) == 8
    assert fastest_width([4, 8], [-1.0, -0.9]) == 4
    assert fastest_width([7], [5.0]) == 7


@given(TIMES)
def test_no_width_is_faster_than_the_fastest(times):
    widths = list(range(1, len(times) + 1))
    found = fastest_width(widths, times)
    assert times[found - 1] <= times.min() * (1 + 1e-8)
    assert all(time > times[found - 1] for time in times[found:])


def test_steps_down_end_below_each_tile():
    extra = {width: math.ceil(width / 16) - 4.0 for width in range(1, 61)}
    assert steps_down(60, extra, 0.1) == [48, 32, 16]
    assert steps_down(60, extra, 2.0) == [32]
    assert steps_down(16, {w: 0.0 for w in range(1, 17)}, 0.1) == []
    assert steps_down(1, {1: 0.0}, 0.1) == []


def test_where_time_falls_evenly_any_width_that_saves_enough_is_a_step():
    extra = {width: (width - 20) * 1.0 for width in range(1, 21)}
    assert steps_down(20, extra, 6.0) == [14, 8, 2]


@given(TIMES, st.floats(0.001, 10))
def test_each_step_down_is_faster_than_the_one_before(times, least):
    width = len(times)
    extra = {w: float(times[w - 1] - times[-1]) for w in range(1, width + 1)}
    found = steps_down(width, extra, least)
    for wider, narrower in zip([width, *found], found, strict=False):
        assert narrower < wider
        assert extra[narrower] <= extra[wider] - least


@given(st.integers(1, 5000))
def test_every_small_width_is_tried_and_both_sides_of_the_multiples_of_large_ones(width):
    found = widths_to_try(width)
    assert found == sorted(set(found))
    assert {1, width, 2 * width} <= set(found) | {2 * width}
    assert found[-1] <= 2 * width
    assert set(range(1, min(64, 2 * width) + 1)) <= set(found)
    step = max(8, 8 * 2 ** math.ceil(math.log(max(width, 65) / 64, 4)))
    for multiple in range(64, width, step):
        assert {multiple, multiple + 1} <= set(found)
    assert len(found) <= 64 + 200 * math.log2(2 + width / 64)


@pytest.mark.parametrize(
    ("ends", "period", "finer"),
    [
        ({16, 32, 48, 64, 80, 96, 112, 128}, 16, 0),
        ({16, 32, 64, 96, 128}, 32, 16),
        ({8, 16, 24, 32, 64, 96, 128}, 32, 8),
        (set(), 0, 0),
        ({5, 17, 32}, 0, 0),
    ],
)
def test_periods(ends, period, finer):
    assert main_period(ends, 160) == period
    if period:
        assert finer_period(ends, period) == finer
