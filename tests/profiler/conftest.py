"""Networks that the TensorFlow converter made, once per session."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


def _convert(model: Any, optimise: str = "none") -> bytes:
    import numpy as np
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if optimise != "none":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if optimise == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if optimise == "int8":
        rng = np.random.default_rng(0)
        shape = [1, *model.inputs[0].shape[1:]]
        converter.representative_dataset = lambda: ([rng.random(shape, dtype=np.float32)] for _ in range(2))
    return converter.convert()


@pytest.fixture(scope="session")
def convert() -> Callable[..., bytes]:
    """Keras model -> bytes of a `.tflite` file; `optimise`: ``none``, ``float16``, ``dynamic``, ``int8``."""
    pytest.importorskip("tensorflow", reason="needs TensorFlow to make files with")
    return _convert


@pytest.fixture(scope="session")
def small_cnn(convert: Callable[..., bytes]) -> bytes:
    """Two convolutions, a residual, a depthwise convolution, pooling and a classifier, with an open batch."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(1)
    x = inputs = keras.Input((12, 10, 3), name="image")
    x = y = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(x)
    x = layers.DepthwiseConv2D((3, 5), padding="valid", dilation_rate=1)(x)
    x = layers.ZeroPadding2D(((1, 1), (2, 2)))(x)
    x = layers.Add()([x, layers.Conv2D(8, 1, activation="relu6")(y)])
    x = layers.MaxPooling2D((2, 1))(x)
    x = layers.Concatenate()([x, layers.AveragePooling2D(2, strides=1, padding="same")(x)])
    x = layers.UpSampling2D(2, interpolation="bilinear")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return convert(keras.Model(inputs, layers.Dense(5, activation="softmax")(x)))


@pytest.fixture(scope="session")
def mobile_network(convert: Callable[..., bytes]) -> bytes:
    """MobileNetV2 with random weights, for 32 x 32 images."""
    import keras

    return convert(keras.applications.MobileNetV2(weights=None, input_shape=(32, 32, 3), alpha=0.35))


@pytest.fixture(scope="session")
def efficient_network(convert: Callable[..., bytes]) -> bytes:
    """What EfficientNet is made of, two blocks of it: rescaling, swish, squeeze-and-excite, computed shapes, residual."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(2)
    inputs = keras.Input((32, 32, 3))
    x = layers.Normalization(mean=[0.4, 0.5, 0.6], variance=[0.2, 0.2, 0.3])(
        layers.Rescaling(1 / 255)(inputs)
    )
    x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(x)
    for stride in (2, 1):
        y = layers.BatchNormalization()(layers.Conv2D(24, 1, use_bias=False)(x))
        y = layers.Activation("swish")(y)
        y = layers.ZeroPadding2D(((0, 1), (0, 1)))(y) if stride == 2 else y
        y = layers.DepthwiseConv2D(
            3, strides=stride, padding="valid" if stride == 2 else "same", use_bias=False
        )(y)
        y = layers.Activation("swish")(layers.BatchNormalization()(y))
        gate = layers.Reshape((1, 1, 24))(layers.GlobalAveragePooling2D()(y))
        gate = layers.Conv2D(24, 1, activation="sigmoid")(layers.Conv2D(2, 1, activation="swish")(gate))
        y = layers.Conv2D(8, 1, use_bias=False)(layers.Multiply()([y, gate]))
        x = y if stride == 2 else layers.Add()([x, y])
    x = layers.Dense(5, activation="softmax")(layers.GlobalAveragePooling2D()(x))
    return convert(keras.Model(inputs, x))


@pytest.fixture(scope="session")
def recurrent_network(convert: Callable[..., bytes]) -> bytes:
    """A GRU over 7 steps that the converter turns into a loop."""
    import keras
    from keras import layers

    inputs = keras.Input((7, 4), batch_size=1)
    return convert(keras.Model(inputs, layers.Dense(3)(layers.GRU(6)(inputs))))
