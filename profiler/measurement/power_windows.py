"""Windows of power measured beside repeated runs: which probes, in which order, for how long."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from profiler.devices import Target
from profiler.measurement.combining import ProbeTime
from profiler.measurement.power import Kind, PowerWindow, kind_of
from profiler.measurement.store import Profile
from profiler.probes import Probe
from profiler.progress import ProgressCallback, silent

SHARE = 0.15
"""Share of a profile's time for windows of power."""
WINDOW_S = 0.4
"""A window lasts so long, or longer where the sensor needs it."""
REST_EVERY = 4
"""After so many windows one at rest follows."""
MOST_PER_KIND = 6
TRIES = 3
"""A probe whose window was disturbed so often is left."""
_LONG_US = 20.0
"""What takes less is mostly the call around it."""
_PLACES = (0.5, 0.2, 0.8, 0.35, 0.65, 0.95)
"""Which probes of a kind are taken, as quantiles of their times."""


def windows_planned(times: Sequence[ProbeTime]) -> list[Probe]:
    """Probes to measure the power of, in an order in which every prefix is a good choice: one of each kind of work, then the next.

    Kinds that all their probes together take longest for come first.
    """
    groups: dict[Kind, list[ProbeTime]] = {}
    for row in times:
        if row.time_us and row.kind in ("layer", "network"):
            groups.setdefault(kind_of(row.probe), []).append(row)
    rounds: list[list[Probe]] = [[] for _ in range(MOST_PER_KIND)]
    for group in sorted(groups.values(), key=lambda rows: -sum(row.time_us or 0.0 for row in rows)):
        ordered = sorted(group, key=lambda row: row.time_us or 0.0)
        ordered = [row for row in ordered if (row.time_us or 0.0) >= _LONG_US] or ordered[-1:]
        chosen = dict.fromkeys(ordered[int(place * len(ordered))].probe for place in _PLACES)
        for number, probe in enumerate(chosen):
            rounds[number].append(probe)
    return [probe for row in rounds for probe in row]


def measure_power(
    target: Target,
    store: Profile,
    setting: str,
    source: Mapping[str, Any],
    until: float,
    progress: ProgressCallback = silent,
) -> str:
    """Measure windows of power until a time on the monotonic clock, and go on from those that are there.

    Returns why it ended before its time; empty where it did not. What was measured is kept in any case.
    """
    name, seconds = str(source["source"]), max(WINDOW_S, float(source.get("least_s") or 0.0))
    reading = store.reading(setting)
    planned = windows_planned(reading.times)
    known = {window.probe_key for window in store.power_windows(setting) if window.is_calm(reading.calm)}
    waiting = deque((probe, 0) for probe in planned if probe.key not in known)
    done, total = 0, max(len(waiting), 1)
    try:
        while waiting and time.monotonic() < until:
            if done % REST_EVERY == 0:
                _measure_window(target, store, setting, name, None, seconds)
            probe, tried = waiting.popleft()
            done += 1
            progress(min(1.0, done / total), f"power of {done} of {total} probes")
            window = _measure_window(target, store, setting, name, probe, seconds)
            if window is not None and not window.is_calm(reading.calm) and tried + 1 < TRIES:
                waiting.append((probe, tried + 1))
        if done:
            _measure_window(target, store, setting, name, None, seconds)
    except _NothingToReadError as error:
        return str(error)
    return ""


class _NothingToReadError(Exception):
    """The sensor is gone, or says what cannot be."""


def _measure_window(
    target: Target, store: Profile, setting: str, source: str, probe: Probe | None, seconds: float
) -> PowerWindow | None:
    """Measure and store one window, at rest where there is no probe; None where the runtime cannot run it."""
    answer = target.measure_power(None if probe is None else probe.build(), seconds)
    if "sensor" in answer:
        raise _NothingToReadError(str(answer["sensor"]))
    if "error" in answer:
        return None
    window = PowerWindow.told(source, None if probe is None else probe.key, answer)
    if not 0 <= window.power_w < math.inf:
        raise _NothingToReadError(f"{source} says {window.power_w} W")
    store.add_power(setting, window)
    return window
