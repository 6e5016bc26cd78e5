"""Small Keras networks of every kind of structure, with weights that leave nothing at its neutral value."""

from __future__ import annotations

from typing import Any

from compressor.testing.law import stirred


def plain_network() -> Any:
    """Convolutions with every kind of small layer between them, then flatten and two dense layers."""
    from keras import Sequential, layers

    return stirred(
        Sequential(
            [
                layers.Input((8, 8, 2)),
                layers.Rescaling(0.5),
                layers.Conv2D(6, 3, activation="sigmoid", name="a"),
                layers.BatchNormalization(),
                layers.ZeroPadding2D(1),
                layers.MaxPooling2D(),
                layers.Conv2D(5, 3, padding="same", use_bias=False, name="b"),
                layers.Activation("gelu"),
                layers.UpSampling2D(2),
                layers.AveragePooling2D(2),
                layers.Dropout(0.5),
                layers.Flatten(),
                layers.Dense(7, activation="relu", name="c"),
                layers.Dense(3, activation="softmax", name="head"),
            ]
        )
    )


def residual_network() -> Any:
    """A residual block, squeeze-and-excite, and a dense block: what MobileNet, ResNet and DenseNet are made
    of."""
    import keras
    from keras import layers

    source = keras.Input((8, 8, 3))
    x = layers.Conv2D(6, 3, padding="same", use_bias=False, name="stem")(source)
    x = stem = layers.ReLU(6.0)(layers.BatchNormalization(name="stem_bn")(x))
    x = layers.Conv2D(10, 1, name="expand")(x)
    x = layers.Activation("hard_silu")(layers.BatchNormalization()(x))
    x = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2, name="depthwise")(x)
    gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
    gate = layers.Conv2D(4, 1, activation="relu", name="squeeze")(gate)
    gate = layers.Conv2D(20, 1, activation="sigmoid", name="excite")(gate)
    x = layers.Multiply()([x, gate])
    x = layers.Conv2D(6, 1, name="project")(x)
    x = layers.Add()([stem, x])
    more = layers.SeparableConv2D(5, 3, padding="same", activation="tanh", name="separable")(x)
    x = layers.Concatenate()([x, more, stem])
    x = layers.BatchNormalization(name="dense_bn")(x)
    x = layers.Conv2D(8, 3, strides=2, name="last")(x * 0.5)
    x = layers.Flatten()(x)
    return stirred(keras.Model(source, layers.Dense(4, name="head")(x)))


def resnet() -> Any:
    """Three stages of two blocks; the first block of a later stage halves the size through a 1x1 shortcut."""
    import keras
    from keras import layers

    source = keras.Input((16, 16, 3))
    x = layers.Conv2D(8, 3, padding="same", name="stem")(source)
    for stage, width in enumerate((8, 12, 16)):
        for index in range(2):
            stride = 2 if stage and not index else 1
            name = f"stage{stage}_{index}"
            y = layers.Conv2D(width, 3, stride, padding="same", use_bias=False, name=f"{name}_1")(x)
            y = layers.ReLU()(layers.BatchNormalization()(y))
            y = layers.Conv2D(width, 3, padding="same", use_bias=False, name=f"{name}_2")(y)
            y = layers.BatchNormalization()(y)
            if stride == 2:
                x = layers.BatchNormalization()(layers.Conv2D(width, 1, stride, name=f"{name}_0")(x))
            x = layers.ReLU()(layers.Add()([x, y]))
    x = layers.GlobalAveragePooling2D()(x)
    return stirred(keras.Model(source, layers.Dense(5, activation="softmax", name="head")(x)))


def recurrent_network(steps: int = 4) -> Any:
    """DeepSense in small: convolutions for each of two sensors, merging convolutions, two GRU layers."""
    import keras
    from keras import layers

    sources, parts = [], []
    for sensor in ("acceleration", "rotation"):
        source = keras.Input((steps, 4, 3), name=sensor)
        x = layers.Conv2D(5, (1, 3), activation="relu", name=f"{sensor}_1")(source)
        x = layers.Conv2D(4, (1, 2), activation="relu", name=f"{sensor}_2")(x)
        sources.append(source)
        parts.append(layers.Reshape((steps, 1, 4))(x))
    x = layers.Concatenate(axis=2)(parts)
    x = layers.Conv2D(6, (1, 2), padding="same", activation="relu", name="merge_1")(x)
    x = layers.Conv2D(5, (1, 2), padding="same", activation="relu", name="merge_2")(x)
    x = layers.Reshape((steps, 10))(x)
    x = layers.GRU(7, return_sequences=True, name="gru_1")(x)
    x = layers.GRU(6, return_sequences=True, name="gru_2")(x)
    x = layers.GlobalAveragePooling1D()(x)
    return stirred(keras.Model(sources, layers.Dense(4, activation="softmax", name="head")(x)))


def attention_network(steps: int = 5) -> Any:
    """A small transformer: an embedding of patches, one block of attention and one of dense layers."""
    import keras
    from keras import layers

    source = keras.Input((steps, 6))
    x = layers.Dense(8, name="embed")(source)
    y = layers.LayerNormalization(name="norm_1")(x)
    y = layers.MultiHeadAttention(3, 4, value_dim=5, name="attention")(y, y)
    x = layers.Add()([x, y])
    y = layers.LayerNormalization(name="norm_2")(x)
    y = layers.Dense(11, activation="gelu", name="wide")(y)
    x = layers.Add()([x, layers.Dense(8, name="narrow")(y)])
    x = layers.GlobalAveragePooling1D()(layers.LayerNormalization(name="norm_3")(x))
    return stirred(keras.Model(source, layers.Dense(4, activation="softmax", name="head")(x)))


def transfer_network() -> Any:
    """A backbone, which is a model of its own, below a head."""
    import keras
    from keras import layers

    inner = keras.Input((8, 8, 3))
    x = layers.Conv2D(6, 3, padding="same", name="stem")(inner)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.Add()([x, layers.Conv2D(6, 1, name="side")(x)])
    backbone = keras.Model(inner, layers.Conv2D(7, 3, name="last")(x), name="backbone")
    source = keras.Input((8, 8, 3))
    x = backbone(layers.Rescaling(1 / 128, -1)(source))
    x = layers.GlobalAveragePooling2D()(x)
    top = keras.Sequential(
        [layers.Dense(5, activation="relu", name="hidden"), layers.Dropout(0.2)], name="top"
    )
    return stirred(keras.Model(source, layers.Dense(3, name="head")(top(x))))
