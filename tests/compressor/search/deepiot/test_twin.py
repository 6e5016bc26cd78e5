"""A channel that a mask switches off carries nothing: by law the same as in `compressor.graph.surgery.masked`."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from small_networks import attention_network, plain_network, residual_network, transfer_network

from compressor.graph import build_graph, cut, layers_of, masked
from compressor.search.deepiot.twin import folded, masked_twin
from compressor.testing.law import stirred


def recurrent_network(kind, **options):
    source = keras.Input((5, 3))
    x = layers.Conv1D(4, 3, padding="same", activation="relu", name="conv")(source)
    x = getattr(layers, kind)(6, return_sequences=True, name="inner", **options)(x)
    x = getattr(layers, kind)(5, name="outer", **options)(x)
    return stirred(keras.Model(source, layers.Dense(3, name="head")(x)))


def wrapped_network():
    """A cell of its own, both directions, and the same layers at every step."""
    source = keras.Input((4, 3))
    x = layers.TimeDistributed(layers.Dense(5, activation="relu"), name="steps")(source)
    x = layers.TimeDistributed(layers.LayerNormalization(), name="norm_of_steps")(x)
    x = layers.Bidirectional(layers.GRU(4, return_sequences=True), name="both")(x)
    x = layers.RNN(layers.LSTMCell(5), name="cell")(x)
    return stirred(keras.Model(source, layers.Dense(3, name="head")(x)))


def shared_network():
    """A layer that is used twice, and a layer inside of another with the name of one outside."""
    source = keras.Input((4,))
    x = layers.Dense(6, activation="relu", name="first")(source)
    shared = layers.Dense(6, activation="tanh", name="shared")
    x = shared(shared(x))
    inner = keras.Input((6,))
    y = layers.Dense(5, activation="relu", name="wide")(inner)
    namesake = keras.Model(inner, layers.Dense(7, name="first")(y), name="inside")
    x = layers.Dense(3, name="wide")(namesake(x))
    return stirred(keras.Model(source, layers.Dense(2, name="head")(x)))


def masking_network():
    """Words, of which the first is no word: the states of both directions skip it."""
    source = keras.Input((5,), dtype="int32")
    x = layers.Embedding(20, 8, mask_zero=True, name="table")(source)
    x = layers.Bidirectional(layers.GRU(4, return_sequences=True), name="both")(x)
    return stirred(keras.Model(source, layers.Dense(3, name="head")(layers.LSTM(5, name="last")(x))))


def upsampling_network():
    """From a vector to a picture."""
    source = keras.Input((3,))
    x = layers.Dense(2 * 2 * 6, activation="relu", name="start")(source)
    x = layers.Reshape((2, 2, 6))(x)
    x = layers.Conv2DTranspose(5, 3, strides=2, padding="same", activation="relu", name="up_1")(x)
    x = layers.Conv2DTranspose(4, 3, strides=2, padding="same", name="up_2")(x)
    return stirred(keras.Model(source, layers.Conv2D(1, 1, name="picture")(x)))


NETWORKS = {
    "attention": attention_network,
    "a model inside": transfer_network,
    "masking": masking_network,
    "plain": plain_network,
    "reshape and transposed convolutions": upsampling_network,
    "residual": residual_network,
    "shared": shared_network,
    "wrapped": wrapped_network,
    "gru": lambda: recurrent_network("GRU"),
    "gru, reset before": lambda: recurrent_network("GRU", reset_after=False),
    "gru without bias": lambda: recurrent_network("GRU", use_bias=False),
    "lstm": lambda: recurrent_network("LSTM"),
}


def rows_for(model, count=4, seed=0):
    shape = model.input_shape[1:]
    return np.random.default_rng(seed).normal(size=(count, *shape)).astype("float32")


def masks_of(graph, keep):
    parts = [np.isin(np.arange(g.width), keep[g.id]) for g in graph.groups.values()]
    return np.concatenate(parts).astype("float32")


def some_of_each(graph, seed=0):
    rng = np.random.default_rng(seed)
    return {
        g.id: np.sort(rng.choice(g.width, rng.integers(1, g.width + 1), replace=False)).tolist()
        for g in graph.groups.values()
    }


def answers(model, x):
    return np.asarray(model(x, training=False))


def with_weights(model, weights):
    copy = masked(model, {})
    for name, layer in layers_of(copy):
        if name in weights:
            layer.set_weights(weights[name])
    return copy


@pytest.fixture(scope="module", params=sorted(NETWORKS))
def case(request):
    model = NETWORKS[request.param]()
    graph = build_graph(model)
    assert graph.groups
    return model, graph, masked_twin(model, graph)


@pytest.mark.parametrize("seed", range(3))
def test_zeros_and_ones_are_what_surgery_takes_away(case, seed):
    model, graph, twin = case
    keep, x = some_of_each(graph, seed), rows_for(model)
    found = twin(x, tf.constant(masks_of(graph, keep)[None]), training=False)
    expected = answers(masked(model, keep, graph), x)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(answers(cut(model, keep, graph), x), expected, rtol=1e-4, atol=1e-5)


def test_all_ones_change_nothing(case):
    model, graph, twin = case
    x = rows_for(model)
    found = twin(x, tf.ones([1, twin.channels]), training=False)
    np.testing.assert_allclose(found, answers(model, x), rtol=1e-4, atol=1e-5)
    assert twin.channels == sum(graph.widths.values())


def test_expectations_can_be_folded_into_the_weights(case):
    model, graph, twin = case
    x, scale = rows_for(model), np.random.default_rng(5).uniform(0.1, 0.9, twin.channels).astype("float32")
    found = twin(x, tf.constant(scale[None]), training=False)
    other = with_weights(model, folded(twin.weights(), model, graph, scale))
    np.testing.assert_allclose(found, answers(other, x), rtol=1e-4, atol=1e-5)
    assert np.abs(np.asarray(found) - answers(model, x)).max() > 1e-3


def test_each_sample_has_its_own_mask(case):
    model, _, twin = case
    x = rows_for(model)
    masks = np.random.default_rng(1).integers(0, 2, (len(x), twin.channels)).astype("float32")
    masks = np.where(twin.shared[None], masks[:1], masks)
    together = np.asarray(twin(x, tf.constant(masks), training=False))
    for i in range(len(x)):
        alone = twin(x[i : i + 1], tf.constant(masks[i : i + 1]), training=False)
        np.testing.assert_allclose(together[i : i + 1], alone, rtol=1e-4, atol=1e-5)


def test_only_what_is_read_inside_of_layers_shares_a_mask(case):
    _, graph, twin = case
    groups = list(graph.groups)
    ends = np.cumsum(list(graph.widths.values()))
    shared = {name for name, part in zip(groups, np.split(twin.shared, ends[:-1]), strict=True) if part.any()}
    # Read by a wrapper's layer or by one of a model inside.
    inside = {"steps", "both", "cell", "first", "table"}
    assert shared <= {n for n in groups if "attention" in n or "embed" in n or "/" in n or n in inside}


def test_masks_have_gradients_and_one_trace_does(case):
    model, _, twin = case
    traces = []

    @tf.function
    def gradient(rows, masks):
        traces.append(1)
        with tf.GradientTape() as tape:
            tape.watch(masks)
            total = tf.reduce_sum(twin(rows, masks, training=True) ** 2)
        return tape.gradient(total, masks)

    x = rows_for(model)
    for seed in range(2):
        masks = np.random.default_rng(seed).uniform(size=(len(x), twin.channels)).astype("float32")
        found = gradient(tf.constant(x), tf.constant(masks))
        assert np.abs(found).max() > 0
    assert len(traces) == 1


def test_the_original_is_not_touched(case):
    model, graph, _ = case
    before = [w.copy() for w in model.get_weights()]
    twin = masked_twin(model, graph)
    for variable in twin.model.trainable_variables:
        variable.assign(variable * 0 + 1)
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_reads_channels_inside_takes_one_mask_for_all(monkeypatch):
    """A kind of layer that the twin knows no better way for: its weights are multiplied."""
    from compressor.search.deepiot import twin as masking

    monkeypatch.setattr(masking, "_READ_AT_THE_INPUT", frozenset())
    model = plain_network()
    graph = build_graph(model)
    twin = masked_twin(model, graph)
    assert twin.shared.all()
    keep, x = some_of_each(graph), rows_for(model)
    masks = np.repeat(masks_of(graph, keep)[None], len(x), axis=0)
    found = twin(x, tf.constant(masks), training=False)
    np.testing.assert_allclose(found, answers(masked(model, keep, graph), x), rtol=1e-4, atol=1e-5)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(twin(x, tf.constant(masks), training=True) ** 2)
    kernel = twin.model.get_layer("head").kernel.value
    assert np.abs(tape.gradient(total, kernel)).max() > 0
