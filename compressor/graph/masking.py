"""Normalisations that look only at the channels that are kept, to compare a masked network with a cut one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def normalise_masked(layer: Any, masks_of: Callable[[Any], Any]) -> None:
    """Let a layer normalisation (or a group normalisation of one group) take its statistics over some channels only.

    Parameters
    ----------
    layer
        Of a model of one's own: it computes in another way from now on.
    masks_of
        From the layer's input to 1 for each channel that counts and 0 for the others [batch or 1, channels], or to
        None where all count.
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
