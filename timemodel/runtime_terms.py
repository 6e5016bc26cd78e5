"""What a runtime adds to the sum of layers, or takes off it: fusion, weights that do not fit in the cache, the call itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.isotonic import IsotonicRegression

from profiler.neighbours import find_neighbours
from profiler.network import Network
from timemodel.graph_rules import GraphRule, from_remaining


def find_pairs(network: Network) -> list[tuple[str, int, int]]:
    """Neighbours that a runtime may run as one: (pattern, position of the one that is absorbed, of the other)."""
    return [
        (pair.pattern, pair.absorbed, pair.first + pair.second - pair.absorbed)
        for pair in find_neighbours(network)
    ]


@dataclass(frozen=True)
class WeightTraffic:
    """Extra time per byte of weights by how many bytes of weights one inference walks through.

    `extra_ms_per_mb` belongs to `footprint_mb`, both rising; in between the logarithm is interpolated.
    """

    footprint_mb: tuple[float, ...] = ()
    extra_ms_per_mb: tuple[float, ...] = ()

    def per_mb(self, footprint_mb: np.ndarray) -> np.ndarray:
        """Extra ms per MB at each footprint ``[n]``; 0 below the smallest one measured."""
        if not self.footprint_mb:
            return np.zeros_like(np.asarray(footprint_mb, dtype=np.float64))
        known = np.log2(self.footprint_mb)
        at = np.log2(np.maximum(footprint_mb, 1e-9))
        return np.interp(at, known, self.extra_ms_per_mb, left=0.0)

    def extra_ms(self, weight_bytes: np.ndarray, network_bytes: float) -> np.ndarray:
        """Extra time ``[n]`` of layers with `weight_bytes` in a network that holds `network_bytes` of weights.

        What a layer pays alone, when its own weights overflow the cache, was measured with it and is not counted again.
        """
        own = np.asarray(weight_bytes, dtype=np.float64) / 1e6
        whole = self.per_mb(np.full(len(own), network_bytes / 1e6))
        return own * np.maximum(0.0, whole - self.per_mb(own))

    @classmethod
    def from_chains(cls, chains: Sequence[Sequence[tuple[float, int, float]]]) -> WeightTraffic:
        """Learn from chains of layers, as rows of (MB of weights in all, number of layers, time of the whole in ms).

        Each of `chains` is one kind of layer at several lengths. What a layer takes in a long chain beyond what it takes in
        the shortest is the price of its weights; over all kinds that price is made to rise with the footprint by isotonic
        regression, so that one disturbed measurement does not lift all that are longer.
        """
        points: list[tuple[float, float]] = []
        for rows in chains:
            ordered = sorted(rows)
            if len(ordered) < 2:
                continue
            least_mb, least, time = ordered[0]
            points.append((least_mb, 0.0))
            for mb, count, whole in ordered[1:]:
                points.append((mb, max(0.0, (whole / count - time / least) / (mb / count))))
        if not points:
            return cls()
        points.sort()
        footprint, extra = np.array(points).T
        fitted = IsotonicRegression(y_min=0.0).fit(np.log2(footprint), extra)
        at = np.unique(footprint)
        return cls(tuple(at.tolist()), tuple(fitted.predict(np.log2(at)).tolist()))

    def scaled(self, factor: float) -> WeightTraffic:
        """The same, `factor` times as dear."""
        return WeightTraffic(self.footprint_mb, tuple(factor * extra for extra in self.extra_ms_per_mb))

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {"footprint_mb": list(self.footprint_mb), "extra_ms_per_mb": list(self.extra_ms_per_mb)}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> WeightTraffic:
        """Read what `to_dict` wrote."""
        footprint, extra = (
            tuple(float(v) for v in value[name]) for name in ("footprint_mb", "extra_ms_per_mb")
        )
        if len(footprint) != len(extra):
            raise ValueError("the weights' footprints and extra times differ in number")
        return cls(footprint, extra)


@dataclass
class RuntimeTerms:
    """What holds between layers under one setting.

    Parameters
    ----------
    overhead_ms
        A call of a network that does next to nothing.
    remaining
        By dtype and pattern: the share of the absorbed operator's time that remains, from `graph_rules`.
    weights
        By operator: see `WeightTraffic`. Operators that are not named go by ``conv_2d``.
    together
        By dtype: measured time of small whole networks by the sum of their layers (median).
    low, high
        By dtype: between these factors 90% of such networks lie, after `together`.
    graph_rules
        What the runtime does to graphs, with the evidence.
    """

    overhead_ms: float = 0.0
    remaining: dict[str, dict[str, float]] = field(default_factory=dict)
    weights: dict[str, WeightTraffic] = field(default_factory=dict)
    together: dict[str, float] = field(default_factory=dict)
    low: dict[str, float] = field(default_factory=dict)
    high: dict[str, float] = field(default_factory=dict)
    graph_rules: list[GraphRule] = field(default_factory=list)

    def traffic(self, op: str) -> WeightTraffic:
        """What weights beyond the cache cost `op`."""
        return self.weights.get(op) or self.weights.get("conv_2d") or WeightTraffic()

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "overhead_ms": self.overhead_ms,
            "remaining": self.remaining,
            "weights": {op: traffic.to_dict() for op, traffic in self.weights.items()},
            "together": self.together,
            "low": self.low,
            "high": self.high,
            "graph_rules": [rule.to_dict() for rule in self.graph_rules],
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> RuntimeTerms:
        """Read what `to_dict` wrote."""
        remaining = {d: {p: float(s) for p, s in row.items()} for d, row in value["remaining"].items()}
        rules = value.get("graph_rules")
        return cls(
            overhead_ms=float(value["overhead_ms"]),
            remaining=remaining,
            weights={op: WeightTraffic.from_dict(row) for op, row in value["weights"].items()},
            together={d: float(v) for d, v in value["together"].items()},
            low={d: float(v) for d, v in value["low"].items()},
            high={d: float(v) for d, v in value["high"].items()},
            graph_rules=from_remaining(remaining)
            if rules is None
            else [GraphRule.from_dict(row) for row in rules],
        )
