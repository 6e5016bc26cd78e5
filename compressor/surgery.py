"""Removing channels from a Keras model for good: a smaller model with the weights of what was kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compressor.graph import Axis, ChannelGraph, Count, Widths, build_graph
from profiler.errors import UsageError

Keep = Mapping[str, Iterable[int]]
"""The positions that stay of each group, by `Group.id`; a group that is not named stays whole."""


def cut(model: Any, keep: Keep, graph: ChannelGraph | None = None) -> Any:
    """A new model with only the kept channels, everything else inherited: the given one is not touched.

    Parameters
    ----------
    model
        A Sequential or Functional `keras.Model`.
    keep
        Which channels stay, such as ``{"conv1": [0, 2, 5]}``.
    graph
        `build_graph(model)`, where it is at hand.

    Returns
    -------
    keras.Model
        It computes what the given one computes where the removed channels carry nothing (`masked`), and is
        not compiled.

    Raises
    ------
    UsageError
        A group or channel does not exist, or nothing of a group would be left.
    """
    graph = graph or build_graph(model)
    stays = graph.kept(keep)
    smaller = _rebuilt(model, graph, lambda count: int(stays[count.atoms].sum()))
    axes = _axes_by_variable(graph)
    for layer in model.layers:
        values = []
        for variable, value in zip(layer.weights, layer.get_weights(), strict=True):
            for item in axes.get((layer.name, variable.name), ()):
                value = np.compress(stays[item.atoms], value, axis=item.axis)
            values.append(value)
        if values:
            smaller.get_layer(layer.name).set_weights(values)
    return smaller


def masked(model: Any, keep: Keep, graph: ChannelGraph | None = None) -> Any:
    """A copy of the model, of the same shape, in which nothing reads the channels that are not kept.

    The entries that would read them (the ``in`` axes of weights) are zero: so a channel carries nothing even
    where a bias, a normalisation or an activation would make something of zero.
    """
    graph = graph or build_graph(model)
    stays = graph.kept(keep)
    copy = _rebuilt(model, graph, lambda count: len(count.atoms))
    axes = _axes_by_variable(graph)
    for layer in model.layers:
        values = []
        for variable, value in zip(layer.weights, layer.get_weights(), strict=True):
            for item in axes.get((layer.name, variable.name), ()):
                if item.role == "in":
                    value = value * along(stays[item.atoms], item.axis, value.ndim)
            values.append(value)
        if values:
            copy.get_layer(layer.name).set_weights(values)
    return copy


def resize(model: Any, widths: Widths, graph: ChannelGraph | None = None) -> Any:
    """A model of the same structure at other widths, smaller or larger, to look at its shapes.

    Weights fill the new shapes by repetition. They make no sense as a network, but what a converter looks at
    stays: a bias of zeros is one of zeros, different weights differ.

    Raises
    ------
    UsageError
        A width is below 1.
    """
    graph = graph or build_graph(model)
    full = {**graph.widths, **widths}
    if any(width < 1 for width in full.values()):
        raise UsageError("Widths must be 1 or more.")
    other = _rebuilt(model, graph, lambda count: graph.form(count.atoms)(full))
    for layer in model.layers:
        new = other.get_layer(layer.name)
        values = [
            _repeated(value, tuple(variable.shape))
            for variable, value in zip(new.weights, layer.get_weights(), strict=True)
        ]
        if values:
            new.set_weights(values)
    return other


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


def _axes_by_variable(graph: ChannelGraph) -> dict[tuple[str, str], list[Axis]]:
    found: dict[tuple[str, str], list[Axis]] = {}
    for item in graph.axes:
        found.setdefault((item.layer, item.variable), []).append(item)
    return found


def _rebuilt(model: Any, graph: ChannelGraph, number: Callable[[Count], int]) -> Any:
    """Make the model anew from its configuration, with `number` of channels wherever channels are counted."""
    import keras

    config = model.get_config()
    entries = {}
    for entry in config["layers"]:
        entry.pop("build_config", None)  # it holds the old shapes
        entries[entry.get("name") or entry["config"]["name"]] = entry["config"]
    for item in graph.counts:
        target: Any = entries[item.layer]
        if item.position is None:
            target[item.key] = number(item)
        else:
            values = list(target[item.key])
            values[item.position] = number(item)
            target[item.key] = values
    kind = keras.Sequential if "input_layers" not in config else keras.Model
    return kind.from_config(config)
