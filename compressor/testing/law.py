"""The law of surgery, to put any network through: masked and cut networks compute the same."""

from __future__ import annotations

from typing import Any

import numpy as np

from compressor.graph import (
    Keep,
    along,
    build_graph,
    cut,
    masked,
)
from compressor.graph.topology import layers_of, weight_names


def outputs_of(model: Any, seed: int = 0) -> Any:
    """All outputs for random inputs, one under the other."""
    import keras

    rng = np.random.default_rng(seed)
    rows = [rng.normal(size=(3, *[n or 6 for n in source.shape[1:]])) for source in model.inputs]
    rows = [
        np.abs(x * 3).astype("int32") if "int" in source.dtype else x.astype("float32")
        for x, source in zip(rows, model.inputs, strict=True)
    ]
    found = model(rows if len(rows) > 1 else rows[0], training=False)
    return np.concatenate([np.ravel(y) for y in keras.tree.flatten(found)])


def assert_law_holds(model: Any, keep: Keep) -> Any:
    """A network whose removed channels carry nothing computes what the network without them computes."""
    graph = build_graph(model)
    silenced, smaller = masked(model, keep, graph), cut(model, keep, graph)
    expected = outputs_of(silenced)
    np.testing.assert_allclose(outputs_of(smaller), expected, rtol=1e-4, atol=1e-5)
    # They really carry nothing: whatever the removed channels' own weights are, the outputs stay the same.
    stays, rng = graph.kept(keep), np.random.default_rng(1)
    for axis in graph.axes:
        if axis.role == "in" or stays[axis.channels].all():
            continue
        layer = dict(layers_of(silenced))[axis.layer]
        values = layer.get_weights()
        position = weight_names(layer).index(axis.variable)
        noise = rng.uniform(0.5, 2.0, values[position].shape)
        gone = along(~stays[axis.channels], axis.axis, noise.ndim)
        values[position] = np.where(gone, noise, values[position]).astype("float32")
        layer.set_weights(values)
    np.testing.assert_allclose(outputs_of(silenced), expected, rtol=1e-4, atol=1e-5)
    return smaller


def some_of_each(model: Any, seed: int) -> dict[str, Any]:
    """Keep a random part of each group."""
    rng = np.random.default_rng(seed)
    return {
        name: np.sort(rng.choice(group.width, rng.integers(1, group.width + 1), replace=False))
        for name, group in build_graph(model).groups.items()
    }
