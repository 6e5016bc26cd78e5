"""What about a device or its state a user should know, each a sentence with what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from profiler.calm import Calm
from profiler.measurement.combining import Timing

COARSE_CLOCK_US = 2.0
PARTS = 6
"""Into so many parts of equal length a profile is cut to see whether the device slowed down for good."""
_GONE, _THERE = 0.01, 0.1
_LEAST_ROWS = 60
_SAME_CLOCK = 1.03


@dataclass(frozen=True)
class Clock:
    """What the system said of its processor at a time: its clock in MHz, how often it throttled itself; None where it does not."""

    at: float
    mhz: float | None = None
    throttled: float | None = None

    @classmethod
    def told(cls, at: float, answer: object) -> Clock:
        """From what a target says, which may be anything."""
        values = answer if isinstance(answer, Mapping) else {}
        mhz, throttled = (
            float(value) if isinstance(value, (int, float)) and value >= 0 else None
            for value in (values.get("mhz"), values.get("throttled"))
        )
        return cls(at, mhz, throttled)


def notes_on_device(fingerprint: Mapping[str, Any], threads: int) -> list[str]:
    """What the device itself makes hard."""
    notes = []
    cores = _cores(fingerprint)
    crowded = note_on_threads(fingerprint, threads)
    if crowded:
        notes.append(crowded)
    elif cores == 1:
        notes.append(
            "There is one core only, which everything else shares: stop what can be stopped while measuring."
        )
    speeds = fingerprint.get("core_mhz") or ()
    if len(set(speeds)) > 1 and threads < cores:
        fast = [str(number) for number, speed in enumerate(speeds) if speed == max(speeds)]
        notes.append(
            f"The cores differ in speed ({min(speeds)} to {max(speeds)} MHz), and the system chooses among them: "
            f"pin the work to one kind, such as with 'taskset -c {','.join(fast)}'."
        )
    step_us = float(fingerprint.get("clock_us") or 0.0)
    if step_us > COARSE_CLOCK_US:
        notes.append(
            f"The clock makes steps of {step_us:.4g} us, so each sample takes long and few probes are met: give more --minutes."
        )
    return notes


def note_on_threads(fingerprint: Mapping[str, Any], threads: int) -> str | None:
    """What to know of more threads than the process may use cores, which the profile says of itself ever after; else None."""
    cores = _cores(fingerprint)
    if threads <= cores:
        return None
    share = "one core" if cores == 1 else f"{cores} cores"
    return f"{threads} threads share {share} here and wait for each other: use threads={cores} or fewer."


def _cores(fingerprint: Mapping[str, Any]) -> int:
    """Cores that the measuring process may use."""
    return int(fingerprint.get("usable_cores") or fingerprint.get("cores") or 1)


def notes_on_states(
    rows: Sequence[Timing], calm: Calm, clocks: Sequence[Clock] = (), resumed: bool = False
) -> list[str]:
    """What happened while these rows of one run were measured, in their order; `resumed`: there are earlier runs' as well."""
    if not calm.repeats:
        return [
            "The canary never took the same time twice: stop what else runs there, or keep the clock from changing "
            "(a fixed governor), and profile again."
        ]
    known = [row for row in rows if row.canaries_us]
    if len(known) < _LEAST_ROWS:
        return []
    parts = np.array_split(np.array([calm.is_calm(row.canaries_us) for row in known]), PARTS)
    shares = [float(part.mean()) for part in parts]

    def factor(of: Sequence[Timing]) -> float:
        return float(np.median([min(row.canaries_us) for row in of])) / calm.calm_us

    if resumed and max(shares) <= _GONE:
        return [
            f"This time the device was {factor(known):.2f}x as slow as the profile knows it in calm, and never calm (others' work, "
            "heat, or another power state): what was measured now is corrected; run the same command again when it is calm."
        ]
    last = max(number for number, share in enumerate(shares) if share >= min(_THERE, max(shares)))
    if last == PARTS - 1 or max(shares[: last + 1]) < _THERE or max(shares[last + 1 :]) > _GONE:
        return []
    slow = known[sum(map(len, parts[: last + 1])) :]
    since = (slow[0].at - known[0].at) / max(known[-1].at - known[0].at, 1e-9)
    before = [clock for clock in clocks if clock.at < slow[0].at]
    cause, mend = _why_slower(before, clocks[len(before) :])
    return [
        f"After {since:.0%} of the time the device became {factor(slow):.2f}x as slow and stayed so{cause}: times from then on are "
        f"corrected; {mend}, then run the same command again."
    ]


def _why_slower(before: Sequence[Clock], after: Sequence[Clock]) -> tuple[str, str]:
    """Why a device is slower than it was, as far as its clock tells, and what helps."""
    counts = [clock.throttled for clock in (*before[-1:], *after) if clock.throttled is not None]
    if counts and counts[-1] > counts[0]:
        return " (the processor throttled itself for heat)", "let it cool"
    was, now = ([clock.mhz for clock in clocks if clock.mhz] for clocks in (before, after))
    if not (was and now):
        return " (heat, or a change of power state)", "let it cool"
    was_mhz, now_mhz = float(np.median(was)), float(np.median(now))
    if was_mhz > _SAME_CLOCK * now_mhz:
        return (
            f" (its clock fell from {was_mhz:.0f} to {now_mhz:.0f} MHz: heat, or a change of power state)",
            "let it cool",
        )
    return (
        f" (its clock stayed at {now_mhz:.0f} MHz: something else shares its cores)",
        "stop what else runs there",
    )


def notes_on_change(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs between the profile's first time and this one that changes the device's speed."""
    names = {
        "governor": "frequency governor",
        "min_mhz": "lowest frequency (MHz)",
        "max_mhz": "highest frequency (MHz)",
    }
    changed = [
        f"{what} {before.get(key)}, now {now.get(key)}"
        for key, what in names.items()
        if before and before.get(key) != now.get(key)
    ]
    if not changed:
        return []
    return [
        f"The profile was begun in another power state ({'; '.join(changed)}): times are those of the faster one, what was "
        "measured in the slower one is corrected. For the slower one profile into another file."
    ]
