"""Neighbours in a network that a runtime may run as one operator.

Which of them a runtime does run as one is learned, see `timemodel.runtime.fusion`; this module only says what a pair
is called and where a network has one.
"""

from __future__ import annotations

from dataclasses import dataclass

from profiler.network.layer import Layer
from profiler.network.network import Network

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
ABSORBED = {f"{first}+{second}": 0 for first, second in _INTO_THE_NEXT} | {
    f"{first}+{second}": 1 for first, second in _INTO_THE_ONE_BEFORE
}
"""By pattern, such as ``pad+conv_2d``: which of the two operators, 0 or 1, costs less where they run as one."""


@dataclass(frozen=True)
class Neighbours:
    """Two operators in a row; `first` and `second` are positions in the network's list of layers."""

    pattern: str
    first: int
    second: int

    @property
    def absorbed(self) -> int:
        """Position of the operator that costs less where the two run as one."""
        return self.second if ABSORBED[self.pattern] else self.first


def role(layer: Layer) -> str:
    """The operator's name in patterns: ``add_const`` and so on where the other operand is stored in the file."""
    stored = layer.op in _BINARY and any(tensor.constant for tensor in layer.inputs)
    return f"{layer.op}_const" if stored else layer.op


def find_neighbours(network: Network) -> list[Neighbours]:
    """Every pair of `ABSORBED` in `network`, the first of which nothing but the second one reads.

    Found once: the network, which never changes, keeps them.
    """
    kept: list[Neighbours] | None = network.__dict__.get("_neighbours")
    if kept is None:
        kept = network.__dict__["_neighbours"] = _search(network)
    return kept


def _search(network: Network) -> list[Neighbours]:
    if len(network.edges) != len(network.layers):
        return []
    # The one layer that reads a tensor, or -1 where there are several.
    reader: dict[int, int] = {}
    for position, edge in enumerate(network.edges):
        for tensor in edge.inputs:
            reader[tensor] = position if reader.get(tensor, position) == position else -1
    for tensor in network.outputs:
        reader[tensor] = -1
    roles: dict[int, str] = {}
    found = []
    for position, edge in enumerate(network.edges):
        user = reader.get(edge.outputs[0], -1) if len(edge.outputs) == 1 else -1
        if user < 0:
            continue
        for one in (position, user):
            if one not in roles:
                roles[one] = role(network.layers[one])
        pattern = f"{roles[position]}+{roles[user]}"
        if pattern in ABSORBED and _fits(network, position, user):
            found.append(Neighbours(pattern, position, user))
    return found


def _fits(network: Network, first: int, second: int) -> bool:
    """Whether the two could run as one at all."""
    before, after = network.layers[first], network.layers[second]
    if network.edges[first].graph != network.edges[second].graph or before.repeat != after.repeat:
        return False
    if before.op == "pad":
        return after.params.get("padding") == "valid"
    if before.op == "logistic":  # a gate on something else is not one operator: only x * sigmoid(x) is
        return network.edges[first].inputs[0] in network.edges[second].inputs
    if after.op in CLAMPS:
        return before.params.get("activation", "none") == "none"
    return True
