"""Weights of what is left, solved again by least squares."""

import numpy as np

from compressor.graph import build_graph, cut, find_blocks
from compressor.training.reconstruction import Reconstruction
from compressor.training.supernet import Supernet


def _network():
    from keras import Input, Model, layers

    source = Input((6, 6, 2))
    x = layers.Conv2D(6, 3, padding="same", activation="relu", name="first")(source)
    x = layers.Conv2D(5, 3, name="second")(x)
    x = layers.Dense(4, name="third")(layers.GlobalAveragePooling2D()(x))
    return Model(source, layers.Dense(2, name="head")(x))


def _rows(count, seed=0):
    """Pictures that are mixes of a few, so that channels know of one another."""
    few = np.random.default_rng(9).normal(size=(3, 6, 6, 2))
    return np.tensordot(np.random.default_rng(seed).normal(size=(count, 3)), few, axes=1).astype(np.float32)


def test_a_channel_that_is_twice_another_is_not_missed():
    model = _network()
    kernel, bias = model.get_layer("first").get_weights()
    kernel[..., 5], bias[5] = 2 * kernel[..., 1], 2 * bias[1]
    model.get_layer("first").set_weights([kernel, bias])
    graph, keep, rows = build_graph(model), {"first": [0, 1, 2, 3, 4]}, _rows(32)
    weights = Reconstruction(model, graph, rows).weights(keep)
    wanted = np.asarray(model(_rows(8, 1)))
    np.testing.assert_allclose(cut(model, keep, graph, weights)(_rows(8, 1)), wanted, rtol=0.02, atol=0.01)
    assert np.abs(cut(model, keep, graph)(_rows(8, 1)) - wanted).max() > 0.05


def test_outputs_stay_nearer_where_channels_go_and_the_network_is_as_it_was():
    model = _network()
    graph, rows, seen = build_graph(model), _rows(64), _rows(64, 1)
    keep = {"first": [0, 1, 2, 4]}
    wanted = np.asarray(model(seen))
    weights = Reconstruction(model, graph, rows).weights(keep)
    solved = np.asarray(cut(model, keep, graph, weights)(seen))
    plain = np.asarray(cut(model, keep, graph)(seen))
    assert np.mean((solved - wanted) ** 2) < 0.7 * np.mean((plain - wanted) ** 2)
    np.testing.assert_array_equal(model(seen), wanted)


def test_nothing_is_solved_where_nothing_goes():
    model = _network()
    assert Reconstruction(model, build_graph(model), _rows(4)).weights({}) == {}


def test_a_supernet_switches_its_blocks_off_after_it_too():
    from keras import Input, Model, layers

    source = Input((4,))
    x = layers.Dense(5, activation="tanh", name="first")(source)
    x = layers.Dense(5, name="second")(x)
    model = Model(source, layers.Dense(2, name="head")(x))
    graph, rows = build_graph(model), np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
    supernet = Supernet(model, graph, find_blocks(model).removable)
    switches = supernet.switches({}, ["second"])
    wanted = np.asarray(supernet(rows, *switches, training=False))
    Reconstruction(supernet.model, graph, rows, lambda _, some: supernet(some, *switches, training=False))
    np.testing.assert_array_equal(supernet(rows, *switches, training=False), wanted)
    assert np.abs(wanted - supernet(rows, *supernet.switches({}), training=False)).max() > 1e-3
