"""Two networks measured in turns, so that a device whose speed drifts slows both alike."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from profiler.devices import Target
from profiler.measurement.whole_network import Measurement, measure_network
from profiler.progress import ProgressCallback, silent

ROUNDS = 8
"""The ratio's interval is from the second smallest to the second largest of so many: 93% for the median."""
_FEWEST_CALM = 5


@dataclass(frozen=True)
class PairMeasurement:
    """Two networks on one target.

    Parameters
    ----------
    first, second
        Medians over the rounds that count; times of layers, which add up to them, from one round.
    ratios
        Time of the second by that of the first in each round that counts.
    calm
        Whether only rounds count in which the device was calm for both; else all count.
    """

    first: Measurement
    second: Measurement
    ratios: tuple[float, ...]
    calm: bool

    @property
    def ratio(self) -> float:
        """Median of `ratios`."""
        return float(np.median(self.ratios))

    @property
    def ratio_interval(self) -> tuple[float, float]:
        """Between which ratios the true median lies, with 90% and more: by ranks, whatever the noise is like."""
        ordered = sorted(self.ratios)
        outer = 1 if len(ordered) >= ROUNDS else 0
        return ordered[outer], ordered[-1 - outer]

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        low, high = self.ratio_interval
        return {
            "first_ms": self.first.measured_ms,
            "second_ms": self.second.measured_ms,
            "difference_ms": self.second.measured_ms - self.first.measured_ms,
            "ratio": self.ratio,
            "ratio_low": low,
            "ratio_high": high,
            "rounds": len(self.ratios),
            "calm": self.calm,
            "layer_source": self.first.layer_source,
        }


def measure_pair(
    first: Any,
    second: Any,
    target: Target,
    seconds: float = 1.0,
    input_shape: Any = None,
    rounds: int = ROUNDS,
    progress: ProgressCallback = silent,
) -> PairMeasurement:
    """Measure two networks in turns, each first in every other round.

    Parameters
    ----------
    first, second
        `.tflite` files, or their bytes.
    target
        Where to run them; stays open.
    seconds
        How long to run each network in each round.

    Raises
    ------
    ModelFileError, TargetError
        As `measure_network`.
    """
    sources = first, second
    found: list[tuple[Measurement, Measurement]] = []
    layers: list[Measurement] = []
    for number, source in enumerate(sources):
        progress(0.1 * number, "operators")
        layers.append(measure_network(source, target, seconds=seconds, input_shape=input_shape))
    for turn in range(rounds):
        progress(0.2 + 0.8 * turn / rounds, f"round {turn + 1} of {rounds}")
        order = (0, 1) if turn % 2 == 0 else (1, 0)
        done = {
            which: measure_network(sources[which], target, False, seconds, input_shape) for which in order
        }
        found.append((done[0], done[1]))
    calm = [pair for pair in found if not any(one.disturbed for one in pair)]
    counted = calm if len(calm) >= min(_FEWEST_CALM, rounds) else found
    medians = [float(np.median([pair[side].measured_ms for pair in counted])) for side in (0, 1)]
    both = [_scaled(one, median) for one, median in zip(layers, medians, strict=True)]
    ratios = tuple(pair[1].measured_ms / max(pair[0].measured_ms, math.ulp(1.0)) for pair in counted)
    return PairMeasurement(both[0], both[1], ratios, counted is calm)


def _scaled(measured: Measurement, median_ms: float) -> Measurement:
    """The same with another total, which its layers add up to again."""
    factor = median_ms / measured.measured_ms if measured.measured_ms > 0 else 1.0
    layer_ms = {index: time_ms * factor for index, time_ms in measured.layer_ms.items()}
    return replace(measured, measured_ms=median_ms, layer_ms=layer_ms)
