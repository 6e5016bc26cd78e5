import keras
import numpy as np
import pytest
from keras import layers
from small_networks import residual_network

from compressor.graph import build_graph
from compressor.training import measure_importance, normalised, strongest
from compressor.training.importance import magnitude_importance, taylor_importance, weights_of
from profiler.errors import UsageError


def two_dense():
    model = keras.Sequential([layers.Input((2,)), layers.Dense(3, name="a"), layers.Dense(1, name="head")])
    model.get_layer("a").set_weights(
        [np.array([[3.0, 0.0, 1.0], [4.0, 0.0, 0.0]], "float32"), np.zeros(3, "float32")]
    )
    model.get_layer("head").set_weights([np.array([[2.0], [0.0], [4.0]], "float32"), np.zeros(1, "float32")])
    return model


def test_magnitude_of_a_hand_worked_case():
    model = two_dense()
    found = magnitude_importance(build_graph(model), weights_of(model))["a"]
    # Norms of the first kernel's columns: 5, 0, 1 (mean 2); of the second one's rows: 2, 0, 4 (mean 2).
    expected = np.sqrt([(2.5**2 + 1**2) / 2, 0, (0.5**2 + 2**2) / 2])
    np.testing.assert_allclose(found, expected)


def test_taylor_of_a_hand_worked_case():
    model = two_dense()
    products = {("head", "kernel"): np.array([[0.5], [-2.0], [1.0]])}
    halves = {("head", "kernel"): np.array([[-0.5], [0.0], [3.0]])}
    found = taylor_importance(build_graph(model), [products, halves])["a"]
    np.testing.assert_allclose(found, [0.25, 2.0, 5.0])


def test_taylor_is_the_first_order_change_of_the_loss_when_a_channel_is_silenced():
    model = two_dense()
    x = np.array([[1.0, 1.0]], "float32")
    y = np.zeros(1, "float32")
    # A loss that is linear in the output makes the first order exact: output = 7*2 + 1*4.
    found = measure_importance(
        model, build_graph(model), "taylor", x, y, lambda labels, output: output[0, 0], batches=3
    )["a"]
    np.testing.assert_allclose(found, [14.0**2, 0.0, 4.0**2], rtol=1e-6)


def test_a_channel_that_nothing_reads_has_no_taylor_importance():
    model = residual_network()
    graph = build_graph(model)
    for reader in (model.get_layer("project"), model.get_layer("squeeze")):
        kernel, *rest = reader.get_weights()
        kernel[..., 2 * 3 : 2 * 4, :] = 0  # both depthwise outputs of channel 3
        reader.set_weights([kernel, *rest])
    rng = np.random.default_rng(0)
    x = rng.normal(size=(16, 8, 8, 3)).astype("float32")
    found = measure_importance(model, graph, "taylor", x, np.zeros(16), _mean_square)["expand"]
    assert found[3] == 0
    assert (np.delete(found, 3) > 0).all()


def _mean_square(labels, output):
    return keras.ops.mean(output**2)


def test_strongest_are_nested_and_in_order():
    importance = {"a": np.array([0.5, 0.9, 0.5, 0.1])}
    assert strongest(importance, {"a": 1}) == {"a": [1]}
    assert strongest(importance, {"a": 2}) == {"a": [0, 1]}
    assert strongest(importance, {"a": 3}) == {"a": [0, 1, 2]}
    with pytest.raises(UsageError, match="has 4 channels: keep 1 to 4, not 5"):
        strongest(importance, {"a": 5})


def test_normalised_sums_to_one_even_where_nothing_matters():
    found = normalised({"a": np.array([1.0, 3.0]), "b": np.zeros(4)})
    assert found["a"].tolist() == [0.25, 0.75]
    assert found["b"].tolist() == [0.25] * 4


def test_unknown_measures_are_named():
    model = two_dense()
    with pytest.raises(UsageError, match="no importance 'luck'"):
        measure_importance(model, build_graph(model), "luck", np.zeros((1, 2)), np.zeros(1), lambda y, o: o)
