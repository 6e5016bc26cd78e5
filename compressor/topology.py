"""The layers of a Keras model and what flows between them, read from the model's own configuration.

A configuration is what Keras saves and rebuilds a model from, so what is read here is exactly what surgery
can write back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from profiler.errors import UsageError

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class TensorKey:
    """One result of one call of one layer."""

    layer: str
    call: int = 0
    index: int = 0


@dataclass(frozen=True)
class Node:
    """One layer (or operation such as ``x + y``) of a model.

    Attributes
    ----------
    kind
        The built-in class, such as ``Conv2D``, with ``ops.`` before it where it is an operation and not a
        layer; ``custom:NAME`` for everything that Keras does not bring along.
    inputs
        What each call reads, in order. A layer that is called twice has two entries.
    literals
        Arguments of the first call that are no tensors (as in ``x * 0.5``).
    variables
        Name and shape of each weight, in the order of ``layer.get_weights()``.
    output_shapes
        Of the first call, batch included; None where Keras does not know it.
    """

    name: str
    kind: str
    config: dict[str, Any]
    inputs: tuple[tuple[TensorKey, ...], ...]
    literals: tuple[Any, ...] = ()
    variables: tuple[tuple[str, tuple[int, ...]], ...] = ()
    output_shapes: tuple[Shape, ...] = ()


@dataclass(frozen=True)
class Topology:
    """A model as nodes in an order in which each follows what it reads."""

    nodes: tuple[Node, ...]
    inputs: tuple[TensorKey, ...]
    outputs: tuple[TensorKey, ...]
    shapes: dict[TensorKey, Shape] = field(default_factory=dict)


def read_topology(model: Any) -> Topology:
    """Read the layers of a Sequential or Functional Keras 3 model.

    Raises
    ------
    UsageError
        The model is neither (a subclassed model), or it has never been built.
    """
    config = _configuration(model)
    entries = config["layers"]
    if "input_layers" not in config:
        return _sequential(model, entries)
    inputs = tuple(_keys(config["input_layers"]))
    outputs = tuple(_keys(config["output_layers"]))
    nodes = []
    shapes: dict[TensorKey, Shape] = {}
    for entry in entries:
        calls = tuple(tuple(_tensors((n["args"], n["kwargs"]), shapes)) for n in entry["inbound_nodes"])
        literals = tuple(_literals(entry["inbound_nodes"][0])) if entry["inbound_nodes"] else ()
        nodes.append(_node(model, entry, entry["name"], calls, literals))
    return _finish(_in_order(nodes), inputs, outputs, shapes)


def _configuration(model: Any) -> dict[str, Any]:
    name = getattr(model, "name", type(model).__name__)
    mend = "rebuild it with keras.Sequential or keras.Model(inputs, outputs)"
    try:
        config = model.get_config()
    except NotImplementedError:
        config = {}
    if "layers" not in config:
        raise UsageError(f"Model {name!r} is a subclassed model, whose layers cannot be told apart: {mend}.")
    if not model.built or not getattr(model, "inputs", None):
        raise UsageError(
            f"Model {name!r} has no input shape yet: give its first layer one, or call it once, then save it."
        )
    return dict(config)


def _sequential(model: Any, entries: list[dict[str, Any]]) -> Topology:
    nodes: list[Node] = []
    for entry in entries:
        if entry["class_name"] == "InputLayer":
            continue
        previous = nodes[-1].name if nodes else "input"
        name = entry["config"].get("name") or entry["config"]["config"]["name"]
        nodes.append(_node(model, entry, name, ((TensorKey(previous),),), ()))
    source = Node("input", "InputLayer", {}, (), output_shapes=(tuple(model.inputs[0].shape),))
    return _finish(
        [source, *nodes], (TensorKey("input"),), (TensorKey(nodes[-1].name if nodes else "input"),), {}
    )


def _node(
    model: Any,
    entry: dict[str, Any],
    name: str,
    calls: tuple[tuple[TensorKey, ...], ...],
    literals: tuple[Any, ...],
) -> Node:
    module = entry.get("module") or ""
    kind = entry["class_name"]
    if entry.get("registered_name") and ">" in str(entry["registered_name"]):
        kind = f"custom:{kind}"
    elif module.startswith("keras.src.ops"):
        kind = f"ops.{kind}"
    elif module != "keras" and not module.startswith("keras.layers"):
        kind = f"custom:{kind}"
    if kind.startswith("ops."):
        return Node(name, kind, entry["config"], calls, literals)
    layer = model.get_layer(name)
    variables = tuple((v.name, tuple(int(n) for n in v.shape)) for v in layer.weights)
    try:
        outputs = layer.output
    except (AttributeError, ValueError):  # called in more than one place, or never
        outputs = []
    shapes = tuple(tuple(t.shape) for t in (outputs if isinstance(outputs, (list, tuple)) else [outputs]))
    return Node(name, kind, entry["config"], calls, literals, variables, shapes)


def _finish(
    nodes: list[Node],
    inputs: tuple[TensorKey, ...],
    outputs: tuple[TensorKey, ...],
    shapes: dict[TensorKey, Shape],
) -> Topology:
    for node in nodes:
        for index, shape in enumerate(node.output_shapes):
            shapes.setdefault(TensorKey(node.name, 0, index), shape)
    return Topology(tuple(nodes), inputs, outputs, shapes)


def _in_order(nodes: list[Node]) -> list[Node]:
    """Sort so that each node follows what it reads (a configuration mostly is, but need not be)."""
    done: set[str] = set()
    order: list[Node] = []
    waiting = nodes
    while waiting:
        later = []
        for node in waiting:
            if all(key.layer in done for call in node.inputs for key in call):
                order.append(node)
                done.add(node.name)
            else:
                later.append(node)
        if len(later) == len(waiting):  # a shared layer that reads its own result: keep Keras' order
            return order + later
        waiting = later
    return order


def _keys(value: Any) -> Iterator[TensorKey]:
    """Keras writes one tensor as ``[name, call, index]`` and several as a list (or a dict) of those."""
    if isinstance(value, dict):
        for item in value.values():
            yield from _keys(item)
    elif len(value) == 3 and isinstance(value[0], str):
        yield TensorKey(value[0], value[1], value[2])
    else:
        for item in value:
            yield from _keys(item)


def _tensors(value: Any, shapes: dict[TensorKey, Shape]) -> Iterator[TensorKey]:
    if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
        key = TensorKey(*value["config"]["keras_history"])
        shapes[key] = tuple(value["config"]["shape"])
        yield key
    elif isinstance(value, dict):
        for item in value.values():
            yield from _tensors(item, shapes)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors(item, shapes)


def _literals(call: dict[str, Any]) -> Iterator[Any]:
    for value in (*call["args"], *call["kwargs"].values()):
        if isinstance(value, (list, tuple)) or (
            isinstance(value, dict) and value.get("class_name") == "__keras_tensor__"
        ):
            continue
        if value is not None and not isinstance(value, bool):
            yield value
