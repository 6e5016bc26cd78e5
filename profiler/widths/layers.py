"""One layer at another width, everything else as it is."""

from __future__ import annotations

from dataclasses import replace

from profiler.network import Layer, Tensor
from profiler.operators import operator


def width_of(layer: Layer) -> int:
    """Output channels (or units) of `layer`."""
    return layer.outputs[0].shape[-1]


def with_width(layer: Layer, width: int) -> Layer:
    """`layer` with `width` output channels.

    Raises
    ------
    KeyError
        An operator that has no width of its own.
    """
    known = operator(layer.op)
    axis = known.quantization.channel_axis
    if known.output_width is None or axis is None:
        raise KeyError(layer.op)
    inputs = list(layer.inputs)
    if known.output_width.follows_input:
        inputs[0] = replace(inputs[0], shape=(*inputs[0].shape[:-1], width))
    weight = inputs[1].shape
    inputs[1] = replace(inputs[1], shape=(*weight[:axis], width, *weight[axis + 1 :]))
    if len(inputs) > 2:
        inputs[2] = replace(inputs[2], shape=(width,))
    out = layer.outputs[0]
    return replace(layer, inputs=tuple(inputs), outputs=(Tensor((*out.shape[:-1], width), out.dtype),))


def with_input_width(layer: Layer, width: int) -> Layer:
    """A convolution or fully connected `layer` that reads `width` channels."""
    data, weight = layer.inputs[:2]
    inputs = (
        replace(data, shape=(*data.shape[:-1], width)),
        replace(weight, shape=(*weight.shape[:-1], width)),
        *layer.inputs[2:],
    )
    return replace(layer, inputs=inputs)
