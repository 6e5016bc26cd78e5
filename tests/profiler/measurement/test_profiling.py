from __future__ import annotations

import collections
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from profiler.calm import WITHIN
from profiler.devices import Setting, Target
from profiler.errors import ProfileError, TargetError, UsageError
from profiler.measurement import Profile, profile, profiling
from profiler.measurement.schedule import MOST
from profiler.operators import conv_2d
from profiler.probes import Probe, empty_probe

PROBES = [Probe("layer", (conv_2d(4, 4, 3, channels),)) for channels in range(1, 13)]


class FakeTarget(Target):
    """Answers by a function of the probe's number and of how often it was asked for it."""

    name = "fake"

    def __init__(self, answer: Any = None) -> None:
        self.contents = {probe.build(): number for number, probe in enumerate(PROBES)}
        self.asked: list[int] = []
        self.closed = 0
        self.answer = answer or (lambda number, times: {})

    @property
    def setting(self) -> Setting:
        return Setting("fake", "1.0")

    def hello(self) -> dict[str, Any]:
        return {"machine": "m", "cpu": "c", "cores": 1}

    def time_probe(self, content: bytes) -> dict[str, Any]:
        number = self.contents.get(content, -1)  # -1: the empty one
        self.asked.append(number)
        result = {
            "median_us": 2.0,
            "min_us": 1.0,
            "p20_us": 1.5,
            "canaries_us": [5.0, 5.0],
            "disturbed": False,
            "at": 1.7e9 + 0.01 * len(self.asked),
        }
        changes = self.answer(number, self.asked.count(number)) if number >= 0 else {}
        return changes if "error" in changes else {**result, **changes}

    def close(self) -> None:
        self.closed += 1

    @property
    def of_probes(self) -> list[int]:
        return [number for number in self.asked if number >= 0]


def run(target: Target, path: Path, **options) -> profiling.ProfileSummary:
    return profile(target, path, **{"minutes": 1.0, "probes": PROBES, "calm_times": 2, **options})


def test_every_probe_once_then_again(tmp_path: Path) -> None:
    target = FakeTarget()
    summary = run(target, tmp_path / "d.db")
    assert target.of_probes == [*range(12), *range(12)]
    assert (summary.measured, summary.probes, summary.calm_probes, summary.covered) == (25, 12, 12, 1.0)
    assert summary.calm_share == 1.0
    assert target.closed == 1
    with Profile.open(tmp_path / "d.db") as store:
        rows = store.raw()
    assert {(row.probe_key, row.pass_number) for row in rows if row.kind == "layer"} == {
        (probe.key, number) for probe in PROBES for number in (0, 1)
    }
    assert [row.pass_number for row in rows if row.kind == "empty"] == [0]


def test_what_a_call_costs_is_measured_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiling, "EMPTY_EVERY", 4)
    target = FakeTarget()
    run(target, tmp_path / "d.db", calm_times=1)
    assert target.asked == [-1, 0, 1, 2, -1, 3, 4, 5, -1, 6, 7, 8, -1, 9, 10, 11]
    assert empty_probe().kind == "empty"


def test_goes_on_where_it_stopped(tmp_path: Path) -> None:
    def drop_off(number: int, times: int) -> dict:
        if number == 7:
            raise TargetError("gone")
        return {}

    with pytest.raises(TargetError, match="gone"):
        run(FakeTarget(drop_off), tmp_path / "d.db")
    target = FakeTarget()
    summary = run(target, tmp_path / "d.db")
    assert target.of_probes == [*range(7, 12), *range(12)]
    assert (summary.calm_probes, summary.covered) == (12, 1.0)
    done = FakeTarget()
    assert run(done, tmp_path / "d.db").measured == 0
    assert done.asked == []


def test_ctrl_c_keeps_what_was_measured(tmp_path: Path) -> None:
    def interrupt(number: int, times: int) -> dict:
        if number == 5:
            raise KeyboardInterrupt
        return {}

    target = FakeTarget(interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(target, tmp_path / "d.db")
    assert target.closed == 1
    assert os.listdir(tmp_path) == ["d.db"]
    with Profile.open(tmp_path / "d.db") as store:
        assert len(store) == 6  # five and the empty one


def test_what_cannot_run_is_tried_once_and_recorded(tmp_path: Path) -> None:
    target = FakeTarget(lambda number, times: {"error": "no kernel"} if number == 3 else {})
    summary = run(target, tmp_path / "d.db")
    assert target.of_probes.count(3) == 1
    assert (summary.failed, summary.calm_probes, summary.covered) == (1, 11, 1.0)
    again = FakeTarget()
    run(again, tmp_path / "d.db", calm_times=3)
    assert again.of_probes == [number for number in range(12) if number != 3]


def test_a_probe_that_cannot_be_built_is_recorded(tmp_path: Path) -> None:
    class Broken(Probe):
        def build(self, seed: int = 0) -> bytes:
            raise UsageError("no such operator")

    broken = Broken("layer", (conv_2d(4, 4, 3, 99),))
    summary = run(FakeTarget(), tmp_path / "d.db", probes=[PROBES[0], broken])
    assert summary.failed == 1
    with Profile.open(tmp_path / "d.db") as store:
        assert {row.error for row in store.measurements("fake 1.0, xnnpack, 1 thread")} == {
            None,
            "no such operator",
        }


SLOW = {"canaries_us": [9.0, 9.0]}


def test_what_was_not_met_in_calm_is_measured_again_after_the_others(tmp_path: Path) -> None:
    target = FakeTarget(lambda number, times: SLOW if number in (2, 9) and times == 1 else {})
    summary = run(target, tmp_path / "d.db", calm_times=1)
    assert target.of_probes == [*range(12), 2, 9]
    assert summary.calm_probes == 12
    with Profile.open(tmp_path / "d.db") as store:
        assert all(time.calm for time in store.measurements(target.setting.key))


def test_what_did_not_settle_is_measured_again(tmp_path: Path) -> None:
    target = FakeTarget(lambda number, times: {"disturbed": number in (2, 9) and times == 1})
    assert run(target, tmp_path / "d.db", calm_times=1).calm_probes == 12
    assert target.of_probes == [*range(12), 2, 9]


def test_what_is_never_met_in_calm_is_left_after_a_while_and_said(tmp_path: Path) -> None:
    target = FakeTarget(lambda number, times: SLOW if number == 4 else {})
    summary = run(target, tmp_path / "d.db")
    assert target.of_probes.count(4) == MOST
    assert (summary.stopped, summary.calm_probes, summary.covered) == ("complete", 11, 1.0)
    assert "all met, 11 in calm" in str(summary)
    assert summary.calm_share < 0.8
    assert any(state.factor == pytest.approx(1.8) for state in summary.states)


def test_calm_that_is_found_late_has_everything_measured_again(tmp_path: Path) -> None:
    """Half the plan was met at one speed before the device turned out to be faster."""
    target = FakeTarget(lambda number, times: SLOW if len(target.asked) <= 6 else {})
    summary = run(target, tmp_path / "d.db", calm_times=1)
    assert summary.calm_probes == 12
    assert target.of_probes.count(1) == 2
    with Profile.open(tmp_path / "d.db") as store:
        found = store.reading(target.setting.key)
    assert found.calm.calm_us == pytest.approx(5.0)
    assert found.calm_probes == 12 + 1  # and the empty one


def test_the_target_learns_below_what_it_is_calm(tmp_path: Path) -> None:
    target = FakeTarget()
    run(target, tmp_path / "d.db")
    assert target.calm_below_us == pytest.approx(WITHIN * 5.0)
    without = FakeTarget(lambda number, times: {"canaries_us": []})
    assert run(without, tmp_path / "other.db").calm_share == 1.0


def test_a_probe_that_is_named_twice_counts_once(tmp_path: Path) -> None:
    summary = run(FakeTarget(), tmp_path / "d.db", probes=[*PROBES, *PROBES])
    assert (summary.probes, summary.advised) == (12, 0)


def test_minutes_count_from_the_start_of_the_command(tmp_path: Path) -> None:
    target = FakeTarget()
    summary = run(target, tmp_path / "d.db", minutes=1.0, begin=time.monotonic() - 61)
    assert target.asked == []
    assert summary.covered == 0
    assert "the same command goes on" in str(summary)


def test_stops_when_the_time_is_up(tmp_path: Path) -> None:
    target = FakeTarget(lambda number, times: time.sleep(0.05) or {})
    begin = time.monotonic()
    summary = run(target, tmp_path / "d.db", minutes=0.2 / 60, calm_times=1000)
    assert time.monotonic() - begin < 30
    assert 0 < len(target.of_probes) < 12
    assert 0 < summary.covered < 1


def test_progress_rises_to_one_and_names_the_probe(tmp_path: Path) -> None:
    told: list[tuple[float, str]] = []
    run(FakeTarget(), tmp_path / "d.db", progress=lambda fraction, note: told.append((fraction, note)))
    fractions = [fraction for fraction, _ in told]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert told[-1][1] == "12 of 12 probes met in calm"


def test_summary_as_json_and_words(tmp_path: Path) -> None:
    summary = run(FakeTarget(), tmp_path / "d.db")
    assert json.loads(json.dumps(summary.to_dict()))["measured"] == 25
    assert "25 measurements of 12 probes" in str(summary)
    assert "all met, 12 in calm" in str(summary)
    assert "The device was calm 100% of the time." in str(summary)


@pytest.mark.parametrize("minutes", [0, -1, float("nan"), float("inf")])
def test_minutes_must_be_positive(tmp_path: Path, minutes: float) -> None:
    with pytest.raises(UsageError, match="minutes"):
        run(FakeTarget(), tmp_path / "d.db", minutes=minutes)
    assert not (tmp_path / "d.db").exists()


def test_unknown_dtypes_and_operators_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    for options in ({"dtypes": ["float13"]}, {"ops": ["nix"]}, {"dtypes": []}, {"probes": []}):
        with pytest.raises(UsageError):
            profile(FakeTarget(), tmp_path / "d.db", **options)
    assert os.listdir(tmp_path) == []


def test_a_profile_of_another_device_is_not_touched(tmp_path: Path) -> None:
    run(FakeTarget(), tmp_path / "d.db")
    other = FakeTarget()
    other.hello = lambda: {"machine": "m", "cpu": "another", "cores": 1}  # type: ignore[method-assign]
    with pytest.raises(ProfileError, match="another device"):
        run(other, tmp_path / "d.db")
    assert (other.asked, other.closed) == ([], 1)


# --- For real -----------------------------------------------------------------------------------------------

SCRIPT = """
import sys
from profiler.probes.probe import Probe
from profiler.measurement.profiling import profile
from profiler.operators import conv_2d
from profiler.devices import open_target

probes = [Probe("layer", (conv_2d(4, 4, 3, channels),)) for channels in range(1, 121)]
summary = profile(open_target("local"), sys.argv[1], minutes=2, probes=probes, calm_times=2)
print(summary.stopped)
"""


def wait_until_it_measures(process: subprocess.Popen, path: Path) -> None:
    """Wait until another process has stored some measurements, without getting in its way: until its log has grown."""
    log = path.with_name(path.name + "-wal")
    while process.poll() is None and not (log.exists() and log.stat().st_size > 150_000):
        time.sleep(0.005)


def test_kill_9_loses_and_repeats_nothing(tmp_path: Path) -> None:
    """Killed three times at random moments, the same command goes on: no probe is met in calm more often than it was to be."""
    path = tmp_path / "d.db"
    command = [sys.executable, "-c", SCRIPT, str(path)]
    chance = random.Random()
    seen: set[tuple[str, int, float]] = set()
    stored = []
    for _ in range(3):
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        wait_until_it_measures(process, path)
        time.sleep(chance.uniform(0, 0.25))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        with Profile.open(path) as store:
            rows = {(row.probe_key, row.pass_number, row.at) for row in store.raw()}
        assert seen <= rows, "what was measured is gone"
        seen = rows
        stored.append(len(rows))
    assert 0 < stored[0] < stored[-1] <= 120 * MOST + 30
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout.strip() in ("complete", "budget"), done.stderr
    with Profile.open(path) as store:
        rows = store.raw()
        final = {(row.probe_key, row.pass_number, row.at) for row in rows}
    assert seen <= final
    assert sorted(path.parent.iterdir()) == [path]
    met = collections.Counter(row.probe_key for row in rows if row.kind == "layer")
    assert len(met) == 120
    assert max(met.values()) <= MOST
    assert {row.attempt for row in rows} == {0}, "a measurement has the number of another one"


def test_sigterm_leaves_a_usable_profile(tmp_path: Path) -> None:
    path = tmp_path / "d.db"
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(path)], stdout=subprocess.DEVNULL)
    wait_until_it_measures(process, path)
    process.terminate()
    process.wait()
    with Profile.open(path) as store:
        (setting,) = store.settings
        assert store.measurements(setting)
