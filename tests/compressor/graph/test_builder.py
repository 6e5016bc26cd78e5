import keras
import numpy as np
import pytest
from keras import layers, ops
from small_networks import plain_network, residual_network

from compressor.graph import build_graph
from profiler.errors import UsageError


def test_each_layer_of_a_chain_is_a_group_and_the_head_is_not():
    graph = build_graph(plain_network())
    assert graph.widths == {"a": 6, "b": 5, "c": 7}
    assert graph.frozen == ()
    assert graph.groups["a"].producers == ("a",)


def test_channels_that_meet_in_an_addition_form_one_group():
    graph = build_graph(residual_network())
    assert graph.widths == {"stem": 6, "expand": 10, "squeeze": 4, "separable": 5, "last": 8}
    assert graph.groups["stem"].producers == ("stem", "project")
    # The gate's 20 channels follow the expanded ones through the depthwise multiplier of 2.
    assert graph.groups["expand"].producers == ("expand", "excite")


def test_forms_count_channels_at_any_width():
    graph = build_graph(residual_network())
    axes = {(a.layer, a.variable, a.axis): graph.form(a.channels) for a in graph.axes}
    widths = {"stem": 3, "expand": 2, "squeeze": 1, "separable": 4, "last": 5}
    assert axes["depthwise", "bias", 0](widths) == 4
    assert axes["dense_bn", "gamma", 0](widths) == 3 + 4 + 3
    assert axes["head", "kernel", 0](widths) == 3 * 3 * 5
    assert axes["head", "kernel", 1](widths) == 4


def test_parameters_agree_with_keras():
    model = residual_network()
    graph = build_graph(model)
    assert graph.parameters(graph.widths) == model.count_params()


def test_partly_shared_channels_fall_into_groups_of_their_own():
    source = keras.Input((4, 4, 1))
    a, b = layers.Conv2D(2, 1, name="a")(source), layers.Conv2D(3, 1, name="b")(source)
    c = layers.Conv2D(5, 1, name="c")(source)
    x = layers.Add()([layers.Concatenate()([a, b]), c])
    graph = build_graph(keras.Model(source, layers.Conv2D(1, 1)(x)))
    assert graph.widths == {"a": 2, "b": 3}
    assert graph.groups["a"].producers == ("a", "c")
    assert graph.groups["b"].producers == ("b", "c")


def test_one_channel_that_is_broadcast_stays():
    source = keras.Input((4, 4, 2))
    x = layers.Conv2D(6, 1, name="x")(source)
    attention = layers.Conv2D(1, 1, activation="sigmoid", name="attention")(x)
    x = layers.Multiply()([x, attention])
    graph = build_graph(keras.Model(source, layers.Dense(2)(layers.GlobalMaxPooling2D()(x))))
    assert graph.widths == {"x": 6}


class Doubling(layers.Layer):
    def call(self, x):
        return x * 2

    def compute_output_shape(self, shape):
        return shape


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (Doubling(name="odd"), "custom layer Doubling"),
        (layers.BatchNormalization(axis=1, name="odd"), "it normalises another axis than the last"),
        (layers.Lambda(lambda x: x + 1, name="odd"), "no rule for Lambda"),
        (layers.Permute((1, 3, 2), name="odd"), "it moves channels out of the last axis"),
        (layers.TimeDistributed(Doubling(), name="odd"), "no rule for custom layer Doubling inside it"),
    ],
)
def test_what_is_not_understood_is_frozen_whole_and_named(layer, reason):
    source = keras.Input((4, 4, 2))
    x = layers.Conv2D(3, 1, name="free")(source)
    x = layers.Conv2D(4, 1, name="before")(x)
    x = layers.Conv2D(6, 1, name="after")(layer(x))
    graph = build_graph(keras.Model(source, layers.Conv2D(2, 1)(x)))
    assert graph.widths == {"free": 3, "after": 6}
    assert [(f.layer, f.reason) for f in graph.frozen] == [("odd", reason)]


def test_a_layer_that_is_called_twice_has_the_same_channels_both_times():
    source = keras.Input((4, 4, 2))
    shared = layers.Conv2D(4, 3, padding="same", name="shared")
    x = layers.Conv2D(4, 1, name="before")(source)
    x = layers.Conv2D(3, 1, name="after")(shared(shared(x)))
    graph = build_graph(keras.Model(source, layers.Conv2D(2, 1)(x)))
    assert graph.widths == {"before": 4, "after": 3}
    assert graph.groups["before"].producers == ("before", "shared")
    assert graph.frozen == ()


def test_a_layer_that_reads_the_input_the_second_time_keeps_its_width():
    first, second = keras.Input((5,)), keras.Input((3,))
    shared = layers.Dense(4, name="shared")
    x = layers.Dense(5, name="free")(layers.Dense(6, name="wide")(second))
    x = layers.Add()([shared(first), shared(x)])
    graph = build_graph(keras.Model([first, second], layers.Dense(2)(x)))
    assert graph.widths == {"wide": 6, "shared": 4}


def test_a_softmax_over_channels_keeps_them():
    source = keras.Input((4,))
    x = layers.Dense(5, activation="softmax", name="mixture")(layers.Dense(3, name="free")(source))
    assert build_graph(keras.Model(source, layers.Dense(2)(x))).widths == {"free": 3}


def rolled(x):
    """An activation that nobody knows: each channel becomes its neighbour."""
    return ops.roll(x, 1, axis=-1)


OF_ITS_OWN, OVER_ALL = "an activation of its own", "a softmax over all channels"


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (layers.Dense(4, activation=rolled, name="odd"), OF_ITS_OWN),
        (layers.Dense(4, activation="softmax", name="odd"), OVER_ALL),
        (layers.Conv1D(4, 1, activation="log_softmax", name="odd"), "a log_softmax over all channels"),
        (layers.GRU(4, return_sequences=True, recurrent_activation="softmax", name="odd"), OVER_ALL),
        (layers.TimeDistributed(layers.Dense(4, activation=rolled), name="odd"), OF_ITS_OWN),
        (layers.EinsumDense("abc,cd->abd", (None, 4), activation=rolled, name="odd"), OF_ITS_OWN),
    ],
)
def test_what_makes_channels_and_mixes_them_is_left_whole_and_named(layer, reason):
    source = keras.Input((5, 2))
    x = layers.Dense(6, name="after")(layer(layers.Dense(3, name="before")(source)))
    graph = build_graph(keras.Model(source, layers.Dense(2)(x)))
    assert graph.widths == {"before": 3, "after": 6}
    assert [(f.layer, f.reason) for f in graph.frozen] == [("odd", reason)]


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (layers.Activation(rolled, name="odd"), OF_ITS_OWN),
        (layers.Activation("softmax", name="odd"), OVER_ALL),
        (layers.Softmax(name="odd"), OVER_ALL),
        (layers.UnitNormalization(name="odd"), "it divides by the norm over all channels"),
        (layers.DepthwiseConv1D(1, activation="softmax", name="odd"), OVER_ALL),
        (
            layers.Normalization(mean=[0.1] * 3, variance=[2.0] * 3, name="odd"),
            "it scales each channel by a number of its own",
        ),
        (layers.Masking(name="odd"), "it skips steps by all channels together"),
    ],
)
def test_what_looks_at_all_channels_it_reads_is_named(layer, reason):
    source = keras.Input((5, 2))
    x = layer(layers.Dense(3, name="before")(layers.Dense(4, name="free")(source)))
    graph = build_graph(keras.Model(source, layers.Dense(2)(layers.Dense(6, name="after")(x))))
    assert graph.widths == {"free": 4, "after": 6}
    assert [(f.layer, f.reason) for f in graph.frozen] == [("odd", reason)]


@pytest.mark.parametrize("layer", [layers.Softmax(), layers.UnitNormalization(), layers.Masking()])
def test_what_reads_the_networks_own_input_is_no_news(layer):
    source = keras.Input((5, 2))
    x = layers.Dense(3, name="free")(layer(source))
    graph = build_graph(keras.Model(source, layers.Dense(2)(x)))
    assert graph.widths == {"free": 3}
    assert graph.frozen == ()


@pytest.mark.parametrize(
    "last",
    [
        [layers.Dense(3, activation="softmax")],
        [layers.Dense(3, activation=rolled)],
        [layers.Dense(3), layers.Softmax()],
        [layers.Dense(3), layers.Activation("softmax"), layers.Reshape((1, 3))],
        [layers.Dense(3, activation="softmax"), layers.Dropout(0.1), layers.Softmax()],
    ],
)
def test_what_a_network_puts_out_stays_and_is_no_news(last):
    source = keras.Input((5,))
    model = keras.Model(source, keras.Sequential(last)(layers.Dense(4, name="free")(source)))
    graph = build_graph(model)
    assert graph.widths == {"free": 4}
    assert graph.frozen == ()


def test_layers_left_whole_are_named_in_the_networks_order():
    source = keras.Input((5,))
    x = layers.Dense(4, activation="softmax", name="first")(source)
    x = layers.Dense(4, activation=rolled, name="third")(Doubling(name="second")(layers.Dense(4)(x)))
    graph = build_graph(keras.Model(source, layers.Dense(2)(x)))
    assert [f.layer for f in graph.frozen] == ["first", "second", "third"]


def test_channels_that_an_embedding_takes_for_positions_stay():
    source = keras.Input((5,))
    x = layers.Dense(4, activation="relu", name="positions")(layers.Dense(3, name="free")(source))
    x = layers.Flatten()(layers.Embedding(20, 6, name="table")(x))
    graph = build_graph(keras.Model(source, layers.Dense(2)(x)))
    assert graph.widths == {"free": 3, "table": 6}
    assert [(f.layer, f.reason) for f in graph.frozen] == [("table", "it reads positions")]


def test_subclassed_and_unbuilt_models_are_refused():
    class Own(keras.Model):
        def call(self, x):
            return x

    with pytest.raises(UsageError, match="subclassed"):
        build_graph(Own())
    with pytest.raises(UsageError, match="no input shape"):
        build_graph(keras.Sequential([layers.Dense(3)]))


def test_wrong_groups_and_channels_are_named():
    graph = build_graph(plain_network())
    with pytest.raises(UsageError, match="no group of channels 'z'"):
        graph.kept({"z": [0]})
    with pytest.raises(UsageError, match="channels 0 to 5"):
        graph.kept({"a": [6]})
    with pytest.raises(UsageError, match="one of them or more"):
        graph.kept({"a": []})
    assert np.all(graph.kept({}))


def test_a_layer_that_stands_for_an_activation_is_one_unless_it_has_weights():
    source = keras.Input((4,))
    x = layers.Dense(8, activation=layers.LeakyReLU(negative_slope=0.1), name="leaky")(source)
    x = layers.Dense(6, activation=layers.PReLU(), name="learned")(x)
    graph = build_graph(keras.Model(source, layers.Dense(2)(x)))
    assert graph.widths == {"leaky": 8}
    assert [(f.layer, f.reason) for f in graph.frozen] == [("learned", OF_ITS_OWN)]
