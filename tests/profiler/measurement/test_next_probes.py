"""Profiling with an adviser: when it is asked, what becomes of what it says, and that it cannot do harm."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from profiler.devices import Setting, Target
from profiler.errors import ProfileError, TargetError
from profiler.measurement import NextProbes, Profile, ProfileSummary, profile, profiling
from profiler.measurement import next_probes as advising
from profiler.operators import conv_2d, unary
from profiler.probes import Probe

PLAN = [Probe("layer", (conv_2d(4, 4, 3, channels),)) for channels in range(1, 13)]
NEW = [Probe("layer", (conv_2d(4, 4, 3, channels),)) for channels in range(21, 25)]
NAMES = {probe.build(): f"p{i}" for i, probe in enumerate(PLAN)} | {
    probe.build(): f"new{i}" for i, probe in enumerate(NEW)
}
ALL = [f"p{i}" for i in range(12)]


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that only goes on when the target or the adviser says so."""
    clock = Clock()
    for module in (profiling, advising):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=clock.monotonic))
    return clock


class PaperTarget(Target):
    """Takes `seconds` for every probe; is gone where it comes upon the probe `until`."""

    name = "paper"

    def __init__(self, clock: Clock, seconds: float = 0.1, until: str = "") -> None:
        self.clock, self.seconds, self.until = clock, seconds, until
        self.asked: list[str] = []

    @property
    def setting(self) -> Setting:
        return Setting("paper", "1.0")

    def hello(self) -> dict[str, Any]:
        return {"machine": "m", "cpu": "c", "cores": 2}

    def time_probe(self, content: bytes) -> dict[str, Any]:
        name = NAMES.get(content)
        if name and name == self.until:
            raise TargetError("gone")
        self.clock.now += self.seconds
        self.asked += [name] if name else []
        return {"median_us": 2.0, "min_us": 1.0, "p20_us": 1.5, "canaries_us": [5.0, 5.0], "disturbed": False}

    def close(self) -> None:
        pass


class Adviser:
    """Gives these answers one after the other, the last one again and again; an exception is raised."""

    def __init__(self, clock: Clock, *answers: NextProbes | Exception, seconds: float = 1.0) -> None:
        self.clock, self.answers, self.seconds = clock, list(answers), seconds
        self.at: list[float] = []
        self.knew: list[int] = []

    def __call__(self, times, events, progress) -> NextProbes:
        self.at.append(self.clock.now)
        self.knew.append(len([row for row in times if row.kind == "layer"]))
        self.clock.now += self.seconds
        progress(0.5, "conv_2d")
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def run(target: Target, path: Path, adviser: Adviser | None, **options: Any) -> ProfileSummary:
    options = {"minutes": 5.0, "probes": PLAN, "calm_times": 2, "goal": 0.03, **options}
    return profile(target, path, adviser=adviser, **options)


ENOUGH = NextProbes(True, 0.024, 0.04)


def not_yet(*probes: Probe, error: float = 0.08) -> NextProbes:
    return NextProbes(False, error, 0.2, probes)


def test_stops_when_the_goal_is_reached(tmp_path: Path, clock: Clock):
    target, adviser = PaperTarget(clock), Adviser(clock, ENOUGH)
    summary = run(target, tmp_path / "d.db", adviser)
    assert target.asked == ALL
    assert adviser.knew == [12]
    assert (summary.stopped, summary.error, summary.interval) == ("goal", 0.024, 0.04)
    assert summary.calm_probes == 12
    last = str(summary).splitlines()[-1]
    assert last.startswith(
        "Cross-validated error 2.4% (goal 3%), 90% of networks within ±4.0% (goal 5%) at the last check: "
    )
    assert "of 5 minutes" in last
    assert summary.to_dict()["stopped"] == "goal"


def test_what_is_advised_comes_first_and_in_all_passes(tmp_path: Path, clock: Clock):
    target = PaperTarget(clock)
    adviser = Adviser(clock, not_yet(*NEW[:2]), not_yet())
    summary = run(target, tmp_path / "d.db", adviser)
    assert target.asked == [*ALL, "new0", "new1", *ALL, "new0", "new1"]
    assert adviser.knew == [12, 14]
    assert (summary.stopped, summary.probes, summary.advised) == ("complete", 14, 2)
    assert summary.calm_probes == 14
    assert "2 probes were added" in str(summary)


def test_nobody_is_asked_before_the_first_pass_is_complete(tmp_path: Path, clock: Clock):
    adviser = Adviser(clock, ENOUGH)
    summary = run(PaperTarget(clock, 10.0), tmp_path / "d.db", adviser, minutes=1.0)
    assert adviser.at == []
    assert (summary.stopped, summary.error) == ("budget", None)
    assert 0 < summary.covered < 1


def test_uses_the_budget_where_the_goal_is_not_reached(tmp_path: Path, clock: Clock):
    """Asks no more than once a minute, and not when hardly any time is left."""
    begin = clock.now
    adviser = Adviser(clock, *(not_yet(one) for one in NEW), not_yet())
    target = PaperTarget(clock, 3.0)
    summary = run(target, tmp_path / "d.db", adviser, calm_times=1000, minutes=5.0)
    assert summary.stopped == "budget"
    assert 300 <= clock.now - begin <= 304
    assert len(adviser.at) >= 3
    assert min(b - a for a, b in zip(adviser.at, adviser.at[1:], strict=False)) >= advising.EVERY_S
    assert adviser.at[-1] <= begin + 300 - advising.LEAST_LEFT_S
    assert "all 5 minutes used" in str(summary)
    assert {"new0", "new1", "new2"} <= set(target.asked)


def test_ends_where_advice_does_not_help(tmp_path: Path, clock: Clock):
    """With all passes done, two answers in a row without a smaller error are enough."""
    adviser = Adviser(clock, *(not_yet(one, error=0.08) for one in NEW))
    summary = run(PaperTarget(clock), tmp_path / "d.db", adviser, calm_times=1, minutes=60)
    assert len(adviser.at) == 1 + profiling.PATIENCE
    assert summary.stopped == "complete"
    assert "nothing more to measure" in str(summary)


def test_goes_on_with_what_was_advised(tmp_path: Path, clock: Clock):
    adviser = Adviser(clock, not_yet(*NEW))
    with pytest.raises(TargetError):
        run(PaperTarget(clock, until="new1"), tmp_path / "d.db", adviser)
    target = PaperTarget(clock)
    summary = run(target, tmp_path / "d.db", Adviser(clock, not_yet()))
    assert target.asked == ["new1", "new2", "new3", *[f"new{i}" for i in range(4)], *ALL]
    assert (summary.advised, summary.calm_probes, summary.covered) == (4, 16, 1.0)


def test_a_profile_that_is_good_enough_is_not_measured_again(tmp_path: Path, clock: Clock):
    run(PaperTarget(clock), tmp_path / "d.db", Adviser(clock, ENOUGH))
    target = PaperTarget(clock)
    assert run(target, tmp_path / "d.db", Adviser(clock, ENOUGH)).stopped == "goal"
    assert target.asked == []


def test_an_adviser_that_fails_loses_nothing(tmp_path: Path, clock: Clock):
    for error, said in (
        (ZeroDivisionError("division by zero"), "ZeroDivisionError: division by zero"),
        (ProfileError("Too little was measured."), "(Too little was measured)"),
    ):
        target, adviser = PaperTarget(clock), Adviser(clock, error)
        path = tmp_path / f"{type(error).__name__}.db"
        summary = run(target, path, adviser)
        assert target.asked == [*ALL, *ALL]
        assert len(adviser.at) == 1
        assert (summary.stopped, summary.error) == ("complete", None)
        line = str(summary).splitlines()[-1]
        assert line.startswith("The plan was measured without advice: ")
        assert said in line
        assert line.count(".") - said.count(".") == 1
        with Profile.open(path) as store:
            assert len(store.measurements(target.setting.key)) == 13


def test_an_adviser_that_takes_too_long_is_given_up(tmp_path: Path, clock: Clock):
    target, adviser = PaperTarget(clock), Adviser(clock, ENOUGH, seconds=100.0)
    summary = run(target, tmp_path / "d.db", adviser)
    assert target.asked == [*ALL, *ALL]
    assert "takes too long" in summary.problem
    assert len(adviser.at) == 1


def test_advice_on_what_is_not_planned_is_not_followed(tmp_path: Path, clock: Clock):
    other = Probe("layer", (unary("relu", (1, 8, 8, 8)),))
    target = PaperTarget(clock)
    summary = run(target, tmp_path / "d.db", Adviser(clock, not_yet(other, PLAN[3], NEW[0], NEW[0])))
    assert summary.advised == 1
    assert target.asked == [*ALL, "new0", *ALL, "new0"]
    # Nor is what was advised for another choice of operators.
    again = PaperTarget(clock)
    assert run(again, tmp_path / "d.db", Adviser(clock, not_yet()), probes=[other], calm_times=1).advised == 0


def test_progress_never_goes_back(tmp_path: Path, clock: Clock):
    told: list[tuple[float, str]] = []
    adviser = Adviser(clock, not_yet(*NEW))
    run(PaperTarget(clock), tmp_path / "d.db", adviser, progress=lambda *row: told.append(row))
    fractions = [fraction for fraction, _ in told]
    assert fractions == sorted(fractions)
    assert any("what to measure next: conv_2d" in note for _, note in told)


def test_without_an_adviser_all_passes_are_measured(tmp_path: Path, clock: Clock):
    summary = run(PaperTarget(clock), tmp_path / "d.db", None)
    assert (summary.stopped, summary.error, summary.advised, summary.problem) == ("complete", None, 0, "")
    assert "Cross-validated" not in str(summary)
