"""Pairs of operators that a runtime may run as one; whether it does is learned, see `timemodel.runtime.fusion`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from profiler.network.layer import Edge, Layer

CLAMPS = ("relu", "relu6")
ACTIVATIONS = (*CLAMPS, "leaky_relu", "logistic", "tanh", "hard_swish", "gelu")
_ARITHMETIC = ("conv_2d", "depthwise_conv_2d", "fully_connected")
_BINARY = frozenset({"add", "sub", "mul", "div"})

_INTO_THE_NEXT = (
    *(("pad", op) for op in ("conv_2d", "depthwise_conv_2d", "max_pool_2d", "average_pool_2d")),
    ("logistic", "mul"),
    ("mean", "fully_connected"),
    ("mean", "conv_2d"),
    ("reshape", "fully_connected"),
    ("reshape", "transpose"),
    ("transpose", "batch_matmul"),
    ("concatenation", "conv_2d"),
    ("quantize", "conv_2d"),
    ("dequantize", "quantize"),
)
_INTO_THE_ONE_BEFORE = (
    *((op, activation) for op in ("conv_2d", "depthwise_conv_2d") for activation in ACTIVATIONS),
    *(("fully_connected", activation) for activation in ("relu", "gelu")),
    *((op, clamp) for op in ("add", "add_const", "mul_const", "max_pool_2d") for clamp in CLAMPS),
    *((op, "add") for op in _ARITHMETIC),
    *((op, "add_const") for op in _ARITHMETIC),
    *((op, "mul_const") for op in ("conv_2d", "depthwise_conv_2d")),
    ("mul_const", "add_const"),
    ("conv_2d", "concatenation"),
    ("conv_2d", "reshape"),
    ("conv_2d", "mean"),
    ("conv_2d", "dequantize"),
    ("mean", "reshape"),
    ("transpose", "reshape"),
    ("batch_matmul", "softmax"),
    ("fully_connected", "softmax"),
    ("quantize", "dequantize"),
)
FUSION_PATTERNS = {f"{first}+{second}": 0 for first, second in _INTO_THE_NEXT} | {
    f"{first}+{second}": 1 for first, second in _INTO_THE_ONE_BEFORE
}
"""By pattern, such as ``pad+conv_2d``: which of the two operators, 0 or 1, costs less where they run as one."""


@dataclass(frozen=True)
class FusionMatch:
    """Two operators in a row; `first` and `second` are positions in the network's list of layers."""

    pattern: str
    first: int
    second: int

    @property
    def absorbed(self) -> int:
        """Position of the operator that costs less where the two run as one."""
        return self.second if FUSION_PATTERNS[self.pattern] else self.first


def pattern_name(layer: Layer) -> str:
    """The operator's name in patterns: ``add_const`` and so on where the other operand is stored in the file."""
    stored = layer.op in _BINARY and any(tensor.constant for tensor in layer.inputs)
    return f"{layer.op}_const" if stored else layer.op


def find_matches(layers: Sequence[Layer], edges: Sequence[Edge], outputs: Sequence[int]) -> list[FusionMatch]:
    """Every match of `FUSION_PATTERNS` in a network: pairs the first of which nothing but the second one reads."""
    if len(edges) != len(layers):
        return []
    # The one layer that reads a tensor, or -1 where there are several.
    reader: dict[int, int] = {}
    for position, edge in enumerate(edges):
        for tensor in edge.inputs:
            reader[tensor] = position if reader.get(tensor, position) == position else -1
    for tensor in outputs:
        reader[tensor] = -1
    names: dict[int, str] = {}
    found = []
    for position, edge in enumerate(edges):
        user = reader.get(edge.outputs[0], -1) if len(edge.outputs) == 1 else -1
        if user < 0:
            continue
        for one in (position, user):
            if one not in names:
                names[one] = pattern_name(layers[one])
        pattern = f"{names[position]}+{names[user]}"
        if pattern in FUSION_PATTERNS and _fits(layers, edges, position, user):
            found.append(FusionMatch(pattern, position, user))
    return found


def _fits(layers: Sequence[Layer], edges: Sequence[Edge], first: int, second: int) -> bool:
    """Whether the two could run as one at all."""
    before, after = layers[first], layers[second]
    if edges[first].graph != edges[second].graph or before.repeat != after.repeat:
        return False
    if before.op == "pad":
        return after.params.get("padding") == "valid"
    if before.op == "logistic":  # a gate on something else is not one operator: only x * sigmoid(x) is
        return edges[first].inputs[0] in edges[second].inputs
    if after.op in CLAMPS:
        return before.params.get("activation", "none") == "none"
    return True
