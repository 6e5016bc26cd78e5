"""Profiling: measure many probes on a target, in several passes, into a profile."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from profiler.devices import Target
from profiler.errors import EdgetimeError, UsageError
from profiler.measurement.next_probes import Adviser, Consultation
from profiler.measurement.observing import observe
from profiler.measurement.store import Profile
from profiler.measurement.summary import ProfileSummary
from profiler.probes import Probe, empty_probe, plan_probes
from profiler.progress import ProgressCallback, silent

MAX_PASSES = 5
REDO_SHARE = 0.3
"""Redoing what was disturbed takes at most this share of the time that the pass itself took."""
OBSERVING_SHARE = 0.05
"""Share of the time for `observe`."""
EMPTY_EVERY = 100
"""The overhead of a call is measured once per this many probes."""
PATIENCE, WORTH_IT = 2, 0.97
"""With all passes done, advice is followed until so often in a row the error did not fall to this share of the least."""
_CHUNK = 16
_KEEP_BYTES, _KEEP_LARGEST = 64 << 20, 32 << 10


def _opened(target: Target, db_path: str | os.PathLike[str]) -> Profile:
    """The profile to add to; a device that cannot be reached leaves no empty one behind."""
    if Path(db_path).parent.is_dir() and not Path(db_path).exists():
        target.hello()
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
    max_passes: int = MAX_PASSES,
    begin: float | None = None,
    adviser: Adviser | None = None,
    goal: float | None = None,
) -> ProfileSummary:
    """Measure probes on `target` into the profile at `db_path`, and go on from where it stopped.

    All probes are measured once, then again, up to `max_passes` times: the device's speed drifts, so several
    short passes tell more than one long one. What was disturbed is measured again at the end of its pass.

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
    begin
        When the command began, by `time.monotonic`; now, if None.
    adviser
        Asked after the first pass, and now and then later, whether this is enough and what to measure next, such as
        `timemodel.fitting.next_probes.advise_probes`. What it advises is measured first, and in all passes.
    goal
        The error that the adviser aims at, for the summary; the adviser judges by itself.

    Raises
    ------
    UsageError
        `minutes` is not above 0, or there is no such dtype or operator.
    TargetError
        The device is gone. What was measured is in the profile.
    ProfileError
        The profile is damaged or of another device, or the disk is full.
    """
    begin = time.monotonic() if begin is None else begin
    if not (math.isfinite(minutes) and minutes > 0):
        raise UsageError(f"minutes must be above 0, not {minutes}.")
    if probes is None:
        probes = plan_probes(dtypes, ops, seed)
    if not probes:
        raise UsageError("There is nothing to measure: name at least one dtype and operator.")
    progress(0.0, "starting the agent")
    with target, _opened(target, db_path) as store:
        fingerprint = target.hello()
        setting = target.setting
        store.register(setting, fingerprint)
        advised = relevant(store.advised(setting.key), probes) if adviser is not None else []
        progress(0.0, "observing which operators the runtime runs")
        observe(target, store, setting.key, probes, begin + OBSERVING_SHARE * 60 * minutes)
        deadline = begin + 60 * minutes
        consultation = Consultation(adviser, store, setting.key, begin, deadline)
        run = _Run(
            target,
            store,
            setting.key,
            probes,
            [*advised, *probes],  # what was advised earlier comes first: it matters most
            begin,
            deadline,
            max_passes,
            consultation,
            progress,
        )
        stopped = run.measure()
        least = run.counts_by_probe()
        latest = consultation.latest
        return ProfileSummary(
            path=str(db_path),
            device=store.device,
            setting=setting.key,
            probes=len(run.probes),
            measured=run.measured,
            failed=len(run.failed),
            disturbed=run.still_disturbed,
            passes_complete=min(least),
            covered=sum(count > 0 for count in least) / len(least),
            minutes=(time.monotonic() - begin) / 60,
            stopped=stopped,
            error=latest.error if latest else None,
            interval=latest.interval if latest else None,
            error_of=latest.of if latest else "networks",
            goal=goal,
            budget_minutes=minutes,
            advised=len(run.probes) - len(probes),
            problem=consultation.problem,
        )


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
    """One call of `profile`: what is still to do, and by when. `probes` are the planned ones and all that were advised."""

    target: Target
    store: Profile
    setting: str
    planned: Sequence[Probe]
    probes: list[Probe]
    begin: float
    deadline: float
    passes: int
    consultation: Consultation
    progress: ProgressCallback

    def __post_init__(self) -> None:
        self.counts = self.store.counts(self.setting)
        self.failed = {row.probe_key for row in self.store.raw(self.setting) if row.error is not None}
        self.empty = empty_probe()
        self.empty_passes = max(
            (number + 1 for key, number in self.counts if key == self.empty.key), default=0
        )
        self.measured = 0
        self.still_disturbed = 0
        self.reported = 0.0
        self._built: dict[str, bytes] = {}
        self._built_bytes = 0

    def measure(self) -> str:
        """Measure; returns why it ended, as in `ProfileSummary.stopped`."""
        try:
            for number in range(self.passes):
                self.measure_pass(list(self.probes), number)
            self.follow_advice()
        except _StoppedError as stop:
            return str(stop)
        return "complete"

    def follow_advice(self) -> None:
        """Once all is measured and there is time left: ask and measure, as long as that makes the error less."""
        least, patience = math.inf, PATIENCE
        while True:
            # Probes that were advised in the course of a pass have missed those before it.
            for number in range(1, self.passes):
                self.measure_pass(list(self.probes), number)
            if not (self.consultation.possible and patience):
                return
            before = len(self.probes)
            self.ask()
            latest = self.consultation.latest
            if latest is None or len(self.probes) == before:
                return
            patience = PATIENCE if latest.error < WORTH_IT * least else patience - 1
            least = min(least, latest.error)

    def ask(self) -> float:
        """Ask the adviser, and measure once what it advises; returns the seconds that this took."""
        since = time.monotonic()
        advice = self.consultation.ask(
            lambda note: self.report_clock(f"learning what to measure next: {note}")
        )
        if advice is not None and advice.done:
            raise _StoppedError("goal")
        if advice is not None:
            known = {probe.key for probe in self.probes}
            new = [probe for probe in relevant(advice.probes, self.planned) if probe.key not in known]
            if new:
                self.store.add_advised(self.setting, new)
                self.probes += new
                self.measure_pass(new, 0)
        return time.monotonic() - since

    def measure_pass(self, probes: Sequence[Probe], number: int) -> None:
        """Measure all of `probes` that pass `number` has not measured yet, then again what was disturbed."""
        self.check_time()
        since = time.monotonic()
        disturbed: list[Probe] = []
        todo = [probe for probe in probes if self.is_open(probe, number)]
        total, position = len(probes), len(probes) - len(todo)
        for measured, (probe, content) in enumerate(self.build(todo)):
            # Later passes take in what is advised meanwhile.
            if number and self.consultation.due:
                before = len(self.probes)
                since += self.ask()
                todo += [new for new in self.probes[before:] if self.is_open(new, number)]
                total += len(self.probes) - before
            if measured % EMPTY_EVERY == 0:
                self.measure_empty()
            result = self.measure_one(probe, content, number)
            if result.get("disturbed"):
                disturbed.append(probe)
            self.report(number, position + measured + 1, total)
            self.check_time()
        self.redo(disturbed, number, since, total)

    def redo(self, disturbed: list[Probe], number: int, since: float, total: int) -> None:
        """Measure again what was disturbed in a pass, within `REDO_SHARE`."""
        until = time.monotonic() + REDO_SHARE * (time.monotonic() - since)
        count = len(disturbed)
        for position, (probe, content) in enumerate(self.build(disturbed)):
            if time.monotonic() > until or time.monotonic() >= self.deadline:
                self.still_disturbed += count - position
                self.check_time()
                return
            result = self.measure_one(probe, content, number)
            self.still_disturbed += bool(result.get("disturbed"))
            self.report(number, total, total, f", again {position + 1:,} of {count:,} disturbed ones")

    def measure_one(self, probe: Probe, content: bytes | EdgetimeError, number: int) -> dict[str, Any]:
        """Measure `probe` and store the result."""
        if isinstance(content, EdgetimeError):
            result: dict[str, Any] = {"error": str(content)}
        else:
            result = self.target.time_probe(content)
        self.store.add(self.setting, probe.key, probe.kind, number, result)
        self.counts[probe.key, number] = self.counts.get((probe.key, number), 0) + 1
        self.measured += 1
        if "error" in result:
            self.failed.add(probe.key)
        return result

    def measure_empty(self) -> None:
        """Measure what a call costs."""
        for _, content in self.build([self.empty]):
            self.measure_one(self.empty, content, self.empty_passes)
            self.empty_passes += 1

    def is_open(self, probe: Probe, number: int) -> bool:
        """Whether to measure `probe` in pass `number`: not a second time, and not what cannot be run."""
        return (probe.key, number) not in self.counts and not (number and probe.key in self.failed)

    def build(self, rest: list[Probe]) -> Iterator[tuple[Probe, bytes | EdgetimeError]]:
        """Build probes a few at a time while the agent idles: building beside it would disturb it.

        They are taken out of `rest`, to which more may be added meanwhile.
        """
        while rest:
            chunk, rest[:_CHUNK] = rest[:_CHUNK], []
            yield from [(probe, self.content_of(probe)) for probe in chunk]

    def content_of(self, probe: Probe) -> bytes | EdgetimeError:
        """Return the probe's file; small ones are kept for the next pass."""
        known = self._built.get(probe.key)
        if known is not None:
            return known
        try:
            content = probe.build()
        except EdgetimeError as error:
            return error
        if len(content) <= _KEEP_LARGEST and self._built_bytes + len(content) <= _KEEP_BYTES:
            self._built[probe.key] = content
            self._built_bytes += len(content)
        return content

    def counts_by_probe(self) -> list[int]:
        """In how many passes each probe was measured; what cannot be run counts as measured in all."""
        passes: dict[str, int] = {}
        for key, _ in self.counts:
            passes[key] = passes.get(key, 0) + 1
        return [
            self.passes if probe.key in self.failed else passes.get(probe.key, 0) for probe in self.probes
        ]

    def check_time(self) -> None:
        """Stop where the time is up."""
        if time.monotonic() >= self.deadline:
            raise _StoppedError("budget")

    def report(self, number: int, done: int, total: int, more: str = "") -> None:
        """Report progress: by the clock or by what is done, whichever is further."""
        work = (number + done / total) / self.passes
        self.report_clock(f"pass {number + 1}: {done:,} of {total:,} probes{more}", work)

    def report_clock(self, note: str, work: float = 0.0) -> None:
        """Report progress by the clock, or by `work` where that is further; it never goes back."""
        clock = (time.monotonic() - self.begin) / (self.deadline - self.begin)
        self.reported = min(1.0, max(self.reported, clock, work))
        self.progress(self.reported, note)


class _StoppedError(Exception):
    """The end of measuring before all is done: ``goal`` or ``budget``."""
