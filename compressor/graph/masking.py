"""Normalisations that look only at the channels that are kept, to compare a masked network with a cut one."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def over_those_left(layer: Any, stays: NDArray[np.bool_]) -> None:
    """Let a layer normalisation (or a group normalisation of one group) take its statistics over some
    channels only.

    Parameters
    ----------
    layer
        Of a model of one's own: it computes in another way from now on.
    stays
        For each position of the last axis whether it counts.
    """
    from keras import ops

    kind = type(layer).__name__
    mask = stays.astype("float32")
    share = float(mask.mean())

    def mean(values: Any, axes: list[int]) -> Any:
        return ops.mean(values * mask, axis=axes, keepdims=True) / share

    def call(inputs: Any) -> Any:
        rank = len(inputs.shape)
        if kind == "GroupNormalization":
            axes = list(range(1, rank))
        else:
            axes = sorted(
                a % rank for a in (layer.axis if isinstance(layer.axis, (list, tuple)) else [layer.axis])
            )
        shape = [n if i in axes else 1 for i, n in enumerate(inputs.shape)]
        if kind == "RMSNormalization":
            result = inputs * ops.rsqrt(mean(ops.square(inputs), axes) + layer.epsilon)
            return result * ops.reshape(layer.scale, shape) if layer.scale is not None else result
        centred = inputs - mean(inputs, axes)
        result = centred * ops.rsqrt(mean(ops.square(centred), axes) + layer.epsilon)
        if kind == "GroupNormalization":
            shape = [1] * (rank - 1) + [len(mask)]
        if layer.gamma is not None:
            result = result * ops.reshape(layer.gamma, shape)
        if layer.beta is not None:
            result = result + ops.reshape(layer.beta, shape)
        return result

    layer.call = call
