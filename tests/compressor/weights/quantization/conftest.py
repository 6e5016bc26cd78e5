"""One small network with what integers suit and what they do not, and inputs of it."""

import keras
import numpy as np
import pytest
from keras import layers

from compressor.export import to_tflite_bytes
from compressor.weights.quantization import QuantizableNetwork


@pytest.fixture(scope="package")
def rows():
    return np.random.default_rng(0).normal(size=(24, 8, 8, 3)).astype("float32")


@pytest.fixture(scope="package")
def model():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 3), name="image")
    x = layers.Activation("hard_swish", name="first_swish")(layers.Conv2D(8, 3, name="first")(inputs))
    x = layers.Activation("hard_swish", name="second_swish")(layers.Conv2D(8, 3, name="second")(x))
    x = layers.Flatten(name="flat")(layers.MaxPooling2D(name="pool")(x))
    return keras.Model(inputs, layers.Dense(3, name="answer")(x))


@pytest.fixture(scope="package")
def network(model, rows):
    return QuantizableNetwork(to_tflite_bytes(model), {"image": rows})
