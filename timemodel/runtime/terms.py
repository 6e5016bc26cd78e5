"""What a runtime adds to the sum of layers, or takes off it: fusion, cache traffic, the call itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from timemodel.runtime.cache_traffic import CacheTraffic
from timemodel.runtime.dispatch import Dispatch
from timemodel.runtime.fusion import FusionShares, GraphRule
from timemodel.runtime.left import LeftRule

_FACTORS = ("calibration", "low", "high")


@dataclass(frozen=True)
class RuntimeTerms:
    """What holds between layers under one setting; `overhead_ms` is a call of a network that does next to nothing.

    `company` is whether layers differ by what they stand beside, see `timemodel.runtime.company`; `left` are the kinds of layers
    that an accelerator leaves to the CPU, `left_rules` say of which others it leaves some; `fast_bytes` is its fast memory where
    not everything fits into that, see `timemodel.runtime.placement`. By dtype, `dispatch` prices operators
    in a row, `calibration` is the measured time of small networks by the sum of their layers, and 90% lie in `low` to `high`.
    """

    overhead_ms: float = 0.0
    graph_rules: tuple[GraphRule, ...] = ()
    cache_traffic: CacheTraffic = field(default_factory=CacheTraffic.free)
    dispatch: Mapping[str, Dispatch] = field(default_factory=dict)
    calibration: Mapping[str, float] = field(default_factory=dict)
    low: Mapping[str, float] = field(default_factory=dict)
    high: Mapping[str, float] = field(default_factory=dict)
    company: bool = False
    left: tuple[tuple[str, str], ...] = ()
    left_rules: tuple[LeftRule, ...] = ()
    fast_bytes: float | None = None

    @cached_property
    def fusion_shares(self) -> FusionShares:
        """What `graph_rules` make of the times of layers."""
        return FusionShares.of(self.graph_rules)

    def dispatch_of(self, dtype: str) -> Dispatch:
        """Prices of a row of operators of `dtype`: of another one where that was not measured."""
        return self.dispatch.get(dtype) or next(iter(self.dispatch.values()), Dispatch())

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "overhead_ms": self.overhead_ms,
            "graph_rules": [asdict(rule) for rule in self.graph_rules],
            "cache_traffic": self.cache_traffic.to_dict(),
            "dispatch": {dtype: each.to_dict() for dtype, each in self.dispatch.items()},
            **{name: dict(getattr(self, name)) for name in _FACTORS},
            "company": self.company,
            "left": [list(kind) for kind in self.left],
            "left_rules": [rule.to_dict() for rule in self.left_rules],
            **({"fast_bytes": self.fast_bytes} if self.fast_bytes else {}),
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> RuntimeTerms:
        """Read what `to_dict` wrote."""
        calibration, low, high = (
            {dtype: float(each) for dtype, each in value[name].items()} for name in _FACTORS
        )
        rules = tuple(GraphRule.from_dict(row) for row in value["graph_rules"])
        traffic = CacheTraffic.from_dict(value["cache_traffic"])
        dispatch = {dtype: Dispatch.from_dict(row) for dtype, row in value["dispatch"].items()}
        left = tuple((str(op), str(dtype)) for op, dtype in value["left"])
        left_rules = tuple(LeftRule.from_dict(row) for row in value["left_rules"])
        overhead_ms, company = float(value["overhead_ms"]), value["company"] is True
        fast_bytes = float(value["fast_bytes"]) if "fast_bytes" in value else None
        factors = calibration, low, high
        return cls(overhead_ms, rules, traffic, dispatch, *factors, company, left, left_rules, fast_bytes)
