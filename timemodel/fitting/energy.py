"""From what probes drew in windows of power to a model of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from profiler.measurement import ProbeTime, Reading
from profiler.network import Layer
from timemodel.model import PowerModel

FEWEST = 4
"""Fewer layers than this say nothing of how power depends on the work: their mean is taken."""


def fit_power(reading: Reading) -> PowerModel | None:
    """What a setting's layers draw; None where no power was read. Of an average that was given, that."""
    power = reading.power
    if power is None:
        return None
    if power.given_w is not None:
        return PowerModel(f"an average of {power.given_w:.4g} W, as given", power.given_w)
    rows = [row for row in reading.times if row.kind == "layer" and usable(row)]
    source = f"{power.source} ({power.where}), new every {1e3 * power.period_s:.3g} ms"
    powers = np.array([1e3 * (row.energy_mj or 0.0) / (row.time_us or 1.0) for row in rows])
    if len(rows) < FEWEST:
        drawn = [watts for watts in power.beyond_idle_w.values() if watts > 0]
        return (
            PowerModel(source, float(np.mean(drawn)), idle_w=power.idle_w, layers=len(drawn))
            if drawn
            else None
        )
    times_ms = np.array([(row.time_us or 0.0) / 1e3 for row in rows])
    return PowerModel.fit(source, layers_of(rows), times_ms, powers, power.idle_w)


def usable(row: ProbeTime) -> bool:
    """Whether a probe's time and energy are known and above 0."""
    return bool(row.time_us and row.energy_mj)


def layers_of(rows: Sequence[ProbeTime]) -> list[Layer]:
    """The layers that were measured alone."""
    return [row.probe.layers[0] for row in rows]
