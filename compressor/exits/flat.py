"""A Keras model as one graph of layers, models inside it read through."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from compressor.export import input_specs, tensorflow
from compressor.training import as_called, input_names
from profiler.errors import UsageError


@dataclass(frozen=True)
class Step:
    """One call of a layer: what it reads and gives (Keras tensors), in an order in which each follows what it reads."""

    layer: Any
    reads: tuple[Any, ...]
    gives: tuple[Any, ...]


def flat(model: Any) -> Any:
    """The same network of the same layers, in which no layer is a model; UsageError where it has no graph.

    Layers, and so weights, are shared with `model`.
    """
    tensorflow()
    import keras

    if _through(model) is model:
        raise UsageError(
            f"The model {getattr(model, 'name', '')!r} is a class of its own ({type(model).__name__}), and exits are added to a "
            "graph of layers: build it as a Sequential or Functional network."
        )
    input_specs(model)
    inputs = [
        keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=name)
        for name, tensor in zip(input_names(model), model.inputs, strict=True)
    ]
    outputs = keras.tree.flatten(_through(model)(as_called(model, inputs)))
    return keras.Model(inputs, outputs, name=model.name)


def _through(operation: Any) -> Callable[..., Any]:
    """An operation; of a model inside the model its graph, call by call."""
    inner = getattr(operation, "_functional", None) or operation
    if not hasattr(inner, "_run_through_graph"):
        return operation
    return lambda given, **options: inner._run_through_graph(given, operation_fn=_through)


def steps(model: Any) -> list[Step]:
    """The calls of a flat model from its inputs to its outputs, those that every way passes before what follows them."""
    found = []
    for depth in sorted(model._nodes_by_depth, reverse=True):
        for node in model._nodes_by_depth[depth]:
            if node.arguments.keras_tensors:  # inputs read nothing
                reads = tuple({id(tensor): tensor for tensor in node.arguments.keras_tensors}.values())
                found.append(Step(node.operation, reads, tuple(node.outputs)))
    return found
