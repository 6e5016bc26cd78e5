"""The compressor of DeepIoT and its loss, against plain recomputations."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from small_networks import residual_network

from compressor.graph import build_graph
from compressor.search.deepiot.keep_network import (
    KeepNetwork,
    WeightViews,
    drawn_masks,
    log_probability,
    moved_average,
    reinforce_loss,
    thresholded,
)
from compressor.testing.law import stirred


def views_of(graph, model):
    return WeightViews(graph, {(layer.name, v.name): v for layer in model.layers for v in layer.weights})


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_the_loss_by_hand():
    """Two samples, two channels: p = (0.8, 0.5), masks (1, 0) and (0, 0), losses 3 and 1."""
    p, masks = tf.constant([0.8, 0.5]), tf.constant([[1.0, 0.0], [0.0, 0.0]])
    log_p = log_probability(masks, p)
    np.testing.assert_allclose(log_p, [np.log(0.8 * 0.5), np.log(0.2 * 0.5)], rtol=1e-5)
    small_std = reinforce_loss(log_p, tf.constant([3.0, 1.0]), 1.5, 0.1)  # the deviation is not below 1
    assert float(small_std) == pytest.approx((np.log(0.4) * 1.5 - np.log(0.1) * 0.5) / 2, rel=1e-5)
    large_std = reinforce_loss(log_p, tf.constant([3.0, 1.0]), 1.5, 4.0)
    assert float(large_std) == pytest.approx(float(small_std) / 4, rel=1e-5)


def test_its_gradient_is_that_of_the_expected_loss():
    """Over all masks, each as often as it is drawn: whatever the baseline is."""
    losses = dict(
        zip(itertools.product((0, 1), repeat=3), (3.0, 1.0, 4.0, 1.5, 2.0, 0.5, 0.7, 0.1), strict=True)
    )
    p = tf.Variable([0.3, 0.6, 0.9])
    with tf.GradientTape() as tape:
        expected = tf.add_n(
            [c * tf.exp(log_probability(tf.constant([m], tf.float32), p)[0]) for m, c in losses.items()]
        )
    wanted = tape.gradient(expected, p).numpy()
    for baseline in (0.0, 2.5):
        total = np.zeros(3)
        for mask, loss in losses.items():
            one = tf.constant([mask], tf.float32)
            with tf.GradientTape() as tape:
                value = reinforce_loss(log_probability(one, p), tf.constant([loss]), baseline, 1.0)
            total += float(tf.exp(log_probability(one, p))[0]) * tape.gradient(value, p).numpy()
        np.testing.assert_allclose(total, wanted, rtol=1e-4, atol=1e-5)


def test_masks_are_drawn_as_often_as_probabilities_say():
    p = tf.constant([0.0, 0.25, 0.8, 1.0])
    masks = drawn_masks(p, tf.random.stateless_uniform([20000, 4], [1, 2])).numpy()
    assert set(np.unique(masks)) == {0.0, 1.0}
    np.testing.assert_allclose(masks.mean(axis=0), p, atol=0.02)


def test_below_the_threshold_probabilities_are_halved():
    np.testing.assert_allclose(thresholded(tf.constant([0.2, 0.5, 0.6]), 0.5), [0.1, 0.5, 0.6])


def test_averages_begin_with_the_first_value():
    assert float(moved_average(0.0, 4.0, 0.9, True)) == 4.0
    assert float(moved_average(4.0, 2.0, 0.9, False)) == pytest.approx(3.8)


def test_the_network_against_numpy():
    shapes, units, rng = [(3, 5), (2, 7)], 4, np.random.default_rng(0)
    network = KeepNetwork(shapes, [0.8, 0.5], units, seed=1)
    matrices = [rng.normal(size=shape).astype("float32") for shape in shapes]
    found = network([tf.constant(m) for m in matrices]).numpy()
    left, right = network.variables[:2], network.variables[2:4]
    kernel, bias = (v.numpy() for v in network.variables[4:6])
    heads, offsets = network.variables[6:8], network.variables[8:10]
    hidden = cell = np.zeros((1, units))
    expected = []
    for i, matrix in enumerate(matrices):
        summary = left[i].numpy()[None] @ matrix @ right[i].numpy()
        into, forget, new, out = np.split(np.hstack([summary, hidden]) @ kernel + bias, 4, axis=1)
        cell = sigmoid(forget) * cell + sigmoid(into) * np.tanh(new)
        hidden = sigmoid(out) * np.tanh(cell)
        expected.append(sigmoid(hidden @ heads[i].numpy() + offsets[i].numpy())[0])
    np.testing.assert_allclose(found, np.concatenate(expected), rtol=1e-4, atol=1e-5)


def test_probabilities_begin_where_they_are_told():
    network = KeepNetwork([(40, 9), (30, 12)], [0.8, 0.5], seed=0)
    p = network([tf.random.stateless_normal(s, [0, 1]) for s in ((40, 9), (30, 12))]).numpy()
    np.testing.assert_allclose(p[:40], 0.8, atol=0.05)
    np.testing.assert_allclose(p[40:], 0.5, atol=0.08)


def test_other_weights_give_other_probabilities():
    network = KeepNetwork([(4, 9)], [0.8], seed=0)
    one, other = (network([tf.random.stateless_normal((4, 9), [0, s])]).numpy() for s in (1, 2))
    assert np.abs(one - other).max() > 1e-5


def test_a_matrix_holds_what_makes_each_channel_and_its_bias():
    model = stirred(
        keras.Sequential(
            [
                layers.Input((6, 6, 2)),
                layers.Conv2D(5, 3, name="a"),
                layers.Flatten(),
                layers.Dense(3, name="head"),
            ]
        )
    )
    views = views_of(build_graph(model), model)
    assert views.shapes == [(5, 3 * 3 * 2 + 1)]
    kernel, bias = model.get_layer("a").get_weights()
    matrix = views()[0].numpy()
    for channel in range(5):
        wanted = sorted([*kernel[..., channel].ravel(), bias[channel]])
        np.testing.assert_allclose(sorted(matrix[channel]), wanted, rtol=1e-6)


def test_layers_that_share_channels_share_one_matrix():
    model = residual_network()
    graph = build_graph(model)
    views = views_of(graph, model)
    assert [width for width, _ in views.shapes] == list(graph.widths.values())
    stem = list(graph.groups).index("stem")
    assert "project" in graph.groups["stem"].producers
    assert views.shapes[stem] == (6, 3 * 3 * 3)
