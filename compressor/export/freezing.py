"""A Keras model as one TensorFlow function of fixed shapes with its weights as constants, ready for the converter."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from compressor.export.graph_edits import without_gradients
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
