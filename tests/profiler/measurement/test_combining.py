from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.measurement import Timing
from profiler.measurement.combining import FAR, REPEATED, UNSETTLED, Reading, combine
from profiler.measurement.sensitivity import Sensitivity, kind_of_work
from profiler.operators import conv_2d, fully_connected
from profiler.probes import Probe

PROBES = [Probe("layer", (conv_2d(8, 8, 4, channels),)) for channels in range(1, 61)]
KIND = kind_of_work(PROBES[0])


def timing(number: int = 0, min_us: float | None = 10.0, canary_us: float | None = 5.0, **more) -> Timing:
    values = {
        "setting": "s", "probe_key": PROBES[number].key, "kind": "layer", "pass_number": 0, "attempt": 0, "at": 0.0,
        "median_us": min_us, "min_us": min_us, "p20_us": min_us, "spread": 0.0, "samples": 7, "before_us": canary_us,
        "after_us": canary_us, "waited": 0.0, "disturbed": False, "error": None,
    }  # fmt: skip
    return Timing(**{**values, **more})


CALM = [timing(number, 100.0 + number) for number in range(1, 31)]
"""So many calm ones that calm is known."""


def read(*rows: Timing) -> Reading:
    return combine([*rows, *CALM])


def time_of(reading: Reading, number: int = 0):
    return next(row for row in reading.times if row.probe_key == PROBES[number].key)


def test_one_row_per_probe_in_the_order_of_measuring() -> None:
    rows = combine([timing(2), timing(1), timing(2, pass_number=1)]).times
    assert [(row.probe_key, row.meetings) for row in rows] == [(PROBES[2].key, 2), (PROBES[1].key, 1)]


def test_the_fastest_sample_that_was_met_in_calm_counts() -> None:
    row = time_of(read(*(timing(min_us=value) for value in (30.0, 10.0, 11.0, 90.0))))
    assert (row.time_us, row.calm, row.uncertainty, row.meetings) == (10.0, True, REPEATED, 4)
    row = time_of(read(timing(min_us=9.0, disturbed=True), timing(min_us=10.0)))
    assert (row.time_us, row.calm, row.meetings) == (10.0, True, 2)
    row = time_of(read(timing(min_us=10.0), timing(min_us=9.0, canary_us=7.0)))
    assert (row.time_us, row.calm) == (10.0, True)


def test_what_others_use_of_the_memory_slows_is_surer_the_more_often_it_was_met_in_calm() -> None:
    """The canary does not show what it suffers, so the least of several counts."""
    key = Probe("layer", (fully_connected(2048, 2048),)).key
    times_us = [130.0, 100.0, 104.0]
    rows = [timing(probe_key=key, min_us=us, pass_number=i) for i, us in enumerate(times_us)]
    found = [combine([*rows[:count], *CALM]).times[0] for count in (1, 2, 3)]
    assert [(row.time_us, row.calm) for row in found] == [(130.0, True), (100.0, True), (100.0, True)]
    assert [row.uncertainty for row in found] == pytest.approx([FAR, FAR / 4, max(REPEATED, FAR / 9)])


def test_one_canary_that_was_not_calm_is_enough() -> None:
    assert time_of(read(timing(before_us=5.2, after_us=5.0))).calm
    assert not time_of(read(timing(before_us=5.0, after_us=6.0))).calm


def test_without_canaries_everything_counts_as_calm() -> None:
    found = combine([timing(0, 10.0, None), timing(1, 12.0, None)])
    assert [(row.time_us, row.calm) for row in found.times] == [(10.0, True), (12.0, True)]
    assert (found.calm.share, found.calm_probes) == (1.0, 2)


def test_failures_are_reported_and_do_not_hide_times() -> None:
    failed = {"min_us": None, "canary_us": None, "error": "no such kernel"}
    (row,) = combine([timing(**failed)]).times
    assert (row.time_us, row.error, row.calm, row.meetings) == (None, "no such kernel", False, 0)
    (row,) = combine([timing(**failed), timing(min_us=3.0)]).times
    assert (row.time_us, row.error, row.meetings) == (3.0, None, 1)


def test_times_are_corrected_by_their_own_canaries() -> None:
    """Without anything that says otherwise, a probe suffers as the canary does."""
    row = time_of(read(timing(min_us=15.0, canary_us=7.5)))
    assert (row.time_us, row.calm) == (pytest.approx(10.0), False)
    row = time_of(read(timing(min_us=12.5, before_us=5.0, after_us=7.5)))
    assert row.time_us == pytest.approx(10.0)


def test_times_are_corrected_by_what_their_kind_of_work_showed() -> None:
    power = 1.8
    both = [
        row
        for number in range(31, 60)
        for row in (timing(number, 100.0), timing(number, 100.0 * 1.5**power, canary_us=7.5))
    ]
    found = read(timing(min_us=10.0 * 1.3**power, canary_us=6.5), *both)
    # 29 points; the priors count for 20, and for 10.
    assert found.sensitivities[KIND].points == 29
    assert 1.5 < found.sensitivities[KIND].power < power
    assert time_of(found).time_us == pytest.approx(10.0, rel=0.08)
    assert time_of(found).uncertainty > REPEATED


def test_a_corrected_time_is_the_less_certain_the_slower_the_device_was() -> None:
    uncertainties = [time_of(read(timing(canary_us=canary))).uncertainty for canary in (5.5, 7.0, 10.0)]
    assert uncertainties == sorted(uncertainties)
    assert uncertainties[0] > REPEATED


def test_the_calmer_of_several_corrected_times_count_more() -> None:
    row = time_of(read(timing(min_us=11.0, canary_us=5.5), timing(min_us=40.0, canary_us=10.0)))
    assert 10.0 < row.time_us < math.sqrt(10.0 * 20.0)
    assert row.meetings == 2


def test_what_did_not_settle_in_calm_is_no_calm_time_but_a_better_one_than_none() -> None:
    row = time_of(read(timing(disturbed=True)))
    assert (row.time_us, row.calm) == (pytest.approx(10.0), False)
    assert row.uncertainty == pytest.approx(math.hypot(REPEATED, UNSETTLED))


def test_states_are_never_averaged_with_calm() -> None:
    busy = [timing(min_us=50.0, canary_us=9.0, pass_number=i) for i in range(1, 12)]
    assert time_of(read(timing(min_us=10.0), *busy)).time_us == 10.0


@pytest.mark.parametrize("pause_s", [0.0, 3600.0])
def test_the_share_of_calm_is_one_of_the_time_and_pauses_do_not_count(pause_s: float) -> None:
    """Calm measurements take 10 ms each, others 30 ms, as many of one as of the other."""
    at, rows = 1e9, []
    for number in range(40):
        busy = number % 2 == 1
        at += 0.03 if busy else 0.01
        rows.append(timing(number, at=at + pause_s * (number >= 20), canary_us=8.0 if busy else 5.0))
    share = combine(rows).calm.share
    assert share == pytest.approx(0.25, abs=0.04)
    assert combine(random.Random(0).sample(rows, len(rows))).calm.share == pytest.approx(share)


@given(st.lists(st.tuples(st.integers(0, 5), st.floats(1, 1e3), st.floats(5, 20)), min_size=1, max_size=30))
def test_neither_order_nor_the_units_of_the_canary_matter(met: list[tuple[int, float, float]]) -> None:
    rows = [timing(number, us, canary, pass_number=i) for i, (number, us, canary) in enumerate(met)]
    shuffled = random.Random(0).sample(rows, len(rows))
    other_canary = [
        timing(number, us, 3 * canary, pass_number=i) for i, (number, us, canary) in enumerate(met)
    ]
    expected = {row.probe_key: row for row in combine(rows).times}
    for found in (combine(shuffled), combine(other_canary)):
        for row in found.times:
            assert row.time_us == pytest.approx(expected[row.probe_key].time_us)
            assert row.uncertainty == pytest.approx(expected[row.probe_key].uncertainty)
            assert row.calm == expected[row.probe_key].calm


@given(st.lists(st.tuples(st.floats(1, 1e3), st.floats(5, 50)), min_size=1, max_size=20))
def test_no_time_is_above_what_was_met(met: list[tuple[float, float]]) -> None:
    for us, canary in met:
        row = time_of(read(timing(0, us, canary)))
        assert 0 < row.time_us <= us * (1 + 1e-9)
        assert row.uncertainty >= REPEATED


def test_the_usual_noise_is_assumed_until_points_tell() -> None:
    assert Sensitivity().variance(np.array([0.0, 0.5])).tolist() == [0.0, pytest.approx(0.25**2 * 0.5)]


def test_nothing_gives_nothing() -> None:
    found = combine([])
    assert (found.times, found.calm.share, found.sensitivities) == ([], 1.0, {})
