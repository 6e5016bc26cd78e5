"""Channels that carry nothing: worked out by hand on two dense layers, and on a network with normalisation."""

import keras
import numpy as np
import pytest
from keras import layers

from compressor.graph import build_graph
from compressor.training import dead_in_words, without_dead_channels

ROWS = np.random.default_rng(0).normal(size=(16, 2)).astype("float32")


def two_dense(made, bias, read):
    model = keras.Sequential(
        [
            layers.Input((2,)),
            layers.Dense(3, name="a", activation="relu"),
            layers.Dense(1, name="head"),
        ]
    )
    model.get_layer("a").set_weights([np.array(made, "float32"), np.array(bias, "float32")])
    model.get_layer("head").set_weights([np.array(read, "float32")[:, None], np.zeros(1, "float32")])
    return model


@pytest.mark.parametrize(
    ("made", "bias", "read", "left"),
    [
        ([[3, 0, 1], [4, 0, -2]], [1, 0, 1], [2, 5, 4], [0, 2]),  # nothing makes the second
        ([[3, 1, 1], [4, 1, -2]], [1, 1, 1], [2, 1e-7, 4], [0, 2]),  # nothing reads it
        ([[3, 0, 1], [4, 0, -2]], [1, -1, 1], [2, 5, 4], [0, 2]),  # its constant ends at the relu
        ([[3, 0, 1], [4, 0, -2]], [1, 1, 1], [2, 5, 4], [0, 1, 2]),  # it is a constant that counts
        ([[3, 1e-5, 1], [4, 0, -2]], [1, 0, 1], [2, 5, 4], [0, 1, 2]),  # more than a millionth
    ],
)
def test_what_is_removed_of_a_hand_worked_case(made, bias, read, left):
    model = two_dense(made, bias, read)
    smaller, removed = without_dead_channels(model, ROWS)
    assert removed == ({} if len(left) == 3 else {"a": left})
    np.testing.assert_array_equal(smaller.get_layer("a").get_weights()[0], np.array(made, "f4")[:, left])
    np.testing.assert_allclose(smaller(ROWS), model(ROWS), rtol=1e-5, atol=1e-6)
    assert (smaller is model) == (len(left) == 3)


def test_a_sentence_says_how_many_and_where():
    said = dead_in_words({"a": [0, 2]}, {"a": 3})
    assert said == "1 channel that carries nothing is removed (1 of 3 in a): outputs stay the same."
    assert dead_in_words({"a": [0, 1], "b": range(8)}, {"a": 4, "b": 9}).startswith(
        "3 channels that carry nothing are"
    )


def test_normalised_channels_go_where_their_shift_is_nothing():
    inputs = keras.Input((6, 6, 2))
    x = layers.Conv2D(4, 3, padding="same", use_bias=False, name="conv")(inputs)
    x = layers.ReLU()(layers.BatchNormalization(name="norm")(x))
    model = keras.Model(inputs, layers.Dense(2, name="head")(layers.GlobalAveragePooling2D()(x)))
    kernel = model.get_layer("conv").get_weights()[0]
    kernel[..., 1:3] *= 1e-9
    model.get_layer("conv").set_weights([kernel])
    gamma, beta, mean, variance = model.get_layer("norm").get_weights()
    beta[1], beta[2] = -0.5, 0.5
    model.get_layer("norm").set_weights([gamma, beta, mean, variance])
    rows = np.random.default_rng(1).normal(size=(4, 6, 6, 2)).astype("float32")
    same, removed = without_dead_channels(model, rows)
    assert removed == {}  # the third is a constant, and both are of one group
    beta[2] = -0.5
    model.get_layer("norm").set_weights([gamma, beta, mean, variance])
    smaller, removed = without_dead_channels(model, rows)
    assert removed == {"conv": [0, 3]}
    assert build_graph(smaller).widths == {"conv": 2}
    np.testing.assert_allclose(smaller(rows), model(rows), rtol=1e-5, atol=1e-6)
    assert same is model
