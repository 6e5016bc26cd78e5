"""`Finding`: one sentence about a device, and its `Evidence`: a split of a tree that parts two layers, or a cost in their leaf."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from profiler.network import Layer
from timemodel.features import geometry
from timemodel.model import OperatorModel

LIKES, AVOID = "likes", "avoid"

_TWICE = 1.95
"""From here on a ratio is given as a multiple, below it as a percentage."""


@dataclass(frozen=True)
class Evidence:
    """What a finding rests on: a ``split`` whose children price the layers differently, or a ``leaf``, more of a cost."""

    kind: str
    node: int
    rule: str  # the split, such as ``kernel_taps <= 26``, or the cost, such as ``tile_taps``
    layers: int  # measured ones that the split's slower side, or the leaf, was fitted to

    @property
    def text(self) -> str:
        """``from split kernel_taps <= 26, 37 layers measured``."""
        return f"from {self.short} measured"

    @property
    def short(self) -> str:
        """``split kernel_taps <= 26, 37 layers``."""
        name = f"split {self.rule}" if self.kind == "split" else f"leaf {self.node}: {self.rule}"
        return f"{name}, {self.layers:,} layer{'s' if self.layers != 1 else ''}"

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {**asdict(self), "text": self.text}


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


def split_text(model: OperatorModel, at: int) -> str:
    """The question that inner node `at` asks: ``kernel_taps <= 26`` or ``out_channels mod 16 == 0``."""
    node = model.tree.nodes_[at]
    costs, sizes = model.names()
    name = (costs + sizes)[node.feature]
    if node.modulus:
        return f"{name} mod {node.modulus} == 0"
    threshold = np.floor(node.threshold) if node.threshold >= 2 else node.threshold
    return f"{name} <= {threshold:g}" if abs(threshold) < 1e6 else f"{name} <= {threshold:,.0f}"


def why(
    model: OperatorModel,
    pairs: Sequence[tuple[Layer, Layer]],
    works: Sequence[float],
    overhead_ms: float = 0.0,
) -> Evidence:
    """What makes the second layer of most `pairs` cost other than `works` times the first."""
    matrix = model.matrix(geometry([layer for pair in pairs for layer in pair]))
    nodes = model.tree.nodes_
    costs = model.names()[0]
    free = overhead_ms / model.tree.scale_
    routes = _paths(model, matrix)
    votes: Counter[tuple[str, int, str, int]] = Counter()
    for i, work in enumerate(works):
        first, second = matrix[2 * i : 2 * i + 2]
        path, other = routes[2 * i : 2 * i + 2]
        here, there = nodes[path[-1]].coefficients, nodes[other[-1]].coefficients
        n = len(here) - 1
        parts = here[1:] * first[:n], here[1:] * second[:n]
        was, moved = here[0] - free + parts[0].sum(), here[0] - free + parts[1].sum()
        now = there[0] - free + (there[1:] * second[:n]).sum()
        # Where pricing the second layer by the first one's leaf explains most of the difference, it is a cost of that leaf.
        before = max(was, 1e-300) * work
        effect, by_cost = np.log(max(now, 1e-300) / before), np.log(max(moved, 1e-300) / before)
        if path[-1] != other[-1] and abs(effect - by_cost) > abs(by_cost):
            parting = [a for a, b in zip(path, other, strict=False) if a == b][-1]
            child = other[other.index(parting) + 1]
            votes["split", parting, split_text(model, parting), nodes[child].samples] += 1
            continue
        beyond = parts[1] - work * parts[0]
        constant = (here[0] - free) * (1 - work)
        largest = int(np.argmax(beyond * np.sign(effect)))
        name = "call" if constant * np.sign(effect) > beyond[largest] * np.sign(effect) else costs[largest]
        votes["leaf", path[-1], name, nodes[path[-1]].samples] += 1
    return Evidence(*votes.most_common(1)[0][0])


def main_cost(model: OperatorModel, layers: Sequence[Layer]) -> Evidence:
    """The leaf that prices most of `layers`, and the cost that makes up most of it."""
    matrix = model.matrix(geometry(layers))
    leaves = model.tree.apply_rows(matrix)
    leaf = int(np.bincount(leaves).argmax())
    node = model.tree.nodes_[leaf]
    parts = (node.coefficients[1:] * matrix[leaves == leaf][:, : len(node.coefficients) - 1]).mean(axis=0)
    name = "call" if node.coefficients[0] > parts.max() else model.names()[0][int(parts.argmax())]
    return Evidence("leaf", leaf, name, node.samples)


def _paths(model: OperatorModel, matrix: np.ndarray) -> list[list[int]]:
    """Nodes from the root to the leaf of each row of `matrix`."""
    nodes, paths = model.tree.nodes_, []
    for row in matrix:
        path = [0]
        while (node := nodes[path[-1]]).feature >= 0:
            path.append(node.left if node.goes_left(row[node.feature]) else node.right)
        paths.append(path)
    return paths
