"""Profiles of a simulated device, driven through states: what must come out is known exactly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import simulated_states as states

from profiler.calm import WITHIN
from profiler.measurement import (
    Profile,
    ProfileSummary,
    measure_network,
    next_probes,
    observing,
    profile,
    profiling,
)
from profiler.measurement.combining import ProbeTime, Reading
from profiler.measurement.sensitivity import kind_of_work
from profiler.probes import Probe, plan_probes
from profiler.testing import check_target
from profiler.testing.simulated import CANARY_US, SimulatedTarget, power_of, time_us

SECONDS = 20.0
"""Virtual time of a profile, and length of a made trace."""


@pytest.fixture(scope="session")
def plan() -> list[Probe]:
    """300 probes of the usual plan, and some of its networks; their files are small, so that they are quickly built."""
    probes = plan_probes(("float32", "int8"))
    # Of loops the device that is simulated knows more than their probes say.
    light = [
        p
        for p in probes
        if sum(layer.weight_bytes for layer in p.layers) < 30_000 and p.layers[0].op != "while"
    ]
    networks = [
        p for p in probes if p.kind == "network" and sum(layer.weight_bytes for layer in p.layers) < 2e5
    ]
    return list(dict.fromkeys([*light[:300], *networks[:10]]))


@dataclass
class Profiled:
    """A profile that was made, as it is read afterwards."""

    summary: ProfileSummary
    reading: Reading

    @property
    def times(self) -> list[ProbeTime]:
        return [time for time in self.reading.times if time.time_us is not None]

    def errors(self, calm: bool) -> np.ndarray:
        """Relative errors of the times that were met in calm, or of the corrected ones."""
        return np.array([one.time_us / time_us(one.probe) - 1 for one in self.times if one.calm == calm])

    @property
    def calm_probes(self) -> int:
        """Probes with a calm time, but for the empty one."""
        return sum(one.calm for one in self.times if one.kind != "empty")

    @property
    def deviations(self) -> np.ndarray:
        """Errors of the corrected times in their own standard deviations."""
        return self.errors(False) / np.array([one.uncertainty for one in self.times if not one.calm])


@pytest.fixture
def take(tmp_path: Path, plan: list[Probe], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Profiled]:
    """Profile a simulated device; time is its own."""

    def taken(target: SimulatedTarget | np.ndarray, name: str = "d.db", seconds: float = SECONDS) -> Profiled:
        if not isinstance(target, SimulatedTarget):
            target = SimulatedTarget(target)
        for module in (profiling, next_probes, observing):
            monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=target.monotonic))
        summary = profile(target, tmp_path / name, minutes=seconds / 60, probes=plan)
        with Profile.open(tmp_path / name) as store:
            return Profiled(summary, store.reading(target.setting.key))

    return taken


def assert_right(found: Profiled) -> None:
    """Calm is found, times met in it are right, and what was corrected is as good as it says."""
    assert found.reading.calm.calm_us == pytest.approx(CANARY_US, rel=0.02)
    assert found.reading.calm.repeats
    in_calm = np.abs(found.errors(True))
    assert np.mean(in_calm < 0.02) > 0.97
    assert in_calm.max() < 0.1
    corrected = np.abs(found.errors(False))
    if corrected.size:
        assert corrected.mean() < 0.1
        assert np.mean(np.abs(found.deviations) < 2) > 0.8


def assert_powers_learned(found: Profiled, within: float = 0.15) -> None:
    learned = {kind: one for kind, one in found.reading.sensitivities.items() if one.points >= 100}
    assert learned
    for kind, one in learned.items():
        assert one.power == pytest.approx(power_of(kind), abs=within), kind


def assert_share_about(found: Profiled, share: float) -> None:
    """Of the time: a measurement in a calm moment is done sooner, so that of all measurements up to 1.5 times as many are calm."""
    assert found.reading.calm.share == pytest.approx(share, rel=0.08)


def factors(found: Profiled, least_share: float = 0.03) -> list[float]:
    return [state.factor for state in found.reading.calm.states if state.share > least_share]


def test_it_is_a_target_like_others() -> None:
    check_target(SimulatedTarget(states.alternating()))


def test_calm_and_busy_stretches(take) -> None:
    trace = states.alternating(SECONDS)
    found = take(trace)
    assert_right(found)
    assert_powers_learned(found)
    assert_share_about(found, np.mean(trace < WITHIN))
    assert found.summary.calm_probes == found.calm_probes > 0.95 * len(found.times)


def test_a_recorded_machine(take, shared_data: Path) -> None:
    trace = states.recorded(shared_data / "noise" / "canary_trace.npz")
    found = take(SimulatedTarget(trace, start_s=20.0), seconds=4.0)
    assert_right(found)
    assert_share_about(found, np.mean(trace[80_000:96_000] < WITHIN))
    assert 0.2 < np.mean([one.calm for one in found.times]) < 0.95
    longer = take(SimulatedTarget(trace, start_s=30.0), "longer.db")
    assert_right(longer)
    assert longer.summary.calm_probes > 0.9 * len(longer.times)


def test_three_states_are_told_apart(take) -> None:
    found = take(states.stretches({1.0: 0.3, 1.25: 0.4, 1.6: 0.3}, SECONDS))
    assert_right(found)
    assert_powers_learned(found, 0.2)
    assert factors(found) == pytest.approx([1.0, 1.25, 1.6], rel=0.02)


def test_where_it_was_never_calm_the_lowest_state_stands_for_it_and_the_other_is_named(take) -> None:
    trace = states.never_calm(SECONDS)
    found = take(trace)
    assert found.reading.calm.calm_us == pytest.approx(1.25 * CANARY_US, rel=0.03)
    assert found.summary.calm_share < 0.7
    assert factors(found) == pytest.approx([1.0, 1.2], rel=0.03)
    assert f"other states: {factors(found)[1]:.2f}x as slow" in str(found.summary)
    # Nothing here says what calm would be; but relative to each other times are right.
    relative = np.array(
        [
            one.time_us / (time_us(one.probe) * 1.25 ** power_of(kind_of_work(one.probe)))
            for one in found.times
        ]
    )
    assert np.abs(relative - 1).mean() < 0.04


def test_calm_that_was_known_before_a_busy_time_is_kept(take) -> None:
    take(states.stretches({1.0: 1.0}, SECONDS), seconds=1.0)
    found = take(states.never_calm(SECONDS), seconds=10.0)
    assert_right(found)
    assert found.reading.calm.share < 0.25
    assert found.summary.calm_share == found.reading.calm.share
    assert np.mean([one.calm for one in found.times]) < 0.6
    assert "as slow as the profile knows it in calm, and never calm" in str(found.summary)


def test_calm_at_the_end_only(take) -> None:
    trace = states.calm_at_the_end(SECONDS)
    found = take(trace)
    assert_right(found)
    assert_powers_learned(found)
    assert_share_about(found, 0.15)
    assert found.summary.calm_share == found.reading.calm.share
    assert found.summary.calm_probes == found.calm_probes > 0.5 * len(found.times)
    assert factors(found)[1:] == pytest.approx([1.2, 1.5], rel=0.08)


def test_slow_drift_does_not_make_states(take) -> None:
    found = take(states.drifting(SECONDS, by=0.04))
    assert found.reading.calm.calm_us == pytest.approx(CANARY_US, rel=0.04)
    assert found.reading.calm.repeats
    assert np.abs(found.errors(True)).mean() < 0.02
    assert found.summary.calm_probes > 0.9 * len(found.times)


def test_a_governor_that_lowers_the_clock_half_way_is_another_state(take) -> None:
    found = take(states.governor_step(SECONDS))
    assert_right(found)
    assert any(factor == pytest.approx(1.35, rel=0.02) for factor in factors(found))
    assert "the device became 1.35x as slow and stayed so (heat, or" in str(found.summary)
    assert_share_about(found, 0.45)


def test_the_clock_of_the_processor_says_why_it_became_slower(take) -> None:
    class WithClock(SimulatedTarget):
        def time_probe(self, content: bytes) -> dict:
            mhz = 1800.0 if self.now_s < SECONDS / 2 else 1333.0
            return {**super().time_probe(content), "clock": {"mhz": mhz}}

    found = take(WithClock(states.governor_step(SECONDS)))
    assert "stayed so (its clock fell from 1800 to 1333 MHz" in str(found.summary)


def test_a_profile_that_was_begun_at_a_lowered_clock_finds_calm_later(take) -> None:
    found = take(states.governor_step(SECONDS)[::-1].copy())
    assert_right(found)
    assert found.summary.calm_probes > 0.9 * len(found.times)


def test_a_clock_that_jumps_changes_nothing(take) -> None:
    trace = states.alternating(SECONDS, seed=3)
    jumping = SimulatedTarget(trace, wall_s=lambda now_s: 1.7e9 + now_s - (3600 if now_s > 7 else 0))
    assert take(jumping, "jumping.db").times == take(SimulatedTarget(trace), "steady.db").times


def test_a_canary_that_never_repeats_is_said(take) -> None:
    found = take(states.never_repeating(SECONDS))
    assert not found.reading.calm.repeats
    assert "never repeated" in str(found.summary)
    assert found.summary.to_dict()["canary_repeats"] is False
    assert found.reading.calm.share < 0.2
    # Times are no better than that, and say so.
    assert np.abs(found.errors(False)).mean() < 0.15
    assert np.mean(np.abs(found.deviations) < 2) > 0.8
    assert np.median([one.uncertainty for one in found.times if not one.calm]) > 0.05


def test_a_profile_that_is_resumed_improves(take) -> None:
    trace = states.alternating(120.0, seed=8, calm=0.1)
    first = take(SimulatedTarget(trace), seconds=4.0)
    again = take(SimulatedTarget(trace, seed=1, start_s=30.0), seconds=20.0)
    for found in (first, again):
        assert_right(found)
    assert first.summary.calm_probes < 0.6 * len(first.times)
    assert again.summary.calm_probes > 1.5 * first.summary.calm_probes

    def error(found: Profiled) -> float:
        return float(np.abs(np.concatenate([found.errors(True), found.errors(False)])).mean())

    assert error(again) < 0.7 * error(first)


def test_two_profiles_of_one_device_agree(take) -> None:
    trace = states.alternating(120.0, seed=7, calm=0.2)
    one = take(SimulatedTarget(trace), "one.db", 10.0)
    other = take(SimulatedTarget(trace, seed=1, start_s=50.0), "other.db", 10.0)
    times = [{row.probe_key: row.time_us for row in found.times if row.calm} for found in (one, other)]
    both = set(times[0]) & set(times[1])
    assert len(both) > 100
    ratios = np.array([times[0][key] / times[1][key] for key in both])
    assert np.median(np.abs(ratios - 1)) < 0.03
    assert np.median(ratios) == pytest.approx(1, abs=0.01)


def test_whole_networks_are_met_in_calm(take, plan: list[Probe]) -> None:
    found = take(states.alternating(SECONDS, seed=2))
    networks = [one for one in found.times if one.kind == "network"]
    assert len(networks) == 10
    assert all(one.calm for one in networks)


def test_a_whole_network_is_measured_by_the_same_rule(plan: list[Probe]) -> None:
    network = plan[-1]
    target = SimulatedTarget(states.alternating(SECONDS))
    target.calm_below_us = WITHIN * CANARY_US
    found = measure_network(network.build(), target, per_layer=False, seconds=3.0)
    true_ms = time_us(network) / 1e3
    assert found.measured_ms == pytest.approx(true_ms, rel=0.03)
    assert not found.disturbed
    assert 0.1 < found.calm_share < 0.8
    assert found.met_p50_ms > 1.05 * true_ms
    busy = SimulatedTarget(states.never_calm(SECONDS))
    busy.calm_below_us = target.calm_below_us
    found = measure_network(network.build(), busy, per_layer=False, seconds=3.0)
    assert (found.disturbed, found.calm_share) == (True, 0.0)
    assert found.slowness == pytest.approx(1.25, abs=0.06)
