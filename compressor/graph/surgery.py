"""Removing channels from a Keras model for good: a smaller model with the weights of what was kept."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compressor.graph.builder import build_graph
from compressor.graph.channel_graph import ChannelGraph, Widths
from compressor.graph.rules import ChannelAxis, Count
from compressor.graph.topology import always, configuration, kind_of, layers_of, weight_names
from profiler.errors import UsageError

Keep = Mapping[str, Iterable[int]]
"""The positions that stay of each group, by `Group.id`; a group that is not named stays whole."""


def cut(
    model: Any,
    keep: Keep,
    graph: ChannelGraph | None = None,
    weights: Mapping[tuple[str, str], NDArray[Any]] = MappingProxyType({}),
) -> Any:
    """A new model with only the kept channels, everything else inherited: the given one is not touched.

    Parameters
    ----------
    model
        A Sequential or Functional `keras.Model`.
    keep
        Which channels stay, such as ``{"conv1": [0, 2, 5]}``.
    graph
        `build_graph(model)`, where it is at hand.
    weights
        What is inherited in place of the model's own weights, by layer and variable, in the model's shapes.

    Returns
    -------
    keras.Model
        It computes what the given one computes where the removed channels carry nothing (`masked`), and is
        not compiled.

    Raises
    ------
    UsageError
        A group or channel does not exist, nothing of a group would be left, or Keras cannot rebuild the
        model from its own configuration.
    """
    graph = graph or build_graph(model)
    stays = graph.kept(keep)
    smaller = _rebuilt(model, graph, lambda count: int(stays[count.channels].sum()))
    axes = _axes_by_variable(graph)
    scales = {
        (item.layer, item.variable): float(stays[item.channels].mean()) ** item.power
        for item in graph.rescales
    }

    def inherited(layer: str, variable: str, value: NDArray[Any]) -> NDArray[Any]:
        value = weights.get((layer, variable), value)
        for item in axes.get((layer, variable), ()):
            chosen = stays[item.channels]
            if not chosen.all():
                value = np.compress(chosen, value, axis=item.axis)
        scale = scales.get((layer, variable), 1.0)
        return value if scale == 1 else (value * scale).astype(value.dtype)

    fill(smaller, model, inherited)
    return smaller


def masked(model: Any, keep: Keep, graph: ChannelGraph | None = None) -> Any:
    """A copy of the model, of the same shape, in which nothing reads the channels that are not kept.

    The entries that would read them (the ``in`` axes of weights) are zero. Normalisations over channels take their statistics
    over those that are kept: no weight can say that, so as long as the copy is not saved they compute in another way.
    """
    import tensorflow as tf

    graph = graph or build_graph(model)
    stays = graph.kept(keep)
    copy = _rebuilt(model, graph, lambda count: len(count.channels))
    axes = _axes_by_variable(graph)

    def silenced(layer: str, variable: str, value: NDArray[Any]) -> NDArray[Any]:
        for item in axes.get((layer, variable), ()):
            if item.role == "in":
                value = value * along(stays[item.channels], item.axis, value.ndim)
        return value

    fill(copy, model, silenced)
    found = dict(layers_of(copy))
    for item in graph.statistics:
        kept = tf.constant(stays[item.channels][None].astype("float32"))
        normalise_masked(inside(found[item.layer], item.path), always(kept))
    return copy


def inside(layer: Any, path: Sequence[str]) -> Any:
    """The layer that a wrapper stands around; `path` as in `Count`."""
    for name in path[::2]:
        layer = getattr(layer, name)
    return layer


def resize(model: Any, widths: Widths, graph: ChannelGraph | None = None) -> Any:
    """A model of the same structure at other widths, smaller or larger, to look at its shapes; UsageError for a width below 1.

    Weights fill the new shapes by repetition, so that what a converter looks at stays: zeros are zeros, different weights differ.
    """
    graph = graph or build_graph(model)
    full = {**graph.widths, **widths}
    if any(width < 1 for width in full.values()):
        raise UsageError("Widths must be 1 or more.")
    other = _rebuilt(model, graph, lambda count: graph.form(count.channels)(full))
    for (_, new), (_, layer) in zip(layers_of(other), layers_of(model), strict=True):
        values = [
            _repeated(value, tuple(variable.shape))
            for variable, value in zip(new.weights, layer.get_weights(), strict=True)
        ]
        if values:
            new.set_weights(values)
    return other


def fill(other: Any, model: Any, value_of: Callable[[str, str, NDArray[Any]], NDArray[Any]]) -> None:
    """Give each weight of `other` what ``value_of(layer, variable, value)`` makes of that of `model`; layers may lack."""
    new = dict(layers_of(other))
    for name, layer in layers_of(model):
        if layer.weights and name in new:
            pairs = zip(weight_names(layer), layer.get_weights(), strict=True)
            new[name].set_weights([value_of(name, variable, value) for variable, value in pairs])


def _repeated(value: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    for axis, size in enumerate(shape):
        if value.shape[axis] != size:
            value = np.take(value, np.arange(size) % value.shape[axis], axis=axis)
    return value


def along(values: NDArray[Any], axis: int, rank: int) -> NDArray[Any]:
    """Shape a vector so that it multiplies an array of `rank` dimensions along `axis`."""
    shape = [1] * rank
    shape[axis] = -1
    return values.reshape(shape)


def _axes_by_variable(graph: ChannelGraph) -> dict[tuple[str, str], list[ChannelAxis]]:
    found: dict[tuple[str, str], list[ChannelAxis]] = {}
    for item in graph.axes:
        found.setdefault((item.layer, item.variable), []).append(item)
    return found


def _rebuilt(model: Any, graph: ChannelGraph, number: Callable[[Count], int]) -> Any:
    """Make the model anew from its configuration, with `number` of channels wherever channels are counted."""
    config = configuration(model)
    forget_shapes(config)
    entries: dict[str, Any] = {}
    _collect(config, "", entries)
    for item in graph.counts:
        target = entries[item.layer]
        for key in item.path:
            target = target[key]
        if item.position is None:
            target[item.key] = number(item)
        else:
            values = list(target[item.key])
            values[item.position] = number(item)
            target[item.key] = values
    return from_config(model, config)


def forget_shapes(value: Any) -> None:
    """Drop what holds the old shapes, also of layers inside wrappers."""
    if isinstance(value, dict):
        if "class_name" in value and "config" in value:
            for key in ("build_config", "compile_config"):
                value.pop(key, None)
        for item in value.values():
            forget_shapes(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            forget_shapes(item)


def _collect(config: dict[str, Any], prefix: str, entries: dict[str, Any]) -> None:
    """The configuration of each layer by its address, those of models inside included."""
    for entry in config["layers"]:
        own = entry["config"]
        name = prefix + (entry.get("name") or own.get("name") or own["config"]["name"])
        entries[name] = own
        if kind_of(entry) in ("Functional", "Sequential") and "layers" in own:
            _collect(own, f"{name}/", entries)


def from_config(model: Any, config: dict[str, Any]) -> Any:
    """A model made from a configuration that was taken from `model`; UsageError where Keras cannot."""
    import keras

    # Classes that the model was made with, wherever their definitions stand.
    own = {type(layer).__name__: type(layer) for _, layer in layers_of(model)}
    own = {name: found for name, found in own.items() if not found.__module__.startswith("keras.")}
    try:
        with keras.saving.custom_object_scope(own) if own else contextlib.nullcontext():
            if "input_layers" in config:
                return keras.Model.from_config(config)
            # Keras' own way builds the model again after each layer that it adds.
            layers = [keras.saving.deserialize_keras_object(entry) for entry in config["layers"]]
            return keras.Sequential(layers, trainable=config.get("trainable", True), name=config["name"])
    except (TypeError, ValueError) as reason:
        first = str(reason).strip().splitlines()[0] if str(reason).strip() else type(reason).__name__
        raise UsageError(f"Keras cannot rebuild model {model.name!r}: {first[:200]}") from reason


def normalise_masked(layer: Any, masks_of: Callable[[Any], Any]) -> None:
    """Let a normalisation of a model of one's own take its statistics over some channels only, in every later call.

    `masks_of` gives for the layer's input 1 for each channel that counts and 0 for the others [batch or 1, channels], or None
    where all count.
    """
    import tensorflow as tf

    plain, kind = layer.call, type(layer).__name__

    def call(inputs: Any) -> Any:
        masks = masks_of(inputs)
        if masks is None:
            return plain(inputs)
        rank, channels = len(inputs.shape), masks.shape[-1]
        masks = tf.reshape(masks, [tf.shape(masks)[0], *[1] * (rank - 2), channels])
        axes = list(range(1, rank))
        if kind != "GroupNormalization":
            given = layer.axis if isinstance(layer.axis, (list, tuple)) else [layer.axis]
            axes = sorted(axis % rank for axis in given)
        share = tf.maximum(tf.reduce_mean(masks, axis=-1, keepdims=True), 1 / channels)

        def mean(values: Any) -> Any:
            return tf.reduce_mean(values * masks, axis=axes, keepdims=True) / share

        centred = inputs if kind == "RMSNormalization" else inputs - mean(inputs)
        result = centred * tf.math.rsqrt(mean(centred**2) + layer.epsilon)
        shape = [
            inputs.shape[i] if i in axes and kind != "GroupNormalization" else 1 for i in range(rank - 1)
        ]
        for weight in layer.weights:
            value = tf.reshape(tf.convert_to_tensor(weight.value), [*shape, channels])
            result = result + value if weight.name == "beta" else result * value
        return result

    layer.call = call
