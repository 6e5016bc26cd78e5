"""What a runtime does to the graph of a network: rules, and what they make of the times of layers."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from profiler.network import Layer, Network, pattern_name

FUSED, PARTLY, APART, SPLIT, OUTSIDE = "fused", "partly", "apart", "split", "outside"
HAPPENS = (FUSED, PARTLY, APART, SPLIT, OUTSIDE)
"""Neighbours run as one, take less than alone, take as much; a fused activation runs on its own; the delegate leaves one out."""
EVERYTHING = "*"
"""Pattern of a rule that holds for all operators of its dtype."""
INSIDE = "reshape inside"
"""Pattern of single operators of `RENAMES` that stand between two others; ``… inside`` with its own name is that of another."""
IN_PLACE = "in place"
"""Second word of the pattern of single operators that add (and so on) a constant to each of `FEW` channels between two others."""
FEW = 16
"""Of fewer channels, each position is less than a vector: written over its operand, it must be stored before it is read again."""
SMALL_BYTES = 1024
"""What makes no more than this takes the time of any operator, whatever it does."""
RENAMES = frozenset({"reshape", "squeeze", "expand_dims", "bitcast"})
"""Operators that give the same data another shape."""

_BINARY = frozenset({"add", "sub", "mul"})
_OTHER_INSIDE = RENAMES | _BINARY

Shares = dict[str, dict[str, float]]
"""By dtype and pattern."""


@dataclass(frozen=True)
class GraphRule:
    """One thing that a runtime does to graphs of one dtype.

    `share` is what remains of the absorbed operator's time, or of one inside (there it may be more than all); for `SPLIT` the
    operator's time with an activation by its time without, for `OUTSIDE` the share of the layers looked at.
    """

    dtype: str
    pattern: str  # of neighbours, such as ``pad+conv_2d``, or of one operator
    happens: str
    share: float
    probes: int  # how many say so
    seen: bool = False  # whether the runtime's profiler says so
    other: float = 1.0  # what remains of the other operator's time where both run as one

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> GraphRule:
        """Read a rule from its fields."""
        dtype, pattern, happens = (str(value[name]) for name in ("dtype", "pattern", "happens"))
        share, other = float(value["share"]), float(value.get("other", 1.0))
        if happens not in HAPPENS or not 0 <= share < float("inf"):
            raise ValueError(f"a rule of the graph says {happens!r} with share {share}")
        if not 0 <= other <= 1:
            raise ValueError(f"a rule of the graph leaves {other} of an operator's time")
        return cls(dtype, pattern, happens, share, int(value["probes"]), bool(value["seen"]), other)


@dataclass(frozen=True)
class FusionShares:
    """What remains of the time of the `absorbed` (or an `INSIDE`) and of the `other` operator beside its neighbour."""

    absorbed: Shares = field(default_factory=dict)
    other: Shares = field(default_factory=dict)

    @classmethod
    def of(cls, rules: Sequence[GraphRule]) -> FusionShares:
        """The shares that `rules` say."""
        shares = cls()
        for rule in rules:
            if rule.happens in (FUSED, PARTLY, APART):
                shares.absorbed.setdefault(rule.dtype, {})[rule.pattern] = rule.share
            if rule.other < 1:
                shares.other.setdefault(rule.dtype, {})[rule.pattern] = rule.other
        return shares

    def factors(self, network: Network, apart: Sequence[bool] = ()) -> np.ndarray:
        """Factors ``[n]`` on the times that the layers of `network` take alone; those `apart` stand between no two others."""
        found = np.ones(len(network.layers))
        for pair in network.fusion_matches:
            dtype = network.layers[pair.second].dtype
            other = pair.first + pair.second - pair.absorbed
            for shares, position in ((self.absorbed, pair.absorbed), (self.other, other)):
                share = shares.get(dtype, {}).get(pair.pattern, 1.0)
                found[position] = min(found[position], share)
        ends = {*network.inputs, *network.outputs}
        for position, (layer, edge) in enumerate(zip(network.layers, network.edges, strict=False)):
            if apart and apart[position]:
                continue
            named = layer.op in self._named_inside
            pattern = inside_pattern(layer) if layer.op in _OTHER_INSIDE else None
            if (pattern or named) and ends.isdisjoint((*edge.inputs[:1], *edge.outputs)):
                own = self.absorbed.get(layer.dtype, {})
                found[position] *= own.get(pattern or "", 1.0)
                found[position] *= own.get(f"{layer.op} inside", 1.0) if named else 1.0
        return found

    @functools.cached_property
    def _named_inside(self) -> frozenset[str]:
        """Operators that have a pattern of their own between two others."""
        patterns = {
            pattern for own in self.absorbed.values() for pattern in own if pattern.endswith(" inside")
        }
        return frozenset(pattern.removesuffix(" inside") for pattern in patterns) - RENAMES


def inside_pattern(layer: Layer) -> str | None:
    """The pattern of a single operator whose time is another one between two others; None for most."""
    if layer.op in RENAMES:
        return INSIDE if layer.output_bytes > SMALL_BYTES else None
    if layer.op not in _BINARY or len(layer.inputs) != 2:
        return None
    large, small = layer.inputs
    if not large.shape:
        return None
    short = small.constant and 1 < small.size == large.shape[-1] < FEW and small.size < large.size
    return f"{pattern_name(layer)} {IN_PLACE}" if short else None
