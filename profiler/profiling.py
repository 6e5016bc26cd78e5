"""Profiling: measure many probes on a target, in several passes, into a profile."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from profiler.errors import EdgetimeError, UsageError
from profiler.observing import observe
from profiler.probe import Probe
from profiler.progress import ProgressCallback, silent
from profiler.store import Profile
from profiler.target import Target

MAX_PASSES = 5
REDO_SHARE = 0.3
"""Redoing what was disturbed takes at most this share of the time that the pass itself took."""
LOOKING_SHARE = 0.05
"""Share of the time for looking at what the runtime makes of probes; see `profiler.observing`."""
EMPTY_EVERY = 100
"""The overhead of a call is measured once per this many probes."""
_CHUNK = 16
_KEEP_BYTES, _KEEP_LARGEST = 64 << 20, 32 << 10


@dataclass(frozen=True)
class ProfileSummary:
    """What one call of `profile` did.

    `measured` and `failed` (the runtime could not run the probe) count this call; `probes` is the number
    planned, `passes_complete` how often the profile now holds all of them, `covered` the share of them that
    it holds at least once.
    """

    path: str
    device: str
    setting: str
    probes: int
    measured: int
    failed: int
    disturbed: int
    passes_complete: int
    covered: float
    minutes: float

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)

    def __str__(self) -> str:
        state = f"{self.passes_complete} complete pass{'' if self.passes_complete == 1 else 'es'}"
        if self.covered < 1:
            state = f"{self.covered:.0%} of the first pass (the same command goes on from here)"
        failed = f", {self.failed} not supported by the runtime" if self.failed else ""
        return (
            f"{self.device}; {self.setting}: {self.measured:,} measurements of {self.probes:,} probes in "
            f"{self.minutes:.1f} min{failed}; {state}, in {self.path}"
        )


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
        Which probes: see `profiler.sampler.plan_probes`.
    probes
        Probes to measure in place of planned ones, in an order in which every prefix is a good sample.
    begin
        When the command began, by `time.monotonic`; now, if None.

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
        from profiler.sampler import plan_probes

        probes = plan_probes(dtypes, ops, seed)
    if not probes:
        raise UsageError("There is nothing to measure: name at least one dtype and operator.")
    progress(0.0, "starting the agent")
    with target, _opened(target, db_path) as store:
        fingerprint = target.hello()
        setting = target.setting
        store.register(setting, fingerprint)
        progress(0.0, "looking at what the runtime makes of operators")
        observe(target, store, setting.key, probes, begin + LOOKING_SHARE * 60 * minutes)
        run = _Run(target, store, setting.key, probes, begin, begin + 60 * minutes, max_passes, progress)
        run.measure()
        least = run.counts_by_probe()
        return ProfileSummary(
            path=str(db_path),
            device=store.device,
            setting=setting.key,
            probes=len(probes),
            measured=run.measured,
            failed=len(run.failed),
            disturbed=run.still_disturbed,
            passes_complete=min(least),
            covered=sum(count > 0 for count in least) / len(least),
            minutes=(time.monotonic() - begin) / 60,
        )


def empty_probe() -> Probe:
    """Return the probe that does next to nothing: its time is what a call costs."""
    from profiler.shapes import unary

    return Probe("empty", (unary("relu", (1, 1)),))


class _Run:
    """One call of `profile`: what is still to do, and by when."""

    def __init__(
        self,
        target: Target,
        store: Profile,
        setting: str,
        probes: Sequence[Probe],
        begin: float,
        deadline: float,
        passes: int,
        progress: ProgressCallback,
    ) -> None:
        self.target = target
        self.store = store
        self.setting = setting
        self.probes = probes
        self.begin = begin
        self.deadline = deadline
        self.passes = passes
        self.progress = progress
        self.counts = store.counts(setting)
        self.failed = {row.probe_key for row in store.raw(setting) if row.error is not None}
        self.empty = empty_probe()
        self.empty_passes = max(
            (number + 1 for key, number in self.counts if key == self.empty.key), default=0
        )
        self.measured = 0
        self.still_disturbed = 0
        self._built: dict[str, bytes] = {}
        self._built_bytes = 0

    def measure(self) -> None:
        """Measure until everything is done or the time is up."""
        for number in range(self.passes):
            if self.out_of_time():
                return
            since = time.monotonic()
            disturbed: list[Probe] = []
            todo = [probe for probe in self.probes if self.is_open(probe, number)]
            for position, (probe, content) in enumerate(self.build(todo)):
                if position % EMPTY_EVERY == 0:
                    self.measure_empty()
                result = self.measure_one(probe, content, number)
                if result.get("disturbed"):
                    disturbed.append(probe)
                self.tell(number, len(self.probes) - len(todo) + position + 1)
                if self.out_of_time():
                    return
            self.redo(disturbed, number, since)

    def redo(self, disturbed: list[Probe], number: int, since: float) -> None:
        """Measure once more what was disturbed in pass `number`, within its share of the time."""
        until = time.monotonic() + REDO_SHARE * (time.monotonic() - since)
        for position, (probe, content) in enumerate(self.build(disturbed)):
            if self.out_of_time() or time.monotonic() > until:
                self.still_disturbed += len(disturbed) - position
                return
            result = self.measure_one(probe, content, number)
            self.still_disturbed += bool(result.get("disturbed"))
            self.tell(
                number, len(self.probes), f", again {position + 1:,} of {len(disturbed):,} disturbed ones"
            )

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

    def build(self, probes: Iterable[Probe]) -> Iterator[tuple[Probe, bytes | EdgetimeError]]:
        """Build probes a few at a time while the agent idles: building beside it would disturb it."""
        rest = list(probes)
        while rest:
            chunk, rest = rest[:_CHUNK], rest[_CHUNK:]
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

    def out_of_time(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() >= self.deadline

    def tell(self, number: int, done: int, more: str = "") -> None:
        """Report progress: by the clock or by what is done, whichever is further."""
        clock = (time.monotonic() - self.begin) / (self.deadline - self.begin)
        work = (number + done / len(self.probes)) / self.passes
        note = f"pass {number + 1}: {done:,} of {len(self.probes):,} probes{more}"
        self.progress(min(1.0, max(clock, work)), note)
