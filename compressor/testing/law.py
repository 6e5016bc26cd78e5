"""The law of surgery, to put any network, layer rule or change through: masked and cut networks compute the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from compressor.graph import (
    Change,
    ChannelGraph,
    Keep,
    along,
    build_graph,
    cut,
    layers_of,
    masked,
    weight_names,
)
from compressor.training import input_names, run


def check_rule(layer: Any, *input_shapes: Sequence[int], seeds: int = 5) -> None:
    """The suite that a layer rule must pass (`compressor.graph.register_rule`).

    The layer is put between dense layers. Then random channels are removed: the network without them must compute
    what the whole one does where nothing reads them, and so must the twin that DeepIoT trains, where they are
    masked. The weights of removed channels must not matter.

    Parameters
    ----------
    layer
        A fresh layer, whose output has its channels in the last axis.
    input_shapes
        Of one row of its input, channels last, without the batch; of several inputs one after the other: the layer is
        then called with a list.
    seeds
        How many random choices of channels are tried.

    Raises
    ------
    AssertionError
        The rule does not say what the layer does; the message says in what respect.

    Examples
    --------
    >>> from compressor.testing import check_rule
    >>> from keras import layers
    >>> check_rule(layers.Dense(8), (5,))
    """
    import keras

    sources = [keras.Input(tuple(shape), name=f"source_{i}") for i, shape in enumerate(input_shapes)]
    read = [
        keras.layers.Dense(source.shape[-1], activation="relu", name=f"before_{i}")(source)
        for i, source in enumerate(sources)
    ]
    made = keras.tree.flatten(layer(read if len(read) > 1 else read[0]))
    model = stirred(
        keras.Model(sources, [keras.layers.Dense(3, name=f"after_{i}")(y) for i, y in enumerate(made)])
    )
    graph = build_graph(model)
    reasons = [frozen.reason for frozen in graph.frozen if frozen.layer == layer.name]
    assert not reasons, f"{layer.name} is frozen: {reasons[0]}"
    through = [group.id for group in graph.groups.values() if layer.name in group.layers]
    own = [variable.name for variable in layer.weights]
    assert through or not own, (
        f"no channel that can be removed is in a weight of {layer.name} ({', '.join(own)}): the rule must name the "
        "axes of weights that stand for channels (recorder.axis), and the configuration value that counts those "
        "that the layer makes (recorder.count)"
    )
    for seed in range(seeds):
        keep = some_of_each(model, seed)
        try:
            smaller = assert_law_holds(model, keep)
        except ValueError as error:  # Keras'
            raise AssertionError(
                f"the layer that is made of the smaller configuration has weights of another shape than those that the "
                f"rule says are left, at {keep}: {error}"
            ) from error
        _assert_the_twin_agrees(model, graph, keep, smaller)


def check_change(change: Change, model: Any, rtol: float = 1e-4, atol: float = 1e-5) -> Any:
    """The suite that a change must pass on any network in which its dimension finds it (`compressor.changes`).

    Parameters
    ----------
    change
        What is taken out.
    model
        The network, with random weights best (a bias of 0 hides faults).
    rtol, atol
        How near the outputs must be.

    Returns
    -------
    keras.Model
        The changed network.

    Raises
    ------
    AssertionError
        The changed network computes something else than the twin, its inputs or outputs have other shapes, its layers or
        groups of channels other names, or the given network was touched.
    """
    import keras

    before, names = model.get_weights(), {name for name, _ in layers_of(model)}
    rows = list(_random_rows(model, 0).values())
    x = rows if len(rows) > 1 else rows[0]
    expected = np.concatenate([np.ravel(y) for y in keras.tree.flatten(change.twin(model)(x))])
    made = change.apply(model)
    found = np.concatenate([np.ravel(y) for y in keras.tree.flatten(made(x, training=False))])
    for what, one, other in (("inputs", made.inputs, model.inputs), ("outputs", made.outputs, model.outputs)):
        shapes = [[tuple(tensor.shape) for tensor in tensors] for tensors in (one, other)]
        assert shapes[0] == shapes[1], (
            f"{change.id}: the {what} have other shapes: {shapes[0]}, not {shapes[1]}"
        )
    np.testing.assert_allclose(found, expected, rtol, atol, err_msg=f"{change.id}: changed is not masked")
    for one, other in zip(model.get_weights(), before, strict=True):
        assert np.array_equal(one, other), f"{change.id}: the given network was touched"
    left = {name for name, _ in layers_of(made)}
    if change.removes:
        assert not left & set(change.layers), f"{change.id}: layers are left that should be gone"
    else:
        assert names <= left, f"{change.id}: layers lost their names: {sorted(names - left)}"
    groups = build_graph(made, change.fixed).widths
    assert groups.items() <= build_graph(model).widths.items(), (
        f"{change.id}: groups have other names or widths"
    )
    return made


def stirred(model: Any, seed: int = 0) -> Any:
    """Give every weight a random value that `seed` alone decides: no bias of 0, no gamma of 1, no variance below 0.5."""
    rng = np.random.default_rng(seed)
    for _, layer in layers_of(model):
        values = []
        for variable, value in zip(layer.weights, layer.get_weights(), strict=True):
            if not np.issubdtype(value.dtype, np.floating):
                values.append(value)
            elif variable.name == "moving_variance":
                values.append(rng.uniform(0.5, 1.5, value.shape).astype("float32"))
            elif value.ndim <= 1:
                values.append(rng.normal(0.2, 0.5, value.shape).astype("float32"))
            else:
                spread = 1.3 * np.prod(value.shape[:-1]) ** -0.5  # as much goes out as comes in
                values.append(rng.normal(0, spread, value.shape).astype("float32"))
        if values:
            layer.set_weights(values)
    return model


def outputs_of(model: Any, seed: int = 0) -> Any:
    """All outputs for random inputs, one under the other."""
    import keras

    return np.concatenate([np.ravel(y) for y in keras.tree.flatten(run(model, _random_rows(model, seed)))])


def assert_law_holds(model: Any, keep: Keep) -> Any:
    """A network whose removed channels carry nothing computes what the network without them computes."""
    graph = build_graph(model)
    silenced, smaller = masked(model, keep, graph), cut(model, keep, graph)
    expected = outputs_of(silenced)
    np.testing.assert_allclose(
        outputs_of(smaller), expected, rtol=1e-4, atol=1e-5, err_msg=f"cut is not masked at {keep}"
    )
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
    np.testing.assert_allclose(
        outputs_of(silenced), expected, rtol=1e-4, atol=1e-5, err_msg="weights of removed channels are read"
    )
    return smaller


def some_of_each(model: Any, seed: int) -> dict[str, Any]:
    """Keep a random part of each group."""
    rng = np.random.default_rng(seed)
    return {
        name: np.sort(rng.choice(group.width, rng.integers(1, group.width + 1), replace=False))
        for name, group in build_graph(model).groups.items()
    }


def _random_rows(model: Any, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    rows = [rng.normal(size=(3, *[n or 6 for n in source.shape[1:]])) for source in model.inputs]
    return {
        name: np.abs(x * 3).astype("int32") if "int" in source.dtype else x.astype("float32")
        for name, x, source in zip(input_names(model), rows, model.inputs, strict=True)
    }


def _assert_the_twin_agrees(model: Any, graph: ChannelGraph, keep: Keep, smaller: Any) -> None:
    import keras
    import tensorflow as tf

    from compressor.search.deepiot import masked_twin

    masks = [np.isin(np.arange(group.width), list(keep[name])) for name, group in graph.groups.items()]
    together = np.concatenate(masks).astype("float32")[None] if masks else np.zeros((1, 0), np.float32)
    found = masked_twin(model, graph)(_random_rows(model, 0), tf.constant(together), training=False)
    outputs = np.concatenate([np.ravel(y) for y in keras.tree.flatten(found)])
    np.testing.assert_allclose(
        outputs, outputs_of(smaller), rtol=1e-4, atol=1e-5, err_msg=f"the masked twin is not cut at {keep}"
    )
