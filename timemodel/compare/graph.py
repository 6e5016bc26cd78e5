"""A network's layers with their neighbours, and what layers are compared by."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Hashable
from functools import cached_property

from profiler.network import Layer, Network

CONVERTS = frozenset({"quantize", "dequantize", "cast"})
"""Operators that another number type brings."""

_KINDS = {
    "fully_connected": "matrix", "batch_matmul": "matrix", "average_pool_2d": "average", "mean": "average", "sub": "add",
    "padv2": "pad", "squeeze": "reshape", "expand_dims": "reshape", "relu6": "relu", "select": "select_v2",
}  # fmt: skip
"""Operators that converters write for one another."""

_PARAMS = (
    "kernel_height",
    "kernel_width",
    "stride_height",
    "stride_width",
    "dilation_height",
    "dilation_width",
)
_NUMBER = re.compile(r"[_:]?\d*$")


class Graph:
    """The layers of a network and which stand before and after each.

    `depth` is where each stands between the inputs (0) and the end (1), counted along the longest way without conversions.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        makers: dict[int, list[int]] = defaultdict(list)
        for position, edge in enumerate(network.edges):
            for tensor in edge.outputs:
                makers[tensor].append(position)
        self._before: list[list[int]] = [[] for _ in network.layers]
        self._after: list[list[int]] = [[] for _ in network.layers]
        for position, edge in enumerate(network.edges):
            for tensor in dict.fromkeys(edge.inputs):
                for maker in makers.get(tensor, ())[-1:]:
                    if maker < position:
                        self._before[position].append(maker)
                        self._after[maker].append(position)
        steps: list[int] = []
        for position, layer in enumerate(network.layers):
            ahead = max((steps[i] for i in self._before[position]), default=0)
            steps.append(ahead + (layer.op not in CONVERTS))
        most = max(steps, default=0) or 1
        self.depth = [step / most for step in steps]

    def before(self, position: int) -> list[int]:
        """Layers that make what this one reads."""
        return self._before[position]

    def after(self, position: int) -> list[int]:
        """Layers that read what this one makes."""
        return self._after[position]

    def op(self, position: int) -> str:
        """The operator of a layer."""
        return self.network.layers[position].op

    @cached_property
    def order(self) -> list[int]:
        """Layers by depth, those beside one another by their sizes: an order that the file's own does not decide."""
        own = keys(self, 0)
        return sorted(range(len(self.depth)), key=lambda i: (self.depth[i], str(own[i]), i))

    @cached_property
    def names(self) -> list[str]:
        """Names of layers without what converters add to them."""
        return [_NUMBER.sub("", layer.name.split(";")[0]) for layer in self.network.layers]


def signatures(graph: Graph) -> list[Hashable]:
    """What leads to each layer and what follows it, all the way, without conversions: equal only in like places of a graph."""
    own = keys(graph, 0)
    count = len(own)
    found: list[list[int]] = []
    for near, order in ((graph.before, range(count)), (graph.after, range(count - 1, -1, -1))):
        # Of a conversion: what stands beyond it.
        known: list[tuple[int, ...]] = [()] * count
        for position in order:
            around = tuple(sign for other in near(position) for sign in known[other])
            if graph.op(position) not in CONVERTS:
                # The order of operands matters, that of readers does not.
                ordered = around if near == graph.before else tuple(sorted(around))
                around = (hash((own[position], ordered)),)
            known[position] = around
        found.append([hash(signs) for signs in known])
    return list(zip(*found, strict=True))


def keys(graph: Graph, level: int) -> list[Hashable]:
    """What layers must have in common at each level: all sizes (0), all but widths (1), the kind of operator (2)."""
    return [_key(layer, level) for layer in graph.network.layers]


def _key(layer: Layer, level: int) -> Hashable:
    kind = layer.op if level == 0 else _kind(layer)
    if level == 2:
        return kind
    shape = layer.outputs[0].shape if layer.outputs else ()
    params = tuple(layer.params.get(name) for name in _PARAMS)
    if level == 1:
        # Channels stand last in images; of vectors and of tokens' features only their number of dimensions is told.
        return kind, len(shape), shape[1:-1] if kind not in ("matrix",) else (), params
    weights = layer.inputs[1].shape if layer.macs and len(layer.inputs) > 1 else ()
    return kind, shape[1:], weights, params


def _kind(layer: Layer) -> str:
    if layer.op == "conv_2d" and layer.params.get("kernel_height") == layer.params.get("kernel_width") == 1:
        outputs = layer.outputs[0].shape
        return "matrix" if len(outputs) == 4 and outputs[1] == outputs[2] == 1 else layer.op
    return _KINDS.get(layer.op, layer.op)
