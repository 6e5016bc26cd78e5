"""What a runtime adds to the sum of layers, or takes off it: fusion, weights that do not fit in the cache, the call itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from profiler.network import Network
from timemodel.runtime.cache_traffic import Traffic
from timemodel.runtime.fusion import GraphRule, from_remaining


def find_pairs(network: Network) -> list[tuple[str, int, int]]:
    """Neighbours that a runtime may run as one: (pattern, position of the one that is absorbed, of the other)."""
    return [
        (pair.pattern, pair.absorbed, pair.first + pair.second - pair.absorbed)
        for pair in network.fusion_matches
    ]


@dataclass
class RuntimeTerms:
    """What holds between layers under one setting.

    Parameters
    ----------
    overhead_ms
        A call of a network that does next to nothing.
    remaining
        By dtype and pattern: the share of the absorbed operator's time that remains, from `graph_rules`.
    kept
        By dtype and pattern: the share of the other operator's time that both take where they run as one.
    traffic
        What it costs that data left the cache.
    together
        By dtype: measured time of small whole networks by the sum of their layers (median).
    low, high
        By dtype: between these factors 90% of such networks lie, after `together`.
    graph_rules
        What the runtime does to graphs, with the evidence.
    """

    overhead_ms: float = 0.0
    remaining: dict[str, dict[str, float]] = field(default_factory=dict)
    traffic: Traffic = field(default_factory=Traffic.free)
    together: dict[str, float] = field(default_factory=dict)
    low: dict[str, float] = field(default_factory=dict)
    high: dict[str, float] = field(default_factory=dict)
    graph_rules: list[GraphRule] = field(default_factory=list)
    kept: dict[str, dict[str, float]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "overhead_ms": self.overhead_ms,
            "remaining": self.remaining,
            "kept": self.kept,
            "traffic": self.traffic.to_dict(),
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
            kept={d: {p: float(s) for p, s in row.items()} for d, row in value.get("kept", {}).items()},
            traffic=Traffic.from_dict(value["traffic"]),
            together={d: float(v) for d, v in value["together"].items()},
            low={d: float(v) for d, v in value["low"].items()},
            high={d: float(v) for d, v in value["high"].items()},
            graph_rules=from_remaining(remaining)
            if rules is None
            else [GraphRule.from_dict(row) for row in rules],
        )
