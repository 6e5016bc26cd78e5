"""What it costs that weights and activations left the cache: rising curves of price by distance, one for each of `CLASSES`.

Distance is the bytes touched since the last touch, and what others on the device touched meanwhile in a shared cache.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from profiler.network import Network
from timemodel.runtime.reuse_distance import CLASSES, Accesses, elapsed_ms, find_accesses
from timemodel.tree import nonnegative

KNOTS_MB = (0.03125, 0.0625, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)
"""Distances at which the price may begin to rise; it has risen at twice the distance."""
FORGETTING_MB_PER_MS = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""Rates to choose from at which others push data out of the cache."""

_KNOTS = np.log2(np.array(KNOTS_MB) * 1e6)
_STEPS = len(KNOTS_MB)
_NOISE = 0.01
"""Relative error that times have anyhow: prices that explain less are not believed."""
_LONG_MS = 1.0
_SOME = 0.03
"""Less traffic than this share of a network's time is lost in other errors."""


def steps_climbed(distance_bytes: np.ndarray) -> np.ndarray:
    """How far each step of price is climbed at each distance: ``[..., knots]`` from 0 (before the knot) to 1 (at twice it)."""
    logs = np.log2(np.maximum(np.asarray(distance_bytes, dtype=np.float64), 1.0))
    return np.clip(logs[..., None] - _KNOTS, 0.0, 1.0)


@dataclass(frozen=True)
class CacheTraffic:
    """Prices of bytes that left the cache, and distance that passes by itself.

    `error` is how far (90%, relative) what these cost in a network may be off: others use the same memory.
    """

    prices_ms_per_mb: np.ndarray  # [classes, knots]: what each step adds for each class, 0 or more
    forgetting_mb_per_ms: float = 0.0
    error: float = 0.0

    @classmethod
    def free(cls) -> CacheTraffic:
        """Nothing costs anything: what holds until it is learned."""
        return cls(np.zeros((len(CLASSES), _STEPS)))

    def extra_ms(self, network: Network, layers_ms: np.ndarray) -> np.ndarray:
        """Extra time ``[layers]`` in ms over `layers_ms`, what the layers take alone."""
        accesses = find_accesses(network) if self.prices_ms_per_mb.any() else None
        if accesses is None:
            return np.zeros(len(network.layers))
        climbed = _mb_by_step(accesses, layers_ms, self.forgetting_mb_per_ms)
        each = np.einsum("ak,ak->a", climbed, self.prices_ms_per_mb[accesses.kind])
        return np.bincount(accesses.layer, weights=each, minlength=len(network.layers))

    def price_ms_per_mb(self, distance_mb: np.ndarray) -> np.ndarray:
        """Prices ``[classes, n]`` at distances ``[n]``, in ms per MB over the nearest cache."""
        return self.prices_ms_per_mb @ steps_climbed(np.asarray(distance_mb) * 1e6).T

    @classmethod
    def fit(
        cls,
        networks: Sequence[Network],
        layers_ms: Sequence[np.ndarray],
        time_ms: np.ndarray,
        overhead_ms: float,
    ) -> CacheTraffic:
        """Learn from whole networks (at least one), what their layers take alone, and what a call costs."""
        time_ms = np.asarray(time_ms, dtype=np.float64)
        alone = np.array([float(layers.sum()) for layers in layers_ms]) + overhead_ms
        goal = (time_ms - alone) / time_ms
        # What lasts long meets every interruption, what is short is timed between them: that is no price of bytes.
        lasting = (1.0 - np.exp(-alone / _LONG_MS))[:, None]
        usual = _usual_price(networks, time_ms - alone)
        if usual == 0:
            return cls.free()
        found: list[tuple[float, CacheTraffic]] = []
        accesses = [find_accesses(network) for network in networks]
        for rate in FORGETTING_MB_PER_MS:
            rows = np.array(
                [_totals(one, layers, rate) for one, layers in zip(accesses, layers_ms, strict=True)]
            )
            rows = np.hstack([rows * usual / time_ms[:, None], lasting])
            solution, error = _robust(rows, goal)
            prices = (solution[:-1] * usual).reshape(len(CLASSES), _STEPS)
            found.append((error, cls(prices, rate, _traffic_error(rows, solution, goal))))
        least = min(error for error, _ in found)
        # Of rates that are as good the smallest is taken: on a device of one's own nothing is forgotten.
        return next(traffic for error, traffic in found if error <= 1.01 * least)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "distance_mb": list(KNOTS_MB),
            "forgetting_mb_per_ms": self.forgetting_mb_per_ms,
            "error": self.error,
            "prices_ms_per_mb": dict(zip(CLASSES, self.prices_ms_per_mb.tolist(), strict=True)),
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> CacheTraffic:
        """Read what `to_dict` wrote."""
        if [float(v) for v in value["distance_mb"]] != list(KNOTS_MB):
            raise ValueError("prices of cache traffic belong to other distances than this edgetime knows")
        prices = np.array([[float(v) for v in value["prices_ms_per_mb"][name]] for name in CLASSES])
        rate, error = (float(value[name]) for name in ("forgetting_mb_per_ms", "error"))
        if prices.shape != (len(CLASSES), _STEPS) or not np.all(np.isfinite(prices)) or np.any(prices < 0):
            raise ValueError(f"prices of cache traffic must be {_STEPS} numbers, 0 or more")
        if not (np.isfinite(rate) and rate >= 0 and 0 <= error <= 1):
            raise ValueError("forgetting_mb_per_ms must be a number, 0 or more, and the error one up to 1")
        return cls(prices, rate, error)


def _mb_by_step(accesses: Accesses, layers_ms: np.ndarray, rate: float) -> np.ndarray:
    """MB ``[accesses, knots]`` that climb each step of price, beyond what they climb when the layer is timed alone."""
    in_network = accesses.distance_bytes + rate * 1e6 * elapsed_ms(accesses, layers_ms)
    alone = accesses.alone_bytes + rate * 1e6 * layers_ms[accesses.layer]
    return np.maximum(steps_climbed(in_network) - steps_climbed(alone), 0.0) * (
        accesses.nbytes[:, None] / 1e6
    )


def _totals(accesses: Accesses | None, layers_ms: np.ndarray, rate: float) -> np.ndarray:
    """`_mb_by_step` summed over a network, classes one after the other: ``[classes * knots]``."""
    totals = np.zeros((len(CLASSES), _STEPS))
    if accesses is not None:
        np.add.at(totals, accesses.kind, _mb_by_step(accesses, layers_ms, rate))
    return totals.ravel()


def _usual_price(networks: Sequence[Network], extra_ms: np.ndarray) -> float:
    """Roughly what a MB that left the cache costs on this device: 90th percentile of extra time per MB of weights."""
    weights = np.array([network.weight_bytes / 1e6 for network in networks])
    heavy = weights >= 1.0
    if not heavy.any():
        return 0.0
    return max(0.0, float(np.quantile(extra_ms[heavy] / weights[heavy], 0.9)))


def _traffic_error(rows: np.ndarray, solution: np.ndarray, goal: np.ndarray) -> float:
    """Up to which share (90%) of the traffic of networks with some the fit is off; the last column is no traffic."""
    traffic = rows[:, :-1] @ solution[:-1]
    some = traffic > _SOME
    if not some.any():
        return 0.0
    off = np.abs(goal - rows @ solution)[some] / traffic[some]
    return float(min(np.quantile(off, 0.9), 1.0))


def _robust(rows: np.ndarray, goal: np.ndarray) -> tuple[np.ndarray, float]:
    """Non-negative coefficients of ``rows @ x ~ goal``, and the mean error, of which each row counts up to 0.1."""
    weight = np.ones(len(goal))
    # Networks whose layers are predicted badly are weighted down; a small pull to 0 wants evidence for a price.
    for _ in range(6):
        part = rows * weight[:, None]
        solution = nonnegative.solve(
            part.T @ part + _NOISE**2 * np.eye(rows.shape[1]), part.T @ (goal * weight)
        )
        residual = np.abs(goal - rows @ solution)
        usual = max(float(np.median(residual)), _NOISE)
        weight = 1.0 / np.sqrt(np.maximum(1.0, residual / (2.0 * usual)))
    error = float(np.minimum(np.abs(goal - rows @ solution), 0.1).mean())
    return solution, error
