"""The order of measuring: everything is met, most until it was calm, networks in calm moments."""

from __future__ import annotations

import collections
import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.measurement import schedule as module
from profiler.measurement.schedule import MOST, TIMES, ProbeSchedule, meetings_wanted
from profiler.operators import conv_2d, fully_connected
from profiler.probes import Probe

LAYERS = [Probe("layer", (conv_2d(4, 4, 3, channels),)) for channels in range(1, 401)]
NETWORKS = [Probe("network", (conv_2d(4, 4, 3, channels),) * 2) for channels in range(1, 9)]

FAR = Probe("layer", (fully_connected(2048, 2048),))
"""Others' use of the memory slows it down: its weights are 16 MB."""


def run(
    schedule: ProbeSchedule, calm: Callable[[int, Probe], bool], most: int = 100_000
) -> list[tuple[Probe, bool]]:
    """Measure until nothing is left; `calm` says what the moment of a number is. A moment looks like the one before."""
    met: list[tuple[Probe, bool]] = []
    looks_calm = True
    while (probe := schedule.next(looks_calm)) is not None:
        looks_calm = calm(len(met), probe)
        schedule.met(probe, looks_calm)
        met.append((probe, looks_calm))
        assert len(met) < most, "it does not end"
    return met


def order(met: list[tuple[Probe, bool]], among: list[Probe]) -> list[int]:
    return [among.index(probe) for probe, _ in met if probe in among]


def test_in_calm_all_are_met_in_the_order_of_the_plan_as_often_as_asked() -> None:
    schedule = ProbeSchedule(LAYERS[:20], 3)
    assert order(run(schedule, lambda *_: True), LAYERS) == [*range(20)] * 3
    assert (schedule.calm, schedule.covered, schedule.times, len(schedule)) == (20, 20, 60, 20)


def test_what_was_not_calm_comes_again_after_those_that_were_met_less_often() -> None:
    schedule = ProbeSchedule(LAYERS[:6])
    met = run(schedule, lambda number, probe: number not in (1, 4, 6))
    assert order(met, LAYERS) == [0, 1, 2, 3, 4, 5, 1, 4, 1]
    assert schedule.calm == 6


def test_the_second_time_begins_when_all_were_met_in_calm_once() -> None:
    met = run(ProbeSchedule(LAYERS[:30], 2), lambda number, probe: number % 2 == 0)
    calm = [LAYERS.index(probe) for probe, calm in met if calm]
    assert sorted(calm[:30]) == [*range(30)]
    assert sorted(calm[30:]) == [*range(30)]


def test_where_it_is_never_calm_each_is_met_so_often_and_left() -> None:
    schedule = ProbeSchedule([*NETWORKS, *LAYERS[:20]], 5)
    met = run(schedule, lambda *_: False)
    assert set(collections.Counter(probe for probe, _ in met).values()) == {MOST}
    assert (schedule.calm, schedule.covered) == (0, 28)


@given(st.integers(0, 10**6), st.floats(0.02, 1.0), st.integers(1, 3))
def test_everything_is_met_and_nothing_too_often(seed: int, share: float, calm_times: int) -> None:
    chance = random.Random(seed)
    probes = [*LAYERS[:40], *NETWORKS]
    chance.shuffle(probes)
    schedule = ProbeSchedule(probes, calm_times)
    met = run(schedule, lambda *_: chance.random() < share)
    times = collections.Counter(probe for probe, _ in met)
    calm = collections.Counter(probe for probe, calm in met if calm)
    assert set(times) == set(probes)
    assert max(times.values()) <= MOST
    for probe, times_calm in calm.items():
        assert times_calm <= max(calm_times, meetings_wanted(probe))
    assert all(calm[probe] >= calm_times or times[probe] >= MOST or not calm[probe] for probe in probes)
    assert all(calm[probe] or times[probe] == MOST for probe in probes)
    assert schedule.calm == len(calm)
    assert schedule.covered == len(probes)
    assert schedule.times == sum(min(count, calm_times) for count in calm.values())


def test_networks_wait_for_calm_moments_while_anything_else_is_open() -> None:
    chance = random.Random(0)
    met = run(ProbeSchedule([*NETWORKS, *LAYERS[:60]]), lambda *_: chance.random() < 0.3)
    looked_calm = [True, *(calm for _, calm in met)]
    others = [i for i, (probe, _) in enumerate(met) if probe.kind != "network"]
    networks = [i for i, (probe, _) in enumerate(met) if probe.kind == "network"]
    assert len(networks) >= len(NETWORKS)
    assert all(looked_calm[i] for i in networks if i < others[-1])


def test_networks_are_measured_in_the_end_also_where_it_is_never_calm() -> None:
    met = run(ProbeSchedule([*NETWORKS, *LAYERS[:10]]), lambda *_: False)
    # The first moment looks calm, for nothing is known yet.
    assert [probe.kind for probe, _ in met[1:121]] == ["layer"] * 120
    assert {probe.kind for probe, _ in met[121:]} == {"network"}


def test_a_calm_moment_goes_to_a_network() -> None:
    schedule = ProbeSchedule([*LAYERS[:3], NETWORKS[0]])
    assert schedule.next(False) == LAYERS[0]
    assert schedule.next(True) == NETWORKS[0]


def test_no_new_ones_are_begun_while_many_wait_unless_each_was_met_a_few_times(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "BACKLOG", 10)
    met = order(run(ProbeSchedule(LAYERS[:30]), lambda *_: False), LAYERS)
    assert met[: 10 * TIMES] == [*range(10)] * TIMES
    # Then one after the other is begun, and is met as often.
    assert met[10 * TIMES : 11 * TIMES] == [10] * TIMES
    calm = order(run(ProbeSchedule(LAYERS[:30]), lambda *_: True), LAYERS)
    assert calm == [*range(30)]


def test_what_is_added_comes_last_or_first_and_once() -> None:
    schedule = ProbeSchedule(LAYERS[:3])
    assert schedule.add([LAYERS[1], LAYERS[3], LAYERS[3]]) == [LAYERS[3]]
    assert schedule.add([LAYERS[4], LAYERS[5], LAYERS[0]], first=True) == LAYERS[4:6]
    assert order(run(schedule, lambda *_: True), LAYERS) == [4, 5, 0, 1, 2, 3]
    assert len(schedule) == 6


def test_what_is_known_from_before_is_not_asked_for() -> None:
    schedule = ProbeSchedule(LAYERS[:4])
    for key, calm in ((LAYERS[0].key, True), (LAYERS[1].key, False), ("another one", True)):
        schedule.know(key, calm)
    for _ in range(MOST):
        schedule.know(LAYERS[2].key, False)
    assert (schedule.calm, schedule.covered) == (1, 3)
    assert order(run(schedule, lambda *_: True), LAYERS) == [3, 1]


def test_what_is_dropped_is_not_heard_of_again() -> None:
    schedule = ProbeSchedule(LAYERS[:4], 2)
    schedule.drop(LAYERS[2].key)
    schedule.drop("another one")
    first = schedule.next(True)
    assert first == LAYERS[0]
    schedule.drop(first.key)  # it could not be run
    schedule.restart([])
    assert order(run(schedule, lambda *_: True), LAYERS) == [1, 3, 1, 3]
    assert schedule.covered == 4


def test_after_a_restart_only_what_is_known_to_be_calm_counts() -> None:
    schedule = ProbeSchedule(LAYERS[:4], 2)
    met = []
    for number in range(6):
        probe = schedule.next(True)
        schedule.met(probe, True)
        met.append(probe)
        assert probe == LAYERS[number % 4]
    assert (schedule.calm, schedule.times) == (4, 6)
    schedule.restart([LAYERS[1].key, LAYERS[3].key, LAYERS[3].key])
    assert (schedule.calm, schedule.times) == (2, 3)
    # Those without a calm meeting come first, then those that lack a second; among them what was met least.
    assert order(run(schedule, lambda *_: True), LAYERS) == [2, 0, 1, 2, 0]


def test_meetings_before_a_restart_count_towards_the_most() -> None:
    schedule = ProbeSchedule(LAYERS[:1])
    for _ in range(MOST - 2):
        schedule.met(schedule.next(True), False)
    schedule.restart([])
    assert len(run(schedule, lambda *_: False)) == 2


def test_what_decides_over_small_differences_is_met_several_times_before_all_is_met_again() -> None:
    schedule = ProbeSchedule([*LAYERS[:40], FAR, *NETWORKS])
    met = collections.Counter(probe for probe, _ in run(schedule, lambda *_: True))
    assert {met[probe] for probe in [FAR, *NETWORKS]} == {3}
    assert {met[probe] for probe in LAYERS[:40]} == {1}
