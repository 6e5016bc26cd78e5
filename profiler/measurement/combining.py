"""From the measurements of a profile to one time per probe."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from profiler.probes import Probe


@dataclass(frozen=True)
class Timing:
    """One probe, measured once."""

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
    build_ms: float | None
    canary_us: float | None
    disturbed: bool
    error: str | None


@dataclass(frozen=True)
class ProbeTime:
    """Time of one probe under one setting, from all its measurements.

    `time_us` is None where the runtime could not run it; `error` then says why. `spread` is the relative
    difference between the slowest and the fastest of `passes` measurements.
    """

    setting: str
    probe_key: str
    kind: str
    time_us: float | None
    spread: float
    passes: int
    disturbed: bool
    error: str | None

    @property
    def probe(self) -> Probe:
        """The probe itself."""
        return Probe.from_key(self.probe_key)


def drift(canaries_us: np.ndarray, window: int = 101) -> np.ndarray:
    """Slowness of the device around each measurement, relative to its calm tenth: above 1 where it was slower.

    Parameters
    ----------
    canaries_us
        Times of the canary in the order of measuring, NaN where there was none; shape [n].
    window
        Number of measurements around each whose lower quartile is taken: a single canary is noisier than what it corrects.

    Returns
    -------
    np.ndarray
        Shape [n]; the 10th percentile is 1, so that a run which was disturbed half of the time is judged by its calm part.
    """
    known = np.flatnonzero(np.isfinite(canaries_us) & (canaries_us > 0))
    if known.size == 0:
        return np.ones(len(canaries_us))
    values = canaries_us[known]
    if values.size > window:
        half = window // 2
        padded = np.concatenate([values[:half][::-1], values, values[::-1][:half]])
        smooth = np.quantile(np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1), 0.25, axis=1)
    else:
        smooth = np.full(values.size, np.quantile(values, 0.25))
    relative = np.interp(np.arange(len(canaries_us)), known, smooth)
    return np.asarray(relative / np.quantile(relative, 0.1, method="lower"))


def combine(rows: list[Timing]) -> list[ProbeTime]:
    """One time per probe from all its measurements under one setting, in the order of measuring.

    Other work on the device only adds time, so the fastest sample counts, divided by the device's drift. This
    predicts layers not measured better than medians do (held-out error of convolutions 6.9% against 9.5% on a calm
    machine, 12% against 13% on a busy one).
    """
    canaries = np.array([np.nan if row.canary_us is None else row.canary_us for row in rows])
    slowness = drift(canaries)
    groups: dict[str, list[tuple[Timing, float]]] = {}
    for row, factor in zip(rows, slowness, strict=True):
        groups.setdefault(row.probe_key, []).append((row, float(factor)))
    times = []
    for key, group in groups.items():
        first = group[0][0]
        good = [(row, factor) for row, factor in group if row.error is None and row.p20_us is not None]
        if not good:
            error = group[-1][0].error or "It was not measured."
            times.append(ProbeTime(first.setting, key, first.kind, None, 0.0, 0, False, error))
            continue
        calm = any(not row.disturbed for row, _ in good)
        values = sorted(float(row.min_us or row.p20_us or 0.0) / factor for row, factor in good)
        time = values[0]
        spread = (values[-1] - values[0]) / time if time > 0 else 0.0
        times.append(ProbeTime(first.setting, key, first.kind, time, spread, len(values), not calm, None))
    return times
