"""Profiling: measure many probes on a target, each until it was met in calm, into a profile."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from profiler.calm import WITHIN
from profiler.devices import Target
from profiler.errors import EdgetimeError, TargetError, UsageError
from profiler.measurement.circumstances import Clock, notes_on_change, notes_on_device, notes_on_states
from profiler.measurement.combining import calm_in
from profiler.measurement.next_probes import Adviser, Consultation
from profiler.measurement.observing import observe
from profiler.measurement.power import SHARE, PowerReading, measure_power
from profiler.measurement.schedule import ProbeSchedule
from profiler.measurement.store import Profile
from profiler.measurement.summary import ProfileSummary
from profiler.probes import Probe, empty_probe
from profiler.progress import ProgressCallback, silent, sub_progress

CALM_TIMES = 5
"""Each probe is met in calm so often, where there is time."""
OBSERVING_SHARE = 0.05
"""Share of the time for `observe`."""
EMPTY_EVERY = 100
"""The overhead of a call is measured once per this many probes."""
PATIENCE, WORTH_IT = 2, 0.97
"""With all probes met, advice is followed until so often in a row the error did not fall to this share of the least."""
_LEVEL_EVERY = 200
"""After so many measurements what calm is, is worked out anew; in the beginning more often."""
_BELOW = 5
"""So many canaries below calm are a reason to do so at once."""
_KEEP_BYTES, _KEEP_LARGEST = 64 << 20, 32 << 10


def _opened(target: Target, db_path: str | os.PathLike[str]) -> Profile:
    """The profile to add to; a device that cannot be reached, or measures no energy, leaves no empty one behind."""
    if Path(db_path).parent.is_dir() and not Path(db_path).exists():
        target.hello()
        target.open_power()
    return Profile.append(db_path)


def profile(
    target: Target,
    db_path: str | os.PathLike[str],
    minutes: float = 3.0,
    dtypes: Sequence[str] = ("float32", "int8"),
    ops: Sequence[str] | None = None,
    seed: int = 0,
    progress: ProgressCallback = silent,
    *,
    probes: Sequence[Probe] | None = None,
    calm_times: int = CALM_TIMES,
    begin: float | None = None,
    adviser: Adviser | None = None,
    goal: float | None = None,
) -> ProfileSummary:
    """Measure probes on `target` into the profile at `db_path`, and go on from where it stopped.

    Each probe is measured until it was met in calm, see `profiler.calm`, then all of them again. What calm is follows from
    the canary's times of the whole profile. Where the target has a source of power, the last part of the time is for windows of
    power, see `profiler.measurement.power`.

    Parameters
    ----------
    target
        Where to measure; it is closed at the end.
    db_path
        The profile; made where there is none.
    minutes
        Wall time from `begin` on; the measurement in flight is finished.
    dtypes, ops, seed
        Which probes: see `profiler.probes.plan.plan_probes`.
    probes
        Probes to measure in place of planned ones, in an order in which every prefix is a good sample.
    calm_times
        How often each probe is met in calm, where there is time.
    begin
        When the command began, by `time.monotonic`; now, if None.
    adviser
        Asked when all probes were met, and now and then later, whether this is enough and what to measure next, such as
        `timemodel.fitting.next_probes.advise_probes`. What it advises is measured first.
    goal
        The error that the adviser aims at, for the summary; the adviser judges by itself.

    Raises
    ------
    UsageError
        `minutes` is not above 0, or there is no such dtype or operator.
    TargetError
        The device is gone, or its source of power has nothing to read. What was measured is in the profile.
    ProfileError
        The profile is damaged or of another device, or the disk is full.
    """
    begin = time.monotonic() if begin is None else begin
    if not (math.isfinite(minutes) and minutes > 0):
        raise UsageError(f"minutes must be above 0, not {minutes}.")
    if probes is None:
        probes = target.plan(dtypes, ops, seed)
    probes = list(dict.fromkeys(probes))
    if not probes:
        raise UsageError("There is nothing to measure: name at least one dtype and operator.")
    progress(0.0, "starting the agent")
    with target, _opened(target, db_path) as store:
        fingerprint = target.hello()
        setting = target.setting
        notes = [] if setting.simulated else notes_on_device(fingerprint, setting.threads)
        notes += notes_on_change(store.fingerprint_of(setting.key), fingerprint)
        store.register(setting, fingerprint)
        source = target.open_power()
        if source is not None:
            store.set_power_source(setting.key, source)
        windows = source is not None and source.get("given_w") is None
        advised = relevant(store.advised(setting.key), probes) if adviser is not None else []
        if setting.simulated:
            calm_times, adviser = 1, None  # nothing can differ the next time
        else:
            progress(0.0, "observing which operators the runtime runs")
            observe(target, store, setting.key, probes, begin + OBSERVING_SHARE * 60 * minutes)
        deadline = begin + 60 * minutes * (1 - SHARE if windows else 1)
        consultation = Consultation(adviser, store, setting.key, begin, deadline)
        run = _Run(
            target,
            store,
            setting.key,
            probes,
            advised,  # it comes first: it matters most
            begin,
            deadline,
            calm_times,
            consultation,
            progress,
        )
        stopped = run.measure()
        run.find_calm()
        problem = ""
        if source is not None and windows and run.schedule.calm:
            until = time.monotonic() + 60 * minutes * SHARE
            problem = measure_power(
                target, store, setting.key, source, until, sub_progress(progress, run.reported, 1.0)
            )
        power = store.reading(setting.key).power if source is not None and run.rows else None
        notes += power_notes(source, power, problem)
        if stopped == "complete":
            run.report_clock(run.note(), 1.0)
        latest = consultation.latest
        earlier = len(run.rows) - run.measured
        notes += notes_on_states(run.rows[earlier:], run.calm, run.clocks, resumed=earlier > 0)
        return ProfileSummary(
            path=str(db_path),
            device=store.device,
            setting=setting.key,
            probes=len(run.schedule),
            measured=run.measured,
            failed=len(run.failed),
            covered=run.schedule.covered / len(run.schedule),
            calm_share=run.calm.share,
            calm_probes=run.schedule.calm,
            states=run.calm.states,
            canary_repeats=run.calm.repeats,
            minutes=(time.monotonic() - begin) / 60,
            stopped=stopped,
            error=latest.error if latest else None,
            interval=latest.interval if latest else None,
            error_of=latest.of if latest else "networks",
            goal=goal,
            budget_minutes=minutes,
            advised=len(run.schedule) - len(probes),
            problem=consultation.problem,
            notes=tuple(notes),
            simulated=setting.simulated,
            power=power,
        )


def power_notes(source: Mapping[str, Any] | None, power: PowerReading | None, problem: str) -> list[str]:
    """What to know of energy: what was read, and what came in between."""
    notes = [str(power)] if power is not None else []
    if problem:
        notes.append(f"Energy was not measured to the end ({problem}): what was measured before is kept.")
    if source is not None and power is None and not problem:
        notes.append(
            f"No energy: no window of {source['source']} was calm (other processes ran, or the device was slow): "
            "stop what else runs there, then run the same command again."
        )
    return notes


def relevant(advised: Sequence[Probe], planned: Sequence[Probe]) -> list[Probe]:
    """The `advised` probes that are not planned but have operators and number types of the `planned` ones."""
    known = {probe.key for probe in planned}
    kinds = {(layer.op, layer.dtype) for probe in planned for layer in probe.layers}
    return [
        probe
        for probe in dict.fromkeys(advised)
        if probe.key not in known and all((layer.op, layer.dtype) in kinds for layer in probe.layers)
    ]


@dataclass
class _Run:
    """One call of `profile`: what is still to do, and by when; `first` are the probes that were advised earlier."""

    target: Target
    store: Profile
    setting: str
    planned: Sequence[Probe]
    first: Sequence[Probe]
    begin: float
    deadline: float
    calm_times: int
    consultation: Consultation
    progress: ProgressCallback

    def __post_init__(self) -> None:
        rows = self.rows = self.store.raw(self.setting)
        self.failed = {row.probe_key for row in rows if row.error is not None}
        self.calm = calm_in(rows)
        self.simulated = self.store.settings[self.setting].simulated
        self.schedule = ProbeSchedule([*self.first, *self.planned], self.calm_times, not self.simulated)
        for row in rows:
            self.schedule.know(row.probe_key, row.is_calm(self.calm))
        for key in self.failed:
            self.schedule.drop(key)
        self.empty = empty_probe()
        self.met: dict[str, int] = {}
        for row in rows:
            self.met[row.probe_key] = self.met.get(row.probe_key, 0) + 1
        self.measured = 0
        self.clocks: list[Clock] = []
        self.looks_calm = True
        self.reported = 0.0
        self._built: dict[str, bytes] = {}
        self._built_bytes = 0
        self._level_at = self._below = 0

    def measure(self) -> str:
        """Measure; returns why it ended, as in `ProfileSummary.stopped`."""
        least, patience = math.inf, PATIENCE
        try:
            while True:
                self.measure_all()
                if not (self.consultation.possible and patience):
                    return "complete"
                if self.consultation.latest is not None:
                    least = min(least, self.consultation.latest.error)
                before = len(self.schedule)
                self.ask()
                latest = self.consultation.latest
                if latest is None or len(self.schedule) == before:
                    return "complete"
                patience = PATIENCE if latest.error < WORTH_IT * least else patience - 1
        except _StoppedError as stop:
            return str(stop)

    def measure_all(self) -> None:
        """Measure what is on the schedule until nothing is left."""
        while True:
            self.check_time()
            # Advice on a part of the plan would only repeat the rest of it.
            if self.schedule.covered == len(self.schedule) and self.consultation.due:
                self.ask()
            probe = self.schedule.next(self.looks_calm)
            if probe is None:
                return
            if self.measured % EMPTY_EVERY == 0 and not self.simulated:
                self.measure_one(self.empty)
            if self.measure_one(probe):
                self.schedule.met(probe, self.looks_calm)
            self.report()

    def ask(self) -> None:
        """Ask the adviser, and put what it advises first."""
        advice = self.consultation.ask(
            lambda note: self.report_clock(f"learning what to measure next: {note}")
        )
        if advice is not None and advice.done:
            raise _StoppedError("goal")
        if advice is not None:
            new = self.schedule.add(relevant(advice.probes, self.planned), first=True)
            self.store.add_advised(self.setting, new)

    def measure_one(self, probe: Probe) -> bool:
        """Measure `probe` and store the result; whether it could be run. `looks_calm` says what it was met in."""
        try:
            result = self.target.time_probe(self.content_of(probe))
        except EdgetimeError as error:
            if isinstance(error, TargetError):
                raise
            result = {"error": str(error)}
        row = self.store.add(self.setting, probe.key, probe.kind, self.met.get(probe.key, 0), result)
        self.rows.append(row)
        if result.get("clock"):
            self.clocks.append(Clock.told(row.at, result["clock"]))
        self.met[probe.key] = self.met.get(probe.key, 0) + 1
        self.measured += 1
        if row.error is not None:
            self.failed.add(probe.key)
            self.schedule.drop(probe.key)
            return False
        self._below += sum(canary * WITHIN < self.calm.calm_us for canary in row.canaries_us)
        if len(self.rows) >= self._level_at or self._below >= _BELOW:
            self.find_calm()
        self.looks_calm = row.is_calm(self.calm)
        return True

    def find_calm(self) -> None:
        """Work out what calm is; where it is less than was thought, what was met in calm is another matter."""
        self._below = 0
        self._level_at = len(self.rows) + min(_LEVEL_EVERY, max(10, len(self.rows) // 2))
        before, self.calm = self.calm.calm_us, calm_in(self.rows)
        if math.isfinite(self.calm.calm_us):
            self.target.calm_below_us = WITHIN * self.calm.calm_us
        if self.calm.calm_us * WITHIN < before or self.calm.calm_us > before * WITHIN:
            self.schedule.restart(row.probe_key for row in self.rows if row.is_calm(self.calm))

    def content_of(self, probe: Probe) -> bytes:
        """Return the probe's file; small ones are kept for the next time.

        It is built while the agent idles: building beside it would disturb it.
        """
        known = self._built.get(probe.key)
        if known is not None:
            return known
        content = probe.build()
        if len(content) <= _KEEP_LARGEST and self._built_bytes + len(content) <= _KEEP_BYTES:
            self._built[probe.key] = content
            self._built_bytes += len(content)
        return content

    def check_time(self) -> None:
        """Stop where the time is up."""
        if time.monotonic() >= self.deadline:
            raise _StoppedError("budget")

    def report(self) -> None:
        """Report progress: by the clock or by what is done, whichever is further."""
        self.report_clock(self.note(), self.schedule.times / len(self.schedule) / self.calm_times)

    def note(self) -> str:
        """What is done, for the progress."""
        total = len(self.schedule)
        done = "worked out" if self.simulated else "met in calm"
        note = f"{self.schedule.calm:,} of {total:,} probes {done}"
        if self.calm.share < 1:
            note += f", calm {self.calm.share:.0%} of the time"
        return note

    def report_clock(self, note: str, work: float = 0.0) -> None:
        """Report progress by the clock, or by `work` where that is further; it never goes back."""
        clock = (time.monotonic() - self.begin) / (self.deadline - self.begin)
        self.reported = min(1.0, max(self.reported, clock, work))
        self.progress(self.reported, note)


class _StoppedError(Exception):
    """The end of measuring before all is done: ``goal`` or ``budget``."""
