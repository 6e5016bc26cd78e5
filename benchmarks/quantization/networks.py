"""The network with hard-swish and squeeze-and-excite of this benchmark, as MobileNetV3's."""

from __future__ import annotations

from typing import Any


def squeezed(name: str = "squeezed") -> Any:
    """Inverted residuals with squeeze-and-excite and hard-swish for CIFAR-10; gives logits."""
    import keras
    from keras import layers

    def normed(x: Any, label: str) -> Any:
        return layers.BatchNormalization(name=f"{label}_norm")(x)

    def swished(x: Any, label: str) -> Any:
        return layers.Activation("hard_swish", name=f"{label}_swish")(x)

    inputs = keras.Input((32, 32, 3), name="image")
    x = layers.Conv2D(24, 3, strides=2, padding="same", use_bias=False, name="stem")(inputs)
    x = swished(normed(x, "stem"), "stem")
    for number, (filters, strides) in enumerate(((24, 1), (40, 2), (40, 1), (80, 2), (80, 1))):
        before, label = x, f"block{number}"
        width = 4 * x.shape[-1]
        x = layers.Conv2D(width, 1, use_bias=False, name=f"{label}_expand")(x)
        x = swished(normed(x, f"{label}_expand"), f"{label}_expand")
        x = layers.DepthwiseConv2D(3, strides=strides, padding="same", use_bias=False, name=f"{label}_depth")(
            x
        )
        x = swished(normed(x, f"{label}_depth"), f"{label}_depth")
        gate = layers.GlobalAveragePooling2D(keepdims=True, name=f"{label}_squeeze")(x)
        gate = layers.Conv2D(width // 4, 1, activation="relu", name=f"{label}_reduce")(gate)
        gate = layers.Conv2D(width, 1, activation="hard_sigmoid", name=f"{label}_excite")(gate)
        x = layers.Multiply(name=f"{label}_scale")([x, gate])
        x = normed(layers.Conv2D(filters, 1, use_bias=False, name=f"{label}_project")(x), f"{label}_project")
        if before.shape == x.shape:
            x = layers.Add(name=f"{label}_add")([before, x])
    x = swished(
        normed(layers.Conv2D(160, 1, use_bias=False, name="head")(x), "head"),
        "head",
    )
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    return keras.Model(inputs, layers.Dense(10, name="answer")(x), name=name)
