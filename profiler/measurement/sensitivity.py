"""How much longer an operator takes beside a busy neighbour: it depends on what the operator is bound by.

Learned from probes that were met in several states. Where the canary takes r times as long as in calm, work of a kind takes
about r to the power of that kind as long.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from profiler.network import Layer
from profiler.probes import Probe

CACHE_BYTES = 512 << 10
"""What touches less stays in a core's own cache."""
FAR_BYTES = 8 << 20
"""What touches more goes beyond the caches that a core has for itself, and is slowed by others' traffic there."""
MACS_PER_BYTE = 8.0
"""What multiplies more often per byte is bound by arithmetic."""

LIKE_ALL, LIKE_CANARY = 20.0, 10.0
"""A kind is taken to be like all others, and all to be like the canary itself, until about so many points say otherwise."""
_USUAL_NOISE = 0.25
"""Spread of what is met at slowness e, until points tell."""
_LEAST_SLOW = 0.03
"""Points at less than this (in logarithms) say nothing of the power."""
_LOWEST, _HIGHEST = 0.0, 3.0

Point = tuple[str, str, bool, float, float]
"""Kind of work, key of the probe, whether it was calm, logarithms of the slowness and of the time."""


@dataclass(frozen=True)
class Sensitivity:
    """What states cost one kind of work: `power` of the canary's slowness, `noise` around it, from so many `points`."""

    power: float = 1.0
    noise: float = _USUAL_NOISE
    points: int = 0

    def variance(self, slow: np.ndarray) -> np.ndarray:
        """Variance of the logarithm of a time corrected at these logarithms of slowness."""
        return self.noise**2 * np.maximum(slow, 0.0)


def kind_of_work(probe: Probe) -> str:
    """What bounds a probe, with its number type: ``arithmetic int8``, ``cache float32``, ``memory float32`` and so on."""
    touched = [_touched_bytes(layer) for layer in probe.layers]
    if sum(layer.macs for layer in probe.layers) >= MACS_PER_BYTE * max(sum(touched), 1):
        return f"arithmetic {probe.dtype}"
    return f"{'cache' if max(touched, default=0) <= CACHE_BYTES else 'memory'} {probe.dtype}"


def goes_far(probe: Probe) -> bool:
    """Whether one of its layers touches more than `FAR_BYTES`.

    No canary shows what it suffers: beside a process that streamed memory, canaries that read 2 to 8 MB, or parts of a large array
    that were not in any cache, took as long as in calm, while such layers, met once, took 3 to 15% longer (median) or 40% (one in
    ten). The least of three meetings was within 1%.
    """
    return any(_touched_bytes(layer) > FAR_BYTES for layer in probe.layers)


def _touched_bytes(layer: Layer) -> int:
    return layer.input_bytes + layer.output_bytes + layer.weight_bytes


def learn_sensitivities(points: Iterable[Point]) -> dict[str, Sensitivity]:
    """Learn the sensitivity of every kind of work among the points.

    Each probe's times are compared with its least calm one, or with the one that met least where none was calm.
    """
    by_probe: dict[str, list[Point]] = {}
    for point in points:
        by_probe.setdefault(point[1], []).append(point)
    slow: dict[str, list[float]] = {}
    longer: dict[str, list[float]] = {}
    for group in by_probe.values():
        kind = group[0][0]
        slow.setdefault(kind, [])
        longer.setdefault(kind, [])
        calm = [point for point in group if point[2]]
        first = min(calm, key=lambda p: p[4]) if calm else min(group, key=lambda p: p[3])
        for point in group:
            beyond = point[3] - (0.0 if calm else first[3])
            if not point[2] and beyond > _LEAST_SLOW:
                slow[kind].append(beyond)
                longer[kind].append(point[4] - first[4])
    everything = _fitted(
        np.concatenate([np.zeros(0), *slow.values()]),
        np.concatenate([np.zeros(0), *longer.values()]),
        Sensitivity(),
        LIKE_CANARY,
    )
    return {
        kind: _fitted(np.array(slow[kind]), np.array(longer[kind]), everything, LIKE_ALL) for kind in slow
    }


def _fitted(slow: np.ndarray, longer: np.ndarray, prior: Sensitivity, prior_points: float) -> Sensitivity:
    """The power of least absolute error through the origin, drawn towards a prior where points are few."""
    count = len(slow)
    if not count:
        return Sensitivity(prior.power, prior.noise)
    slopes = longer / slow
    order = np.argsort(slopes)
    reached = np.cumsum(slow[order])
    middle = slopes[order][np.searchsorted(reached, reached[-1] / 2)]
    share = count / (count + prior_points)
    power = float(np.clip(share * middle + (1 - share) * prior.power, _LOWEST, _HIGHEST))
    spread = 1.4826 * float(np.median(np.abs(longer - power * slow) / np.sqrt(slow)))
    return Sensitivity(power, share * spread + (1 - share) * prior.noise, count)
