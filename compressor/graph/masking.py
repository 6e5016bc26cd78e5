"""Normalisations that look only at the channels that are kept, to compare a masked network with a cut one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def normalise_masked(layer: Any, masks_of: Callable[[Any], Any]) -> None:
    """Let a normalisation of a model of one's own take its statistics over some channels only, in every later call.

    `masks_of` gives for the layer's input 1 for each channel that counts and 0 for the others [batch or 1, channels], or None
    where all count.
    """
    import tensorflow as tf

    plain, kind = layer.call, type(layer).__name__

    def call(inputs: Any) -> Any:
        masks = masks_of(inputs)
        if masks is None:
            return plain(inputs)
        rank, channels = len(inputs.shape), masks.shape[-1]
        masks = tf.reshape(masks, [tf.shape(masks)[0], *[1] * (rank - 2), channels])
        axes = list(range(1, rank))
        if kind != "GroupNormalization":
            given = layer.axis if isinstance(layer.axis, (list, tuple)) else [layer.axis]
            axes = sorted(axis % rank for axis in given)
        share = tf.maximum(tf.reduce_mean(masks, axis=-1, keepdims=True), 1 / channels)

        def mean(values: Any) -> Any:
            return tf.reduce_mean(values * masks, axis=axes, keepdims=True) / share

        centred = inputs if kind == "RMSNormalization" else inputs - mean(inputs)
        result = centred * tf.math.rsqrt(mean(centred**2) + layer.epsilon)
        shape = [
            inputs.shape[i] if i in axes and kind != "GroupNormalization" else 1 for i in range(rank - 1)
        ]
        for weight in layer.weights:
            value = tf.reshape(tf.convert_to_tensor(weight.value), [*shape, channels])
            result = result + value if weight.name == "beta" else result * value
        return result

    layer.call = call
