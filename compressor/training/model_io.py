"""Calling Keras models on rows by name: one array in and out, or a mapping where there are several."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from compressor.data import Rows, each, joined, row_count, take
from profiler.errors import UsageError

_EVALUATION_BATCH = 256


def input_names(model: Any) -> list[str]:
    """Names of a model's inputs, in its order: those of their layers, which a saved or smaller model has too."""
    return [str(tensor._keras_history.operation.name) for tensor in model.inputs]


def output_names(model: Any) -> list[str]:
    """Names of a model's outputs, in its order: the keys that it was built with, else those of the layers."""
    structure = getattr(model, "_outputs_struct", None)  # Keras 3 has no public name for it
    names = sorted(structure) if isinstance(structure, dict) else getattr(model, "output_names", [])
    if len(model.outputs) == 1:
        return [str(next(iter(names), "output"))]
    if len(set(names)) < len(model.outputs):
        raise UsageError(
            f"Model {model.name!r} has several outputs of one name ({', '.join(names)}): build it with a dictionary of "
            "outputs."
        )
    return [str(name) for name in names]


def as_called(model: Any, tensors: Sequence[Any]) -> Any:
    """Inputs in the structure that the model was built with (a tensor, a list, a dictionary)."""
    structure = getattr(model, "_inputs_struct", None)  # Functional models; Keras 3 has no public name for it
    if structure is not None:
        import keras

        return keras.tree.pack_sequence_as(structure, list(tensors))
    return tensors[0] if len(tensors) == 1 else list(tensors)


def run(model: Any, rows: Rows, training: bool = False) -> Any:
    """A model's output for rows, or its outputs by name where it has several."""
    given = [rows[name] for name in input_names(model)] if isinstance(rows, Mapping) else [rows]
    return by_name(model, model(as_called(model, given), training=training))


def without_dropout(model: Any) -> Any:
    """The model itself, in which training drops nothing at random any more."""
    import keras

    kinds = (keras.layers.Dropout, keras.layers.GaussianDropout, keras.layers.AlphaDropout)
    for layer in model._flatten_layers():
        if isinstance(layer, kinds):
            layer.rate = 0.0
        for name in ("dropout", "recurrent_dropout"):  # of cells and attentions
            if isinstance(vars(layer).get(name), float):
                setattr(layer, name, 0.0)
    return model


def by_name(model: Any, outputs: Any) -> Any:
    """What a model gave, as a tensor or, where there are several, by name."""
    import keras

    found = keras.tree.flatten(outputs)
    return found[0] if len(found) == 1 else dict(zip(output_names(model), found, strict=True))


def make_predict(model: Any) -> Callable[[Rows], Rows]:
    """A function from rows to outputs that is traced once."""
    import tensorflow as tf

    @tf.function(reduce_retracing=True, autograph=False)  # as Keras' own trainer
    def call(rows: Any) -> Any:
        return run(model, rows)

    def predict(x: Rows) -> Rows:
        count = row_count(x)
        size = min(_EVALUATION_BATCH, count)
        parts = []
        for start in range(0, count, size):
            rows = take(x, slice(start, start + size))
            missing = size - row_count(rows)
            if missing:  # keep one shape, so that nothing is traced again
                rows = each(rows, lambda a: np.concatenate([a, np.repeat(a[-1:], size - len(a), axis=0)]))
            outputs = each(call(rows), np.asarray)
            parts.append(take(outputs, slice(0, size - missing)))
        return joined(parts)

    return predict


def outputs_of(model: Any, x: Rows) -> Rows:
    """A model's outputs for all rows [rows, ...], by name where it has several."""
    return make_predict(model)(x)
