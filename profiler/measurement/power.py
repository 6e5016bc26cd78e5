"""What a device draws while it runs: windows over probes of every kind of work, and what they say together.

Power varies less than time, so that one window of some tenths of a second for a kind of work (an operator, its number type, what
bounds it) says what all of its probes draw, where a window for each probe would take hours. Energy is power times time.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from profiler.calm import Calm
from profiler.devices import Target
from profiler.measurement.sensitivity import kind_of_work
from profiler.probes import Probe
from profiler.progress import ProgressCallback, silent

if TYPE_CHECKING:
    from profiler.measurement.combining import ProbeTime
    from profiler.measurement.store import Profile

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

Kind = tuple[str, str, str]
"""An operator (``network`` for whole ones), a number type, and what bounds it."""


@dataclass(frozen=True)
class PowerWindow:
    """What a device drew in one window: while a probe ran again and again, or at rest (no `probe_key`)."""

    source: str
    probe_key: str | None
    at: float
    power_w: float
    spread_w: float
    readings: int
    runs: int
    seconds: float
    before_us: float | None
    after_us: float | None
    others: float | None
    disturbed: bool

    def is_calm(self, calm: Calm) -> bool:
        """Whether it counts: the device was calm, and other processes did next to nothing."""
        return not self.disturbed and calm.is_calm(us for us in (self.before_us, self.after_us) if us)

    @classmethod
    def told(cls, source: str, probe_key: str | None, answer: Mapping[str, Any]) -> PowerWindow:
        """From what `profiler.devices.Target.measure_power` says."""
        before_us, after_us = answer.get("canaries_us") or (None, None)
        numbers = (float(answer[name]) for name in ("power_w", "spread_w"))
        counts = (int(answer[name]) for name in ("readings", "runs"))
        rest = float(answer["seconds"]), before_us, after_us, answer.get("others"), bool(answer["disturbed"])
        return cls(source, probe_key, float(answer.get("at") or time.time()), *numbers, *counts, *rest)  # type: ignore[call-arg, arg-type]


@dataclass(frozen=True)
class PowerReading:
    """What the windows of one setting say.

    Parameters
    ----------
    source, where, period_s
        What was read, and how often that says something new; `source` is ``given`` for an average that the user gave.
    given_w
        That average; None where power was measured.
    idle_w, idle_spread_w
        Power at rest, which is taken off all others, and its standard deviation over windows; 0 of what was given.
    beyond_idle_w
        What running draws beyond rest, by the key of the probe.
    left_out
        Windows that were disturbed and do not count.
    """

    source: str
    where: str
    period_s: float = 0.0
    given_w: float | None = None
    idle_w: float = 0.0
    idle_spread_w: float = 0.0
    beyond_idle_w: Mapping[str, float] = field(default_factory=dict)
    left_out: int = 0

    def power_w(self, probe_key: str) -> float | None:
        """What a probe draws beyond rest; None where it had no window in calm."""
        return self.given_w if self.given_w is not None else self.beyond_idle_w.get(probe_key)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)

    def __str__(self) -> str:
        if self.given_w is not None:
            return f"Energy is time times {self.given_w:.4g} W, as given."
        left = f", {self.left_out} that were disturbed do not count" if self.left_out else ""
        return (
            f"Energy by {self.source} ({self.where}), new every {1e3 * self.period_s:.3g} ms: {len(self.beyond_idle_w)} probes "
            f"in calm{left}; at rest {self.idle_w:.3g} W (±{self.idle_spread_w:.2g}), which is taken off."
        )


def read_power(
    source: Mapping[str, Any] | None, windows: Iterable[PowerWindow], calm: Calm
) -> PowerReading | None:
    """What windows say that were met in calm; None where there are none, at rest or at work.

    Power at rest is taken between the windows at rest before and after.
    """
    if not source:
        return None
    names = str(source["source"]), str(source.get("where", ""))
    if source.get("given_w") is not None:
        return PowerReading(*names, given_w=float(source["given_w"]))
    mine = [window for window in windows if window.source == names[0]]
    good = [window for window in mine if window.is_calm(calm)]
    rests = sorted((window.at, window.power_w) for window in good if window.probe_key is None)
    if not rests or len(rests) == len(good):
        return None
    at, idle_w = np.array(rests).T
    beyond: dict[str, list[float]] = {}
    for window in good:
        if window.probe_key is not None:
            drawn = window.power_w - float(np.interp(window.at, at, idle_w))
            beyond.setdefault(window.probe_key, []).append(max(drawn, 0.0))
    return PowerReading(
        *names,
        period_s=float(source.get("period_s") or 0.0),
        idle_w=float(np.median(idle_w)),
        idle_spread_w=float(np.std(idle_w)),
        beyond_idle_w={key: float(np.median(drawn)) for key, drawn in beyond.items()},
        left_out=len(mine) - len(good),
    )


def kind_of(probe: Probe) -> Kind:
    """The kind of work of a probe, all of which draws about as much."""
    bound, _, dtype = kind_of_work(probe).partition(" ")
    return (probe.layers[0].op if probe.kind == "layer" else probe.kind), dtype, bound


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
