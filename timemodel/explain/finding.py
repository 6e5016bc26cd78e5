"""`Finding`: one sentence about a device, with what it rests on; and how it puts ratios into words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from profiler.network import Layer
from timemodel.explain.evidence import Evidence

LIKES, AVOID = "likes", "avoid"

_TWICE = 1.95
"""From here on a ratio is given as a multiple, below it as a percentage."""


@dataclass(frozen=True)
class Finding:
    """One sentence about a device, without the operator's name; `kind` is `LIKES` or `AVOID`.

    `effect` is how many times as long the second of each pair of `layers` takes as the first, per unit of work (median), and
    lies beyond `error` (90%). The second is `works` times as much work.
    """

    kind: str
    op: str
    dtype: str
    setting: str
    topic: str
    text: str
    effect: float
    error: float
    evidence: Evidence
    layers: tuple[tuple[Layer, Layer], ...]
    works: tuple[float, ...]
    measured: float | None = None  # the effect on a layer that was measured both ways

    @property
    def backed(self) -> str:
        """The text with what it comes from, and what was measured."""
        seen = "" if self.measured is None else f"; in one measured pair {change(self.measured)}"
        return f"{self.text} ({self.evidence.text}{seen})"

    @property
    def short(self) -> str:
        """With the operator's name, for a screen that has to hold many."""
        return f"{self.op}: {self.text} ({self.evidence.short})"

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "kind": self.kind, "op": self.op, "dtype": self.dtype, "setting": self.setting, "topic": self.topic,
            "text": self.text, "effect": self.effect, "error": self.error, "evidence": self.evidence.to_dict(),
            "measured_effect": self.measured, "compared_layers": len(self.layers),
        }  # fmt: skip


def change(effect: float) -> str:
    """``twice``, ``3.1 times``, ``44% more`` or ``30% less``."""
    if effect < _TWICE:
        return f"{abs(effect - 1):.0%} {'more' if effect > 1 else 'less'}"
    if effect < 2.05:
        return "twice"
    return f"{effect:.2g} times" if effect < 99.5 else f"{effect:.0f} times"


def costs(effect: float, per: str, than: object) -> str:
    """``costs 3.1 times 3x3 per MAC``, ``costs 44% more per MAC than 3x3``."""
    if effect >= _TWICE:
        return f"costs {change(effect)} {than}{per}"
    return f"costs {change(effect)}{per} than {than}"


def takes(effect: float, than: str) -> str:
    """``takes twice as long as in float32``, ``takes 30% less than in float32``."""
    return f"takes {change(effect)} {'as long as' if effect >= _TWICE else 'than'} {than}"
