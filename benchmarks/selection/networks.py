"""Networks of different families and sizes for CIFAR-10, sound and motion; all give logits."""

from __future__ import annotations

from typing import Any


def _convolution(
    x: Any, filters: int, name: str, kernel: int = 3, strides: int = 1, active: bool = True
) -> Any:
    from keras import layers

    x = layers.Conv2D(filters, kernel, strides=strides, padding="same", use_bias=False, name=name)(x)
    x = layers.BatchNormalization(name=f"{name}_norm")(x)
    return layers.ReLU(name=f"{name}_relu")(x) if active else x


def _depthwise(x: Any, name: str, strides: int = 1) -> Any:
    from keras import layers

    x = layers.DepthwiseConv2D(3, strides=strides, padding="same", use_bias=False, name=name)(x)
    x = layers.BatchNormalization(name=f"{name}_norm")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def _image() -> Any:
    import keras

    return keras.Input((32, 32, 3), name="image")


def _answered(inputs: Any, x: Any, name: str) -> Any:
    import keras
    from keras import layers

    x = layers.GlobalAveragePooling2D(name="mean")(x)
    return keras.Model(inputs, layers.Dense(10, name="answer")(x), name=name)


def tiny() -> Any:
    """Three strided 3x3 convolutions."""
    inputs = x = _image()
    for number, filters in enumerate((16, 32, 48)):
        x = _convolution(x, filters, f"conv{number}", strides=2)
    return _answered(inputs, x, "tiny")


def mobile() -> Any:
    """Inverted residuals as in MobileNetV2."""
    from keras import layers

    inputs = _image()
    x = _convolution(inputs, 16, "stem", strides=2)
    for number, (filters, strides) in enumerate(((16, 1), (32, 2), (32, 1), (64, 2), (64, 1))):
        before, name = x, f"block{number}"
        x = _convolution(x, 3 * x.shape[-1], f"{name}_expand", kernel=1)
        x = _depthwise(x, f"{name}_depth", strides)
        x = _convolution(x, filters, f"{name}_project", kernel=1, active=False)
        if before.shape == x.shape:
            x = layers.Add(name=f"{name}_add")([before, x])
    return _answered(inputs, _convolution(x, 128, "head", kernel=1), "mobile")


def separable() -> Any:
    """Depthwise and 1x1 convolutions in turns, as in MobileNetV1."""
    inputs = _image()
    x = _convolution(inputs, 32, "stem", strides=2)
    for number, (filters, strides) in enumerate(((64, 1), (96, 2), (96, 1), (160, 2), (160, 1))):
        x = _depthwise(x, f"depth{number}", strides)
        x = _convolution(x, filters, f"point{number}", kernel=1)
    return _answered(inputs, x, "separable")


def strided(name: str = "strided") -> Any:
    """Pairs of 3x3 convolutions, the first of each with strides of 2, the very first too."""
    inputs = x = _image()
    for stage, filters in enumerate((32, 64, 128)):
        for number in (0, 1):
            x = _convolution(x, filters, f"conv{stage}{number}", strides=2 - number)
    return _answered(inputs, x, name)


def residual(width: int = 32, name: str = "resnet9") -> Any:
    """Nine layers with two residual pairs, as in the networks of the DAWNBench competition."""
    from keras import layers

    def pair(x: Any, name: str) -> Any:
        y = _convolution(x, x.shape[-1], f"{name}_0")
        y = _convolution(y, x.shape[-1], f"{name}_1")
        return layers.Add(name=f"{name}_add")([x, y])

    inputs = _image()
    x = _convolution(inputs, width // 2, "stem")
    x = layers.MaxPooling2D(name="pool0")(_convolution(x, width, "conv1"))
    x = pair(x, "pair1")
    x = layers.MaxPooling2D(name="pool1")(_convolution(x, 2 * width, "conv2"))
    x = layers.MaxPooling2D(name="pool2")(_convolution(x, 4 * width, "conv3"))
    return _answered(inputs, pair(x, "pair3"), name)


def sound(widths: tuple[int, ...], strides: tuple[int, ...], name: str) -> Any:
    """3x3 convolutions over a log-mel picture."""
    import keras

    inputs = x = keras.Input((32, 32, 1), name="log_mel")
    for number, (filters, step) in enumerate(zip(widths, strides, strict=True)):
        x = _convolution(x, filters, f"conv{number}", strides=step)
    return _answered(inputs, x, name)


def motion(width: int, depth: int, name: str) -> Any:
    """Convolutions over time, all sensors together."""
    import keras
    from keras import layers

    inputs = x = keras.Input((64, 12, 1), name="windows")
    x = layers.Reshape((64, 1, 12), name="sensors")(x)
    for number in range(depth):
        x = layers.Conv2D(width, (5, 1), strides=(2 if number < 3 else 1, 1), padding="same", use_bias=False,
                          name=f"conv{number}")(x)  # fmt: skip
        x = layers.BatchNormalization(name=f"norm{number}")(x)
        x = layers.ReLU(name=f"relu{number}")(x)
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    return keras.Model(inputs, layers.Dense(5, name="answer")(x), name=name)


def without_softmax(model: Any) -> Any:
    """The same network with the logits as its answer."""
    import keras
    from keras import layers

    last = model.layers[-1]
    answer = layers.Dense(last.units, name="logits")(last.input)
    return keras.Model(model.inputs, answer, name=model.name)
