"""How much each channel matters: which ones to keep where only some can stay.

Two measures. ``magnitude``: the L2 norm of all weights that stand for a channel, over every layer that it
runs through, each weight scaled so that its channels' mean is 1 (as DepGraph, Fang et al., CVPR 2023).
``taylor``: the expected square of the change in loss, to first order, when nothing reads the channel any more
(Molchanov et al., CVPR 2019, "Importance Estimation for Neural Network Pruning", applied to where channels
are read: there it is exact for channels that run through a batch normalisation as well).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compressor.data import Rows, row_count, take
from compressor.graph import ChannelGraph, layers_of, weight_names
from compressor.training.model_io import run
from profiler.errors import UsageError

Importance = Mapping[str, NDArray[np.float64]]
"""Per group one number for each channel [width], not negative, larger where it matters more."""

MEASURES = ("taylor", "magnitude")

_MATTERS = ("kernel", "recurrent_kernel", "depthwise_kernel", "pointwise_kernel", "gamma", "embeddings")


def magnitude_importance(
    graph: ChannelGraph, weights: Mapping[tuple[str, str], NDArray[Any]]
) -> dict[str, NDArray[np.float64]]:
    """Root of the mean square of the scaled norms of a channel's weights (by layer and variable name, `weights_of`)."""
    totals, counts = _zeros(graph), _zeros(graph)
    for axis in graph.axes:
        value = np.asarray(weights[axis.layer, axis.variable], dtype=np.float64)
        name = axis.variable.split("/")[-1]
        of_a_custom_layer = value.ndim > 1 and axis.role != "scale" and "bias" not in name
        if name not in _MATTERS and not of_a_custom_layer:
            continue
        norms = np.sqrt((value**2).sum(axis=_others(value.ndim, axis.axis)))
        if norms.mean() > 0:
            _add(totals, graph.add_up(axis.channels, (norms / norms.mean()) ** 2))
            _add(counts, graph.add_up(axis.channels, np.ones(len(norms))))
    return {name: np.sqrt(totals[name] / np.maximum(counts[name], 1)) for name in totals}


def taylor_importance(
    graph: ChannelGraph,
    products: Iterable[Mapping[tuple[str, str], Any]],
) -> dict[str, NDArray[np.float64]]:
    """Mean over batches of the squared sum of ``weight * gradient`` over the entries that read a channel.

    `products` holds for each batch ``weight * gradient`` of each weight, by layer and variable name.
    """
    totals, batches = _zeros(graph), 0
    for product in products:
        changes = _zeros(graph)
        for axis in graph.readers:
            value = np.asarray(product[axis.layer, axis.variable], dtype=np.float64)
            _add(changes, graph.add_up(axis.channels, value.sum(axis=_others(value.ndim, axis.axis))))
        _add(totals, {name: change**2 for name, change in changes.items()})
        batches += 1
    return {name: total / max(1, batches) for name, total in totals.items()}


def normalised(importance: Importance) -> dict[str, NDArray[np.float64]]:
    """Scaled so that each group's channels sum to 1; a group without any is spread evenly."""
    found = {}
    for name, values in importance.items():
        total = values.sum()
        found[name] = values / total if total > 0 else np.full(len(values), 1 / len(values))
    return found


def strongest(importance: Importance, widths: Mapping[str, int]) -> dict[str, list[int]]:
    """The positions of the ``widths[g]`` most important channels of each group, in their old order.

    Of equals the earlier one stays, so that fewer channels are always a part of more.
    """
    chosen = {}
    for name, width in widths.items():
        values = importance[name]
        if not 1 <= width <= len(values):
            raise UsageError(
                f"Group {name!r} has {len(values)} channels: keep 1 to {len(values)}, not {width}."
            )
        chosen[name] = sorted(np.argsort(-values, kind="stable")[:width].tolist())
    return chosen


def weights_of(model: Any) -> dict[tuple[str, str], NDArray[Any]]:
    """The weights of a Keras model by layer and variable name (`topology.weight_names`)."""
    return {
        (name, variable): value
        for name, layer in layers_of(model)
        for variable, value in zip(weight_names(layer), layer.get_weights(), strict=True)
    }


def measure_importance(
    model: Any,
    graph: ChannelGraph,
    measure: str,
    x: Rows,
    y: Rows,
    loss: Callable[[Any, Any], Any],
    seed: int = 0,
    batches: int = 32,
    batch_size: int = 32,
) -> dict[str, NDArray[np.float64]]:
    """Importance of each channel of a model by one of `MEASURES`.

    Parameters
    ----------
    x, y
        Training data; ``magnitude`` does not look at them.
    loss
        ``loss(y, output) -> per-batch scalar`` of TensorFlow tensors.
    """
    if measure not in MEASURES:
        raise UsageError(f"There is no importance {measure!r}: choose one of {', '.join(MEASURES)}.")
    if measure == "magnitude":
        return magnitude_importance(graph, weights_of(model))
    return taylor_importance(graph, _products(model, graph, x, y, loss, seed, batches, batch_size))


def _products(
    model: Any,
    graph: ChannelGraph,
    x: Rows,
    y: Rows,
    loss: Callable[[Any, Any], Any],
    seed: int,
    batches: int,
    batch_size: int,
) -> Iterable[Mapping[tuple[str, str], Any]]:
    """``weight * gradient`` of every weight that reads channels, for random batches."""
    import tensorflow as tf

    wanted = sorted({(axis.layer, axis.variable) for axis in graph.readers})
    layers = dict(layers_of(model))
    sources = [
        layers[name].weights[weight_names(layers[name]).index(variable)].value for name, variable in wanted
    ]

    @tf.function(reduce_retracing=True, autograph=False)
    def gradients(rows: Any, labels: Any) -> Any:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(sources)
            value = loss(labels, run(model, rows))
        found = tape.gradient(value, sources, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return [w * g for w, g in zip(sources, found, strict=True)]

    rng, count = np.random.default_rng(seed), row_count(x)
    for _ in range(batches):
        chosen = rng.choice(count, min(batch_size, count), replace=False)
        yield dict(zip(wanted, gradients(take(x, chosen), take(y, chosen)), strict=True))


def _others(rank: int, axis: int) -> tuple[int, ...]:
    return tuple(i for i in range(rank) if i != axis)


def _zeros(graph: ChannelGraph) -> dict[str, NDArray[np.float64]]:
    return {name: np.zeros(group.width) for name, group in graph.groups.items()}


def _add(totals: dict[str, NDArray[np.float64]], more: Importance) -> None:
    for name, values in more.items():
        totals[name] += values
