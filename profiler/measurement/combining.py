"""From the measurements of a profile to one time per probe, as in calm."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from profiler.calm import Calm, calm_of
from profiler.measurement.power import PowerReading
from profiler.measurement.sensitivity import Sensitivity, goes_far, kind_of_work, learn_sensitivities
from profiler.probes import Probe

REPEATED = 0.01
"""Relative standard deviation of a time that was met in calm."""
FAR = 0.05
"""The same of what `goes_far`, met once; with more meetings it becomes less, as their least counts."""
UNSETTLED = 0.1
"""The same of one whose samples did not settle, where that says more than the canary."""
_LONGEST_S = 5.0
"""Longer than this no measurement takes."""


@dataclass(frozen=True)
class Timing:
    """One probe, measured once: between two canaries, with the share of the time in which others had the core."""

    setting: str
    probe_key: str
    kind: str
    pass_number: int
    attempt: int
    at: float
    median_us: float | None
    min_us: float | None
    p20_us: float | None
    spread: float | None
    samples: int | None
    before_us: float | None
    after_us: float | None
    waited: float | None
    disturbed: bool
    error: str | None
    energy_mj: float | None = None
    layers_us: tuple[float | None, ...] | None = None

    @property
    def canaries_us(self) -> list[float]:
        """The canaries before and after, where there were any."""
        return [canary for canary in (self.before_us, self.after_us) if canary]

    def is_calm(self, calm: Calm) -> bool:
        """Whether the device was calm before and after, and the samples settled."""
        return self.error is None and not self.disturbed and calm.is_calm(self.canaries_us)


@dataclass(frozen=True)
class ProbeTime:
    """Time of one probe under one setting in calm, from all its measurements.

    `time_us` is None where the runtime could not run it; `error` then says why. `calm` is whether it was met in calm;
    otherwise its time is corrected for the state it was met in, and `uncertainty` (a relative standard deviation) says how
    well. `meetings` counts its measurements. Where they are known: `energy_mj`, and `layers_us`, the times of its layers as they
    ran there (None for what ran elsewhere).
    """

    setting: str
    probe_key: str
    kind: str
    time_us: float | None
    uncertainty: float
    meetings: int
    calm: bool
    error: str | None
    energy_mj: float | None = None
    layers_us: tuple[float | None, ...] | None = None

    @cached_property
    def probe(self) -> Probe:
        """The probe itself."""
        return Probe.from_key(self.probe_key)


@dataclass(frozen=True)
class Reading:
    """The measurements of one setting, read: times of probes, what calm was, what the states cost by kind of work, and power."""

    times: list[ProbeTime]
    calm: Calm
    sensitivities: dict[str, Sensitivity]
    power: PowerReading | None = None

    @property
    def calm_probes(self) -> int:
        """Probes with a calm time."""
        return sum(time.calm for time in self.times if time.time_us is not None)

    def with_power(self, power: PowerReading | None) -> Reading:
        """The same with the energy of those probes whose power is known."""
        if power is None:
            return self
        times = []
        for row in self.times:
            watts = None if row.time_us is None else power.power_w(row.probe_key)
            times.append(row if watts is None else replace(row, energy_mj=watts * (row.time_us or 0.0) / 1e3))
        return replace(self, times=times, power=power)


def calm_in(rows: Sequence[Timing]) -> Calm:
    """Calm, as all canaries of these measurements tell it."""
    rows = sorted(rows, key=lambda row: row.at)
    canaries_us = np.array([(row.before_us or math.nan, row.after_us or math.nan) for row in rows])
    return calm_of(canaries_us.ravel(), np.repeat(_spent_s([row.at for row in rows]), 2))


def _spent_s(ends_s: Sequence[float]) -> np.ndarray:
    """Time that went by with each of these measurements, from the end of the one before it on; that of pauses is not counted."""
    gaps = np.diff(ends_s, prepend=math.nan)
    known = (gaps > 0) & (gaps <= _LONGEST_S)
    return np.where(known, gaps, np.median(gaps[known]) if known.any() else 1.0)


def combine(rows: Sequence[Timing]) -> Reading:
    """Read all measurements under one setting, in any order.

    What others take of a core only adds time, so the fastest sample counts. A probe that was met in calm has its least calm
    time; another one's measurements are divided by the slowness of their own canaries to the power that its kind of work
    showed, and averaged, the calmer ones more.
    """
    calm = calm_in(rows)
    groups: dict[str, list[Timing]] = {}
    for row in rows:
        groups.setdefault(row.probe_key, []).append(row)
    good = {key: [row for row in group if _time_us(row)] for key, group in groups.items()}
    probes = {key: Probe.from_key(key) for key, group in good.items() if group}
    kinds = {key: kind_of_work(probe) for key, probe in probes.items()}
    points = [
        (kinds[key], key, row.is_calm(calm), math.log(_slowness(row, calm)), math.log(_time_us(row)))
        for key, group in good.items()
        for row in group
        if not row.disturbed
    ]
    sensitivities = learn_sensitivities(points)
    times = []
    for key, group in groups.items():
        first = group[0]
        if not good[key]:
            error = group[-1].error or "It was not measured."
            times.append(ProbeTime(first.setting, key, first.kind, None, 0.0, 0, False, error))
            continue
        once = FAR if goes_far(probes[key]) else REPEATED
        time_us, uncertainty, met = _in_calm(
            good[key], calm, sensitivities.get(kinds[key], Sensitivity()), once
        )
        last = good[key][-1]
        if last.layers_us is not None:
            uncertainty = 0.0  # a simulator says the same each time
        known = time_us, uncertainty, len(good[key]), met, None, last.energy_mj, last.layers_us
        times.append(ProbeTime(first.setting, key, first.kind, *known))
    return Reading(times, calm, sensitivities)


def _time_us(row: Timing) -> float:
    """The fastest sample; 0 where there is none."""
    return 0.0 if row.error is not None else float(row.min_us or row.p20_us or 0.0)


def _slowness(row: Timing, calm: Calm) -> float:
    """How much slower than in calm the device was around a measurement: the mean of its two canaries."""
    canaries = row.canaries_us
    return float(calm.slowness(np.array(canaries)).mean()) if canaries else 1.0


def _in_calm(
    rows: Sequence[Timing], calm: Calm, sensitivity: Sensitivity, once: float
) -> tuple[float, float, bool]:
    """Time in calm, its relative standard deviation (`once`, of one that was met once), and whether it was met in calm."""
    met = [(_time_us(row), _slowness(row, calm)) for row in rows if row.is_calm(calm)]
    if met:
        time_us, slowness = min(met)
        # What counts as calm may be some percent slower: that much the time may be too long.
        return time_us, max(REPEATED, once / len(met) ** 2, sensitivity.power * (slowness - 1.0) / 2), True
    slow = np.log([_slowness(row, calm) for row in rows])
    variances = sensitivity.variance(slow) + np.array([UNSETTLED**2 * row.disturbed for row in rows])
    logs = np.log([_time_us(row) for row in rows]) - sensitivity.power * slow
    weights = 1.0 / (variances + REPEATED**2)
    weights /= weights.sum()
    # What a probe suffers more or less than its kind does not average out over its meetings.
    return float(np.exp(weights @ logs)), float(np.sqrt(weights @ variances + REPEATED**2)), False
