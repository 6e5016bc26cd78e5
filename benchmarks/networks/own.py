"""Networks that keras.applications lacks: recurrent, attending, one-dimensional, dilated, upsampling, and very small ones.

Every function builds one Keras model with random weights; times do not depend on their values.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Make = Callable[[], Any]


def _keras() -> Any:
    import keras

    return keras


def _conv_bn(
    x: Any, filters: int, kernel: Any = 3, stride: int = 1, dilation: int = 1, act: str = "relu"
) -> Any:
    layers = _keras().layers
    x = layers.Conv2D(filters, kernel, stride, "same", dilation_rate=dilation, use_bias=False)(x)
    x = layers.BatchNormalization()(x)
    return layers.Activation(act)(x) if act else x


def _depthwise_bn(x: Any, kernel: Any = 3, stride: int = 1, dilation: int = 1, act: str = "relu") -> Any:
    layers = _keras().layers
    x = layers.DepthwiseConv2D(kernel, stride, "same", dilation_rate=dilation, use_bias=False)(x)
    x = layers.BatchNormalization()(x)
    return layers.Activation(act)(x) if act else x


def _encoder_block(x: Any, heads: int, hidden: int, before: bool) -> Any:
    """Attention and two dense layers, each added to its input; normalised before (vision) or after (text)."""
    layers = _keras().layers
    width = x.shape[-1]
    y = layers.LayerNormalization(epsilon=1e-6)(x) if before else x
    x = layers.Add()([x, layers.MultiHeadAttention(heads, width // heads)(y, y)])
    x = x if before else layers.LayerNormalization(epsilon=1e-6)(x)
    y = layers.LayerNormalization(epsilon=1e-6)(x) if before else x
    y = layers.Dense(width)(layers.Dense(hidden, activation="gelu")(y))
    x = layers.Add()([x, y])
    return x if before else layers.LayerNormalization(epsilon=1e-6)(x)


def _with_positions(x: Any) -> Any:
    """Add a fixed vector per position."""
    return x + np.random.default_rng(0).normal(size=(1, *x.shape[1:])).astype("float32")


def vision_transformer(side: int, patch: int, width: int, depth: int, heads: int) -> Any:
    """A small ViT: patches by a strided convolution, encoder blocks, mean over tokens."""
    keras = _keras()
    layers = keras.layers
    inputs = keras.Input((side, side, 3))
    x = layers.Conv2D(width, patch, patch)(inputs)
    x = layers.Reshape(((side // patch) ** 2, width))(x)
    x = _with_positions(x)
    for _ in range(depth):
        x = _encoder_block(x, heads, 4 * width, before=True)
    x = layers.GlobalAveragePooling1D()(layers.LayerNormalization(epsilon=1e-6)(x))
    return keras.Model(inputs, layers.Dense(100)(x))


def text_encoder(words: int, length: int, width: int, depth: int, heads: int) -> Any:
    """Embedding, encoder blocks, classification by the first token."""
    keras = _keras()
    layers = keras.layers
    inputs = keras.Input((length,), dtype="int32")
    x = _with_positions(layers.Embedding(words, width)(inputs))
    for _ in range(depth):
        x = _encoder_block(x, heads, 4 * width, before=False)
    return keras.Model(inputs, layers.Dense(6, activation="softmax")(x[:, 0]))


def recurrent(kind: str, units: tuple[int, ...], steps: int, features: int, unroll: bool) -> Any:
    """LSTM or GRU layers and a classifier, as a loop or written out step by step."""
    keras = _keras()
    layers = keras.layers
    inputs = x = keras.Input((steps, features))
    for number, size in enumerate(units):
        cell = getattr(layers, kind)
        x = cell(size, return_sequences=number + 1 < len(units), unroll=unroll)(x)
    return keras.Model(inputs, layers.Dense(10, activation="softmax")(x))


def keyword_conv1d() -> Any:
    """1-D convolutions over 98 frames of 40 features, as for spoken keywords."""
    keras = _keras()
    layers = keras.layers
    inputs = x = keras.Input((98, 40))
    for filters, kernel, stride in ((64, 9, 1), (96, 9, 2), (96, 9, 1), (128, 9, 2), (128, 9, 1)):
        x = layers.Conv1D(filters, kernel, stride, "same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.GlobalAveragePooling1D()(x)
    return keras.Model(inputs, layers.Dense(12, activation="softmax")(x))


def temporal_dilated() -> Any:
    """A temporal convolutional network: causal 1-D convolutions, dilated 1, 2, 4, 8, 16, with residual adds."""
    keras = _keras()
    layers = keras.layers
    inputs = x = keras.Input((256, 16))
    for rate in (1, 2, 4, 8, 16):
        y = layers.Conv1D(48, 3, padding="causal", dilation_rate=rate, activation="relu")(x)
        y = layers.Conv1D(48, 3, padding="causal", dilation_rate=rate, activation="relu")(y)
        x = layers.ReLU()(layers.Add()([layers.Conv1D(48, 1)(x) if x.shape[-1] != 48 else x, y]))
    return keras.Model(inputs, layers.Dense(5, activation="softmax")(x[:, -1]))


def ds_cnn(filters: int = 64, blocks: int = 4) -> Any:
    """Depthwise separable keyword spotter on 49 x 10 coefficients."""
    keras = _keras()
    layers = keras.layers
    inputs = keras.Input((49, 10, 1))
    x = _conv_bn(inputs, filters, (10, 4), 2)
    for _ in range(blocks):
        x = _conv_bn(_depthwise_bn(x), filters, 1)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(12, activation="softmax")(x))


def u_net(side: int = 128, width: int = 16) -> Any:
    """Segmentation: four halvings, transposed convolutions back up, concatenations across."""
    keras = _keras()
    layers = keras.layers
    inputs = x = keras.Input((side, side, 3))
    across = []
    for level in range(4):
        x = _conv_bn(_conv_bn(x, width << level), width << level)
        across.append(x)
        x = layers.MaxPooling2D()(x)
    x = _conv_bn(_conv_bn(x, width << 4), width << 4)
    for level in reversed(range(4)):
        x = layers.Conv2DTranspose(width << level, 2, 2, "same")(x)
        x = layers.Concatenate()([x, across[level]])
        x = _conv_bn(_conv_bn(x, width << level), width << level)
    return keras.Model(inputs, layers.Conv2D(2, 1, activation="softmax")(x))


def deep_lab(side: int = 160) -> Any:
    """Segmentation by dilated convolutions: separable stages, four dilation rates in parallel, bilinear upsampling."""
    keras = _keras()
    layers = keras.layers
    inputs = keras.Input((side, side, 3))
    x = _conv_bn(inputs, 24, 3, 2)
    for filters, stride, rate in (
        (32, 2, 1), (32, 1, 1), (64, 2, 1), (64, 1, 1), (96, 1, 2), (96, 1, 2), (128, 1, 4), (128, 1, 4),
    ):  # fmt: skip
        x = _conv_bn(_depthwise_bn(x, 3, stride, rate), filters, 1)
    branches = [_conv_bn(x, 48, 1), *(_conv_bn(x, 48, 3, dilation=rate) for rate in (2, 4, 6))]
    x = _conv_bn(layers.Concatenate()(branches), 64, 1)
    x = layers.Conv2D(21, 1)(x)
    return keras.Model(inputs, layers.UpSampling2D(8, interpolation="bilinear")(x))


def resnet20() -> Any:
    """The residual network of 20 layers for 32 x 32 images."""
    keras = _keras()
    layers = keras.layers
    inputs = keras.Input((32, 32, 3))
    x = _conv_bn(inputs, 16)
    for filters in (16, 32, 64):
        for block in range(3):
            stride = 2 if filters > 16 and block == 0 else 1
            y = _conv_bn(_conv_bn(x, filters, 3, stride), filters, act="")
            x = x if stride == 1 else _conv_bn(x, filters, 1, 2, act="")
            x = layers.ReLU()(layers.Add()([x, y]))
    return keras.Model(inputs, layers.Dense(10, activation="softmax")(layers.GlobalAveragePooling2D()(x)))


def small_vgg() -> Any:
    """Plain 3 x 3 convolutions and large dense layers for 32 x 32 images."""
    keras = _keras()
    layers = keras.layers
    inputs = x = keras.Input((32, 32, 3))
    for filters in (32, 64, 128):
        for _ in range(2):
            x = layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
        x = layers.MaxPooling2D()(x)
    x = layers.Dense(512, activation="relu")(layers.Flatten()(x))
    return keras.Model(inputs, layers.Dense(10, activation="softmax")(x))


def squeeze_mobile(side: int = 96) -> Any:
    """Inverted residuals with hard-swish and squeeze-and-excite."""
    keras = _keras()
    layers = keras.layers
    inputs = keras.Input((side, side, 3))
    x = _conv_bn(inputs, 16, 3, 2, act="hard_swish")
    for filters, stride, kernel, repeats in ((16, 1, 3, 1), (24, 2, 3, 2), (40, 2, 5, 3), (80, 2, 5, 3)):
        for block in range(repeats):
            step = stride if block == 0 else 1
            width = 4 * x.shape[-1]
            y = _depthwise_bn(_conv_bn(x, width, 1, act="hard_swish"), kernel, step, act="hard_swish")
            gate = layers.GlobalAveragePooling2D(keepdims=True)(y)
            gate = layers.Conv2D(max(8, width // 4), 1, activation="relu")(gate)
            gate = layers.Conv2D(width, 1, activation="hard_sigmoid")(gate)
            y = _conv_bn(layers.Multiply()([y, gate]), filters, 1, act="")
            x = layers.Add()([x, y]) if step == 1 and x.shape[-1] == filters else y
    x = layers.GlobalAveragePooling2D()(_conv_bn(x, 320, 1, act="hard_swish"))
    return keras.Model(inputs, layers.Dense(20, activation="softmax")(x))


def dense_autoencoder() -> Any:
    """Dense layers only, with a bottleneck, as for sounds of machines."""
    keras = _keras()
    layers = keras.layers
    inputs = x = keras.Input((640,))
    for units in (256, 256, 128, 8, 128, 256, 256):
        x = layers.ReLU()(layers.BatchNormalization()(layers.Dense(units)(x)))
    return keras.Model(inputs, layers.Dense(640)(x))


def shuffle_net(side: int = 160) -> Any:
    """Channels split, one half convolved, concatenated and shuffled by reshape and transpose."""
    keras = _keras()
    layers = keras.layers
    inputs = keras.Input((side, side, 3))
    x = layers.MaxPooling2D(3, 2, "same")(_conv_bn(inputs, 24, 3, 2))
    for filters, repeats in ((96, 3), (192, 5), (384, 3)):
        half = filters // 2
        for block in range(repeats):
            if block == 0:
                left = _conv_bn(_depthwise_bn(x, 3, 2, act=""), half, 1)
                right = _conv_bn(_depthwise_bn(_conv_bn(x, half, 1), 3, 2, act=""), half, 1)
            else:
                left, right = x[..., :half], x[..., half:]
                right = _conv_bn(_depthwise_bn(_conv_bn(right, half, 1), 3, 1, act=""), half, 1)
            x = layers.Concatenate()([left, right])
            height, width = x.shape[1:3]
            x = layers.Permute((1, 2, 4, 3))(layers.Reshape((height, width, 2, half))(x))
            x = layers.Reshape((height, width, filters))(x)
    x = layers.GlobalAveragePooling2D()(_conv_bn(x, 512, 1))
    return keras.Model(inputs, layers.Dense(100)(x))


OWN: dict[str, Make] = {
    "vit_96": lambda: vision_transformer(96, 12, 128, 4, 4),
    "vit_160": lambda: vision_transformer(160, 16, 192, 6, 3),
    "text_encoder_64": lambda: text_encoder(8000, 64, 128, 2, 4),
    "text_encoder_128": lambda: text_encoder(8000, 128, 256, 4, 8),
    "lstm_loop": lambda: recurrent("LSTM", (96,), 50, 24, unroll=False),
    "lstm_unrolled": lambda: recurrent("LSTM", (64, 64), 24, 16, unroll=True),
    "gru_loop": lambda: recurrent("GRU", (128,), 40, 32, unroll=False),
    "gru_unrolled": lambda: recurrent("GRU", (96,), 32, 24, unroll=True),
    "keyword_conv1d": keyword_conv1d,
    "temporal_dilated": temporal_dilated,
    "ds_cnn": ds_cnn,
    "u_net_128": u_net,
    "deep_lab_160": deep_lab,
    "resnet20_32": resnet20,
    "small_vgg_32": small_vgg,
    "squeeze_mobile_96": squeeze_mobile,
    "dense_autoencoder": dense_autoencoder,
    "shuffle_net_160": shuffle_net,
}
"""By name; `benchmarks.networks` converts them."""
