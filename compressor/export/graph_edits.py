"""Edits of frozen TensorFlow graphs that get them through the converter in one piece."""

from __future__ import annotations

from graphlib import TopologicalSorter
from typing import Any

import numpy as np

from compressor.export.silence import tensorflow

_ADDITIONS = frozenset({"Add", "AddV2", "BiasAdd"})


def without_gradients(function: Any) -> Any:
    """The same function, without the marks by which nodes name gradients of their own (swish has one).

    TensorFlow cannot save such functions; the converter then silently takes a path that loses the names of inputs.
    """
    graph = function.graph.as_graph_def()
    marked = False
    for node in [*graph.node, *(node for part in graph.library.function for node in part.node_def)]:
        marked = node.attr.pop("_gradient_op_type", None) is not None or marked
    return _function(graph, function) if marked else function


def with_own_biases(function: Any) -> Any:
    """The same function, in which no two additions share a constant.

    TensorFlow's quantiser for int16 activations (2.21) scales a bias by the first layer that adds it: the steps of an unrolled
    recurrent layer share one, and all but the first came out wrong by up to 40%. Equal constants would be merged again, so each
    further one differs by a rounding error of float32, 2**-23.
    """
    graph = function.graph.as_graph_def()
    nodes = {node.name: node for node in graph.node}
    order = TopologicalSorter({name: [_node_of(v) for v in node.input] for name, node in nodes.items()})
    roots: dict[str, str] = {}
    uses: dict[str, int] = {}
    shared = []
    for name in order.static_order():
        node = nodes[name]
        root = _root(node, roots)
        if root is not None:
            roots[name] = root
        elif node.op in _ADDITIONS:
            for slot, value in enumerate(node.input):
                constant = roots.get(_node_of(value))
                if constant:
                    uses[constant] = uses.get(constant, 0) + 1
                    if uses[constant] > 1:
                        shared.append((node, slot, uses[constant] - 1))
    for node, slot, times in shared:
        node.input[slot] = _scaled(graph, node.input[slot], node.name, slot, times)
    return _function(graph, function) if shared else function


def _node_of(value: str) -> str:
    """Name of the node that makes `value`, such as ``unpack`` of ``unpack:1``."""
    return value.removeprefix("^").split(":")[0]


def _root(node: Any, roots: dict[str, str]) -> str | None:
    """Name of the float32 constant that `node` follows from, empty where from others; None where it varies."""
    if node.op == "Const":
        return node.name if node.attr["dtype"].type == tensorflow().float32.as_datatype_enum else ""
    found = [roots.get(_node_of(value)) for value in node.input]
    if not found or None in found:
        return None
    return next((root for root in found if root), "")


def _scaled(graph: Any, value: str, place: str, slot: int, times: int) -> str:
    """Add a node that scales `value` by ``1 + times * 2**-23``; returns its name."""
    tf = tensorflow()
    factor, product = graph.node.add(), graph.node.add()
    factor.name, factor.op = f"{place}/own_bias_{slot}/factor", "Const"
    number = np.float32(1 + times * 2.0**-23)
    factor.attr["dtype"].type = tf.float32.as_datatype_enum
    factor.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(number))
    product.name, product.op = f"{place}/own_bias_{slot}", "Mul"
    product.input.extend([value, factor.name])
    product.attr["T"].type = tf.float32.as_datatype_enum
    return product.name


def _function(graph: Any, like: Any) -> Any:
    """A function of `graph` with the inputs and outputs that `like` has."""
    tensorflow()
    from tensorflow.python.eager.wrap_function import function_from_graph_def

    return function_from_graph_def(graph, [t.name for t in like.inputs], [t.name for t in like.outputs])
