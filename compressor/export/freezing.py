"""A Keras model as one TensorFlow function of fixed shapes with its weights as constants, ready for the converter."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping
from graphlib import TopologicalSorter
from typing import Any

import numpy as np

from compressor.export.silence import tensorflow
from compressor.training import as_called
from profiler.errors import UsageError

Specs = Mapping[str, tuple[tuple[int, ...], str]]


def freeze(model: Any, specs: Specs, unroll: bool = False) -> Any:
    """The inference function of `model` (a TensorFlow ConcreteFunction) with all weights as constants, outputs in its order.

    With `unroll` recurrent layers are written as one copy of their cell per step in place of a loop; a stateful one is refused
    by UsageError. Keras' own ``model.export(format="litert")`` leaves the batch open, on which recurrent layers fail; and from
    a function around a Keras 3 model the converter does not freeze the weights. Both are settled here.
    """
    tf = tensorflow()
    import keras
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    stateful = [
        layer.name for layer in _layers(model) if getattr(layer, "stateful", False) and _recurs(layer)
    ]
    if stateful:
        raise UsageError(
            f"Layer '{stateful[0]}' is stateful, which a TFLite file of constant weights cannot be: "
            "build the network with stateful=False."
        )

    names = argument_names(specs)

    def infer(**tensors: Any) -> Any:
        outputs = model(as_called(model, [tensors[name] for name in names.values()]), training=False)
        return {f"o{index:04d}": tensor for index, tensor in enumerate(keras.tree.flatten(outputs))}

    signature = {
        names[name]: tf.TensorSpec(shape, dtype, name=names[name]) for name, (shape, dtype) in specs.items()
    }
    with _unrolled(model) if unroll else contextlib.nullcontext():
        traced = tf.function(infer, autograph=False).get_concrete_function(**signature)
        return without_gradients(convert_variables_to_constants_v2(traced, lower_control_flow=False))


def argument_names(names: Iterable[str]) -> dict[str, str]:
    """What each input is called in the file: its own name, as far as TensorFlow takes that for an argument."""
    taken: dict[str, str] = {}
    for name in names:
        plain = re.sub(r"\W", "_", name, flags=re.ASCII)
        plain = plain if re.match(r"[A-Za-z]", plain) else f"input_{plain}"
        while plain in taken.values():
            plain += "_"
        taken[name] = plain
    return taken


def is_recurrent(model: Any) -> bool:
    """Whether some layer of `model` runs step by step."""
    return any(_recurs(layer) for layer in _layers(model))


def attention_over_one_channel(model: Any) -> str:
    """Name of an attention layer whose input has a single channel; empty where there is none."""
    for layer in _layers(model):
        dense = getattr(layer, "_query_dense", None) or getattr(layer, "query_dense", None)
        if dense is not None and dense.built and dense.kernel.shape[0] == 1:
            return str(layer.name)
    return ""


def has_loop(function: Any) -> bool:
    """Whether a frozen function still holds a loop."""
    graph = function.graph.as_graph_def()
    nodes = [*graph.node, *(node for part in graph.library.function for node in part.node_def)]
    return any(node.op in ("While", "StatelessWhile") for node in nodes)


@contextlib.contextmanager
def _unrolled(model: Any) -> Iterator[None]:
    """Recurrent layers write out their steps while inside; afterwards they are as before."""
    layers = [layer for layer in _layers(model) if hasattr(layer, "unroll")]
    before = [layer.unroll for layer in layers]
    try:
        for layer in layers:
            layer.unroll = True
        yield
    finally:
        for layer, value in zip(layers, before, strict=True):
            layer.unroll = value


def _layers(model: Any) -> list[Any]:
    """All layers, those inside wrappers and inner models included."""
    return list(model._flatten_layers()) if hasattr(model, "_flatten_layers") else list(model.layers)


def _recurs(layer: Any) -> bool:
    return hasattr(layer, "unroll") and hasattr(layer, "return_sequences")


def without_overflow(function: Any) -> Any:
    """The same function with every softplus in a form whose parts are finite: ``relu(x) + log(1 + exp(-|x|))``.

    TFLite writes it as ``log(1 + exp(x))``, which is x for large x but infinite on the way, and no integer has that range.
    """
    graph = function.graph.as_graph_def()
    found = [node for node in graph.node if node.op == "Softplus"]
    for node in found:
        kind, value = node.attr["T"], node.input[0]
        for name, number in (("one", 1.0), ("minus", -1.0)):
            constant = graph.node.add(name=f"{node.name}/{name}", op="Const")
            constant.attr["dtype"].CopyFrom(kind)
            constant.attr["value"].tensor.CopyFrom(tensorflow().make_tensor_proto(number, kind.type))
        steps = {
            "size": ("Abs", [value]), "below": ("Mul", ["size", "minus"]), "power": ("Exp", ["below"]),
            "more": ("AddV2", ["power", "one"]), "rest": ("Log", ["more"]), "main": ("Relu", [value]),
        }  # fmt: skip
        for step, (op, inputs) in steps.items():
            made = graph.node.add(name=f"{node.name}/{step}", op=op)
            made.input.extend(
                f"{node.name}/{i}" if i in steps or i in ("one", "minus") else i for i in inputs
            )
            made.attr["T"].CopyFrom(kind)
        node.op = "AddV2"
        del node.input[:]
        node.input.extend([f"{node.name}/main", f"{node.name}/rest"])
    return _function(graph, function) if found else function


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
