"""Convolutions and products that files store in odd ways: weights of four bits, several outputs per channel, no shapes."""

from __future__ import annotations

from dataclasses import replace

from profiler.network import Layer
from profiler.operators import sizes
from profiler.operators.convolution import conv_2d, depthwise_conv_2d, draw_depthwise
from profiler.operators.matrix import fully_connected
from profiler.operators.number_type import with_four_bits
from profiler.operators.registry import FORM, LATE, UNPACKED, Operator, Rng, drawn, register_operators


def _draw_multiplied(op: str, rng: Rng, dtype: str) -> Layer:
    """A depthwise convolution with several outputs per channel: of one or a few channels, or of many."""
    channels = int(rng.choice([1, 1, 2, 3, 8, 16, 32])), int(rng.choice([2, 4, 8, 16]))
    height, width = sizes.plane(rng, 80)
    kernel = sizes.window(rng)
    stride = (2, 2) if rng.random() < 0.4 else (1, 1)
    height, width = sizes.at_least(height, width, kernel)
    return depthwise_conv_2d(
        height,
        width,
        channels[0],
        kernel,
        stride,
        activation=sizes.activation(rng),
        dtype=dtype,
        multiplier=channels[1],
    )


def _draw_four_bits(op: str, rng: Rng, dtype: str) -> Layer:
    """A convolution that multiplies by integers of four bits."""
    return with_four_bits(_draw_small(rng, dtype))


def _draw_unpacked(op: str, rng: Rng, dtype: str) -> Layer:
    """A convolution whose floats are made of integers of four bits when the network is loaded."""
    if op.startswith("depthwise"):
        layer = draw_depthwise(op, rng, dtype)
        while layer.params["depth_multiplier"] != 1:
            layer = draw_depthwise(op, rng, dtype)
    else:
        layer = _draw_small(rng, dtype)
    return replace(layer, params={**layer.params, UNPACKED: "int4"})


def _draw_late(op: str, rng: Rng, dtype: str) -> Layer:
    """A convolution whose result has no shape in the file."""
    base = op.partition(":")[0]
    if base == "depthwise_conv_2d":
        layer = draw_depthwise(base, rng, dtype)
    else:
        layer = _draw_small(rng, dtype, int(rng.choice([1, 3, 3])) if rng.random() < 0.25 else None)
    return replace(layer, params={**layer.params, FORM: LATE})


def _draw_small(rng: Rng, dtype: str, given: int | None = None) -> Layer:
    """A convolution as ordinary networks have them, of `given` channels; kernels that are slow do few in the time there is."""
    side, kernel = sizes.side(rng, 56), int(rng.choice([1, 3, 3]))
    inside, outside = given or sizes.channels(rng, 128), sizes.channels(rng, 128)
    stride = 2 if rng.random() < 0.2 else 1
    return conv_2d(side, side, inside, outside, (kernel, kernel), (stride, stride), dtype=dtype)


def _draw_dense(op: str, rng: Rng, dtype: str) -> Layer:
    """A product with stored integers of four bits, or with floats that are made of such when the network is loaded."""
    rows = 1 if rng.random() < 0.6 else sizes.scaled(rng, 2, 64)
    inside, outside = 2 * sizes.scaled(rng, 4, 512), sizes.channels(rng, 1024)
    layer = fully_connected(inside, outside, rows, dtype=dtype)
    if dtype == "float32":
        return replace(layer, params={**layer.params, UNPACKED: "int4"})
    return with_four_bits(layer)


register_operators(
    Operator(
        "depthwise_conv_2d:multiplied",
        draws=drawn(_draw_multiplied, float32=(20, 108), int8=(20, 55), dynamic_int8=(8, 7)),
        features="grouped",
    ),
    # Weights of four bits: multiplied as they are, or made into floats when the network is loaded.
    Operator(
        "conv_2d:int4",
        draws=drawn(_draw_four_bits, dynamic_int8=(16, 8), int8=(16, 56)),
        features="convolution",
    ),
    Operator("conv_2d:unpacked", draws=drawn(_draw_unpacked, float32=(16, 109)), features="convolution"),
    Operator(
        "depthwise_conv_2d:unpacked", draws=drawn(_draw_unpacked, float32=(12, 110)), features="depthwise"
    ),
    Operator(
        "conv_2d:late", draws=drawn(_draw_late, float32=(16, 113), int8=(16, 72)), features="convolution"
    ),
    Operator(
        "depthwise_conv_2d:late",
        draws=drawn(_draw_late, float32=(12, 114), int8=(12, 73)),
        features="depthwise",
    ),
    Operator(
        "fully_connected:int4",
        draws=drawn(_draw_dense, dynamic_int8=(16, 9), int8=(16, 57)),
        features="matrix",
    ),
    Operator("fully_connected:unpacked", draws=drawn(_draw_dense, float32=(16, 111)), features="matrix"),
)
