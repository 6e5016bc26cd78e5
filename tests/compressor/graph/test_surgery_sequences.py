"""The law of surgery (masked equals cut) over recurrent layers, attention, operations, shared and inner models."""

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keras import layers, ops

from benchmarks.surgery import awake
from compressor.graph import build_graph, cut, layers_of, masked
from compressor.testing.law import assert_law_holds, some_of_each, stirred
from profiler.errors import UsageError

STEPS = 4


def recurrent(x, kind, width, name):
    if kind == "bidirectional":
        mode = ("concat", "sum", "mul", "ave")[width % 4]
        return layers.Bidirectional(layers.GRU(width, return_sequences=True), merge_mode=mode, name=name)(x)
    if kind == "bidirectional_apart":
        both = layers.Bidirectional(layers.GRU(width, return_sequences=True), merge_mode=None, name=name)(x)
        return layers.Subtract()(both)
    if kind == "bidirectional_lstm":
        return layers.Bidirectional(layers.LSTM(width, return_sequences=True), name=name)(x)
    if kind == "cell":
        return layers.RNN(layers.LSTMCell(width), return_sequences=True, name=name)(x)
    if kind == "states":
        sequence, h, c = layers.LSTM(width, return_sequences=True, return_state=True, name=name)(x)
        return layers.LSTM(width, return_sequences=True, name=f"{name}_next")(sequence, initial_state=[h, c])
    options = {"gru_before": {"reset_after": False}, "backwards": {"go_backwards": True}}.get(kind, {})
    made = {"lstm": layers.LSTM, "simple": layers.SimpleRNN}.get(kind, layers.GRU)
    return made(width, return_sequences=True, name=name, **options)(x)


def other(x, kind, width, name):
    channels = x.shape[-1]
    if kind == "attention":
        return layers.MultiHeadAttention(1 + width % 3, width, value_dim=2, name=name)(x, x)
    if kind == "grouped_attention":
        return layers.GroupQueryAttention(width, 4, 2, name=name)(x, x)
    if kind == "layer_norm":
        return layers.LayerNormalization()(layers.Dense(width, name=name)(x))
    if kind == "rms_norm":
        return layers.RMSNormalization()(layers.Dense(width, name=name)(x))
    if kind == "group_norm":
        groups = (1, 2, -1)[width % 3]
        return layers.GroupNormalization(groups)(layers.Dense(2 * width, name=name)(x))
    if kind == "time_distributed":
        return layers.TimeDistributed(layers.Dense(width, activation="tanh"), name=name)(x)
    if kind == "shared":
        shared = layers.Dense(channels, activation="tanh", name=name)
        return shared(shared(x))
    if kind == "operations":
        y = ops.sigmoid(layers.Dense(channels, name=name)(x)) * 0.5 + x
        return ops.concatenate([y, ops.expand_dims(ops.mean(x, axis=1), 1)], axis=1)[:, 1:]
    if kind == "gated":
        a, b = ops.split(layers.Dense(2 * width, name=name)(x), 2, axis=-1)
        return a * ops.tanh(b)
    if kind == "inner":
        source = keras.Input((STEPS, channels))
        y = layers.Conv1D(width, 2, padding="same", name="conv")(source)
        return keras.Model(source, layers.Dense(channels)(y), name=name)(x)
    if kind == "inner_twice":
        model = keras.Sequential([layers.Input((STEPS, channels)), layers.Dense(channels)], name=name)
        return model(model(x))
    if kind == "separable":
        return layers.SeparableConv1D(width, 2, padding="same", name=name)(layers.ZeroPadding1D((0, 0))(x))
    if kind == "depthwise":
        return layers.DepthwiseConv1D(2, padding="same", depth_multiplier=2, name=name)(x)
    if kind == "grouped_conv":
        y = layers.Conv1D(2 * width, 1, name=f"{name}_in")(x)
        return layers.Conv1D(4, 1, groups=2, name=name)(y)
    return layers.MaxPooling1D(2)(layers.UpSampling1D(2)(layers.Conv1DTranspose(width, 1, name=name)(x)))


RECURRENT = (
    "lstm", "gru", "gru_before", "simple", "backwards", "bidirectional", "bidirectional_lstm", "bidirectional_apart",
    "cell", "states",
)  # fmt: skip
OTHERS = (
    "attention", "grouped_attention", "layer_norm", "rms_norm", "group_norm", "time_distributed", "shared",
    "operations", "gated", "inner", "inner_twice", "separable", "depthwise", "grouped_conv", "transposed",
)  # fmt: skip


def sequence_network(blocks, last):
    x = source = keras.Input((STEPS, 3))
    x = layers.Dense(4, activation="tanh", name="stem")(x)
    for index, (kind, width) in enumerate(blocks):
        make = recurrent if kind in RECURRENT else other
        # See `some_that_keras_computes`: grouped attention of width 1 is nothing to compare with.
        width = max(width, 2) if kind == "grouped_attention" else width
        x = make(x, kind, width, f"{kind}{index}")
    x = layers.Flatten()(x) if last else layers.GlobalAveragePooling1D()(x)
    return stirred(keras.Model(source, layers.Dense(2, name="head")(x)))


def some_that_keras_computes(model, seed):
    """A random part of each group; grouped attention keeps two of its width.

    Of width 1, with as many heads as it reads channels, Keras 3's own layer projects queries wrongly.
    """
    keep = some_of_each(model, seed)
    return {
        name: [0, 1] if name.startswith("grouped") and name.endswith("key_width") and len(kept) < 2 else kept
        for name, kept in keep.items()
    }


@pytest.mark.parametrize("kind", [*RECURRENT, *OTHERS])
def test_each_kind_of_layer_obeys_the_law_and_can_be_cut(kind):
    model = sequence_network([(kind, 4)], last=True)
    graph = build_graph(model)
    assert graph.frozen == ()
    assert any(kind in name for group in graph.groups.values() for name in group.layers)
    assert_law_holds(model, some_that_keras_computes(model, seed=2))


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    blocks=st.lists(
        st.tuples(st.sampled_from((*RECURRENT, *OTHERS)), st.integers(1, 5)), min_size=1, max_size=3
    ),
    last=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_masked_equals_removed_on_generated_sequence_networks(blocks, last, seed):
    model = sequence_network(blocks, last)
    keep = some_that_keras_computes(model, seed)
    smaller = assert_law_holds(model, keep)
    widths = {name: len(kept) for name, kept in keep.items()}
    assert smaller.count_params() == build_graph(model).parameters(widths)


@pytest.mark.parametrize("kind", ["bidirectional", "time_distributed", "cell", "inner", "grouped_attention"])
def test_layers_inside_others_take_the_new_width_of_what_they_read(kind):
    model = sequence_network([("lstm", 4), (kind, 2)], last=False)
    smaller = assert_law_holds(model, {"stem": [1], "lstm0": [0, 3]})
    assert build_graph(smaller).widths["lstm0"] == 2


@pytest.mark.parametrize("kind", ["gru", "bidirectional", "cell"])
@pytest.mark.parametrize("steps", [5, None])
def test_recurrent_layers_behind_an_embedding_that_masks_are_cut(steps, kind):
    source = keras.Input((steps,), dtype="int32")
    x = layers.Embedding(20, 8, mask_zero=True, name="table")(source)
    x = recurrent(x, kind, 6, "reader")
    x = layers.GRU(5, name="last")(x)
    model = stirred(keras.Model(source, layers.Dense(2, name="head")(x)))
    graph = build_graph(model)
    assert graph.frozen == ()
    assert graph.widths["table"] == 8
    assert graph.widths["last"] == 5
    assert len(graph.widths) > 2
    rows = np.array([[3, 1, 0, 0, 2], [4, 0, 5, 6, 0]], np.int32)
    keep = {name: list(range(0, width, 2)) for name, width in graph.widths.items()}
    smaller = assert_law_holds(model, keep)
    expected = masked(model, keep, graph).predict(rows, verbose=0)
    np.testing.assert_allclose(smaller.predict(rows, verbose=0), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("steps", [5, None])
def test_an_embedding_is_cut_however_many_steps_there_are(steps):
    source = keras.Input((steps,), dtype="int32")
    x = layers.Embedding(20, 8, name="table")(source)
    x = layers.LSTM(6, return_sequences=True, name="reader")(x)
    x = layers.GlobalAveragePooling1D()(x)
    model = stirred(keras.Model(source, layers.Dense(2, name="head")(x)))
    graph = build_graph(model)
    assert graph.widths == {"table": 8, "reader": 6}
    assert graph.frozen == ()
    smaller = assert_law_holds(model, {"table": [0, 3, 7], "reader": [1, 2]})
    assert smaller.get_layer("table").embeddings.shape == (20, 3)
    assert smaller.input_shape == (None, steps)


def test_a_custom_layer_is_left_whole_and_named():
    class Shifted(layers.Layer):
        def call(self, x):
            return x + ops.roll(x, 1, axis=-1)

        def compute_output_shape(self, shape):
            return shape

    source = keras.Input((5,))
    x = layers.Dense(4, name="before")(layers.Dense(6, name="free")(source))
    model = stirred(keras.Model(source, layers.Dense(2)(Shifted(name="odd")(x))))
    graph = build_graph(model)
    assert [(f.layer, f.reason) for f in graph.frozen] == [("odd", "custom layer Shifted")]
    assert graph.widths == {"free": 6}
    smaller = assert_law_holds(model, {"free": [1, 4]})
    assert isinstance(smaller.get_layer("odd"), Shifted)


def test_a_layer_that_cannot_be_rebuilt_is_told_in_a_sentence():
    class Stubborn(layers.Layer):
        def __init__(self, factor):
            super().__init__(name="stubborn")
            self.factor = object()

        def call(self, x):
            return x

    source = keras.Input((5,))
    model = keras.Model(source, layers.Dense(2)(Stubborn(object())(layers.Dense(3)(source))))
    with pytest.raises(UsageError, match="cannot be"):
        cut(model, {}, build_graph(model))


@pytest.mark.slow
@pytest.mark.parametrize("family", ["MobileNet", "ResNet50", "EfficientNetB0", "ConvNeXtTiny", "DenseNet121"])
def test_masked_equals_removed_on_more_published_families(family):
    keras.utils.set_random_seed(0)
    make = getattr(keras.applications, family)
    model = stirred(make(input_shape=(32, 32, 3), weights=None, classes=5, classifier_activation=None))
    images = np.random.default_rng(0).uniform(0, 255, (6, 32, 32, 3)).astype("float32")
    graph = build_graph(model)
    assert graph.frozen == ()
    keep = {name: range(0, group.width, 2) for name, group in graph.groups.items()}
    awake(model, images, keep)
    smaller = cut(model, keep, graph)
    assert smaller.count_params() < 0.4 * model.count_params()
    expected = np.asarray(masked(model, keep, graph)(images, training=False))
    found = np.asarray(smaller(images, training=False))
    # Weighed by what differs from image to image: networks that look at nothing would agree as well.
    between = np.abs(expected - expected[:1]).max()
    assert between > 1e-3 * np.abs(expected).max()
    assert np.abs(found - expected).max() < 1e-3 * between
    assert dict(layers_of(smaller)).keys() == dict(layers_of(model)).keys()
