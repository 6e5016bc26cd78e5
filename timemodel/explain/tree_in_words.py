"""An operator's tree in words: as many of its splits as a screen holds, the weightiest kept."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from timemodel.explain.finding import split_text
from timemodel.features import ACTIVATION_CODES
from timemodel.features import UNITS as PARALLEL_UNITS
from timemodel.model import CALL, SLOWEST, WAITS_FOR, OperatorModel
from timemodel.tree import TreeNode

SCREEN_ROWS = 23
"""Rows of a terminal of 80x24 that are left above the prompt."""

SCREEN_COLUMNS = 80
_HANGING = "    "
"""What a broken line goes on with, behind its own indent."""

_MAX_TERMS = 2
"""Costs that a leaf names: the ones that make up most of its time."""

_UNITS: dict[str, tuple[float, str]] = {
    "tiled_macs": (1e6, "million MACs (in whole tiles)"),
    "half_tiled_macs": (1e6, "million MACs (in half tiles)"),
    "macs": (1e6, "million MACs"),
    "tiles": (1e3, "thousand tiles"),
    "tile_taps": (1e3, "thousand tile-taps"),
    "pixel_tiles": (1e3, "thousand pixel tiles"),
    "pixels": (1e3, "thousand pixels"),
    "pixel_taps": (1e3, "thousand pixel-taps"),
    "rows": (1e3, "thousand rows"),
    "runs": (1e3, "thousand runs"),
    "run_tiles": (1e3, "thousand run tiles"),
    "elements": (1e6, "million elements"),
    "in_bytes": (1e6, "MB read"),
    "out_bytes": (1e6, "MB written"),
    "weight_bytes": (1e6, "MB of weights"),
    "total_bytes": (1e6, "MB moved"),
    "bytes_beyond_cache": (1e6, "MB beyond the cache"),
    "data_bytes_beyond_cache": (1e6, "MB of data beyond the cache"),
    "weight_bytes_beyond_cache": (1e6, "MB of weights beyond the cache"),
    "bytes_beyond_outer": (1e6, "MB beyond the last cache"),
    "data_bytes_beyond_outer": (1e6, "MB of data beyond the last cache"),
    "weight_bytes_beyond_outer": (1e6, "MB of weights beyond the last cache"),
    "steps": (1.0, "step"),
    "step_units": (1e3, "thousand step-units"),
    "step_tiles": (1e3, "thousand step tiles"),
    "inputs": (1.0, "input"),
    **PARALLEL_UNITS,
}
_FLAGS = {
    "pointwise": ("1x1 with stride 1", "any other kernel or stride"),
    "same_shape": ("operands of one shape", "one operand repeated"),
    "per_channel": ("one value per channel", "not one value per channel"),
    "scalar": ("a single value as operand", "no single value as operand"),
    "stored_operand": ("a stored operand", "both operands computed"),
    "same_padding": ("padding 'same'", "padding 'valid'"),
    "non_overlapping": ("windows side by side", "windows that overlap or leave gaps"),
    "keeps_channels": ("channels kept", "channels reduced"),
}
_NAMES = {
    "out_channels": "output channels",
    "in_channels": "input channels",
    "out_channel_half_tiles": "half tiles of output channels",
    "in_bytes": "input",
    "out_bytes": "output",
    "weight_bytes": "weights",
    "total_bytes": "data",
    "pixels": "output pixels",
    "kernel_taps": "kernel height times width",
    "stride": "stride height times width",
    "dilation": "dilation height times width",
}
_BYTES = frozenset({"weight_bytes", "in_bytes", "out_bytes", "total_bytes"})
_ACTIVATIONS = {code: name for name, code in ACTIVATION_CODES.items()}


@dataclass(frozen=True)
class Branch:
    """A node of a tree for drawing: a question such as ``kernel_taps <= 26``, or in a leaf the formula of what it costs."""

    condition: str  # what holds here of its parent's question; empty at the root
    question: str
    formula: str
    layers: int  # measured ones that came here
    node: int  # position in the tree's list of nodes
    children: tuple[Branch, ...] = ()


def drawing(model: OperatorModel) -> Branch:
    """The whole tree of `model`, root first."""
    costs, sizes = model.names()
    names = costs + sizes

    def branch(at: int, condition: str) -> Branch:
        node = model.tree.nodes_[at]
        if node.feature < 0:
            return Branch(condition, "", _cost(model, node), node.samples, at)
        sides = zip(
            (node.left, node.right), _sides(names[node.feature], node, tuple(model.parts)), strict=True
        )
        children = tuple(branch(child, words) for child, words in sides)
        return Branch(condition, split_text(model, at), "", node.samples, at, children)

    return branch(0, "")


def rules_in_words(model: OperatorModel, rows: float = SCREEN_ROWS) -> list[str]:
    """The tree of `model`, one line per node, without the weakest splits where it takes more than `rows` of a screen."""
    root = drawing(model)
    closed: set[int] = set()

    def splits(branch: Branch) -> bool:
        return bool(branch.children) and branch.node not in closed

    def written(branch: Branch, depth: int = 1) -> Iterator[str]:
        indent = "  " * depth
        if not splits(branch):
            yield f"{indent}{branch.condition or 'always'}: {_cost(model, model.tree.nodes_[branch.node])}"
            return
        if branch.condition:
            yield f"{indent}{branch.condition}:"
        for child in branch.children:
            yield from written(child, depth + bool(branch.condition))

    def lowest(branch: Branch) -> Iterator[int]:
        """Nodes whose split is shown, with no other below."""
        below = [child for child in branch.children if splits(child)]
        if splits(branch) and not below:
            yield branch.node
        for child in below:
            yield from lowest(child)

    while True:
        lines = list(written(root))
        if closed:
            finer = f"{len(closed)} finer {'split' if len(closed) == 1 else 'splits'}"
            lines.append(f"  ({finer} left out: the file has them)")
        ends = list(lowest(root))
        if not ends or rows_of(lines) <= rows:
            return lines
        closed.add(min(ends, key=lambda at: model.tree.nodes_[at].gain))


def parts_in_words(model: OperatorModel) -> list[str]:
    """What a layer waits for where a device computes and moves data at once, a line for each part; none where it does not."""
    if not model.parts:
        return []
    lines = ["  waits for the slowest of these parts:"]
    for part, units in model.parts.items():
        dear = sorted((name for name in units if name != CALL), key=lambda name: -_price(name, units[name]))
        terms = [_per_unit(name, units[name]) for name in dear[:_MAX_TERMS]]
        call = [f"{number(units[CALL] * 1e3)} us"] if units.get(CALL, 0) > 0 else []
        if terms:
            lines.append(f"    {part}: {' + '.join(call + terms)}")
    return lines


def _price(name: str, each_ms: float) -> float:
    """What a cost takes in ms, by the unit that it is reported in."""
    return each_ms * _UNITS.get(name, (1.0, ""))[0]


def _per_unit(name: str, each_ms: float) -> str:
    """``0.06 ms per MB read``."""
    words = _UNITS[name][1] if name in _UNITS else _human(name)
    return f"{number(_price(name, each_ms))} ms per {words}"


def rows_of(lines: Sequence[str], columns: int = SCREEN_COLUMNS) -> int:
    """Rows that `lines` take on a terminal of `columns` columns, broken between words."""
    wrapper = textwrap.TextWrapper(columns, break_on_hyphens=False)
    rows = 0
    for line in lines:
        wrapper.subsequent_indent = line[: len(line) - len(line.lstrip())] + _HANGING
        rows += max(len(wrapper.wrap(line)), 1)
    return rows


def size_in_words(n_bytes: float) -> str:
    """``2.5 MiB`` or ``12 KiB``."""
    return f"{n_bytes / 2**20:.3g} MiB" if n_bytes >= 2**20 else f"{n_bytes / 1024:.3g} KiB"


def number(value: float) -> str:
    """Two significant digits, no exponents for large numbers."""
    return f"{value:.2g}" if value < 100 else f"{value:.0f}"


def _sides(name: str, node: TreeNode, parts: Sequence[str] = ()) -> tuple[str, str]:
    """What holds on the left and on the right of a split; `parts` are those of which the slowest counts."""
    if name == WAITS_FOR:
        at = int(node.threshold) + 1
        return f"waiting for {' or '.join(parts[:at])}", f"waiting for {' or '.join(parts[at:])}"
    if node.modulus:
        return f"{_human(name)} a multiple of {node.modulus}", f"{_human(name)} no multiple of {node.modulus}"
    if name in _FLAGS:
        yes, no = _FLAGS[name]
        return no, yes
    if name == "activation":
        return _activations(node.threshold, below=True), _activations(node.threshold, below=False)
    whole = f"{np.floor(node.threshold):,.0f}" if node.threshold >= 2 else f"{node.threshold:.3g}"
    value = size_in_words(node.threshold) if name in _BYTES else whole
    return f"{_human(name)} up to {value}", f"{_human(name)} above {value}"


def _activations(threshold: float, below: bool) -> str:
    inside = [name for code, name in _ACTIVATIONS.items() if (code <= threshold) == below]
    return f"activation {' or '.join(n for n in inside if n in ('none', 'relu', 'relu6')) or 'other'}"


def _human(name: str) -> str:
    return _NAMES.get(name, name.replace("_", " "))


def _cost(model: OperatorModel, node: TreeNode) -> str:
    """A node's formula: its constant, then the costs that weigh most over the measured range."""
    costs = model.names()[0]
    scaled = node.coefficients * model.tree.scale_
    low, high = model.bounds
    typical = np.sqrt(np.maximum(low, 1.0) * np.maximum(high, 1.0))
    if SLOWEST in costs:  # a time, and no count
        at = costs.index(SLOWEST)
        typical[at] = np.sqrt(low[at] * high[at])
    order = np.argsort(-scaled[1:] * typical, kind="stable")
    parts = [f"{number(scaled[0] * 1e3)} us"] if scaled[0] > 0 else []
    for i in order[:_MAX_TERMS]:
        if scaled[1 + i] > 0:
            slowest = costs[i] == SLOWEST
            words = (
                f"{scaled[1 + i]:.0%} of the slowest part" if slowest else _per_unit(costs[i], scaled[1 + i])
            )
            parts.append(words)
    rest = sum(scaled[1 + i] > 0 for i in order[_MAX_TERMS:])
    text = " + ".join(parts) or "no time"
    return text + (f" + {rest} smaller" if rest else "")
