"""What windows of power say of a device: at rest, and beyond that for each probe.

Power varies less than time, so that one window of some tenths of a second for a kind of work (an operator, its number type, what
bounds it) says what all of its probes draw, where a window for each probe would take hours. Energy is power times time.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from profiler.calm import Calm
from profiler.measurement.sensitivity import kind_of_work
from profiler.probes import Probe

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
        """As plain JSON values; of the ``probes`` their number."""
        value = {key: part for key, part in vars(self).items() if key != "beyond_idle_w"}
        return {**value, "probes": len(self.beyond_idle_w)}

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
