"""Planes and volumes: convolutions in three dimensions, Fourier transforms, other kinds of pooling and normalisation, bits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from profiler.axes import keep_axes, keep_channels
from profiler.network import Arithmetic, Layer, Param, Tensor
from profiler.operators import sizes
from profiler.operators.convolution import convolution_axes
from profiler.operators.elementwise import binary, elementwise_axes
from profiler.operators.options import (
    AXES,
    WINDOW,
    FileFormat,
    OptionField,
    Quantization,
    StoredParam,
    activation,
    flag,
    fraction,
    numbers,
    quiet,
)
from profiler.operators.pooling import POOL_FILE, pool_2d
from profiler.operators.reduction import reduce, reduce_axes
from profiler.operators.registry import FEW, Operator, Rng, drawn, register_operators


def conv_3d(side: int, depth: int, in_channels: int, out_channels: int, kernel: int = 3) -> Layer:
    """A convolution over ``[1, depth, side, side, in_channels]`` whose kernel is a cube."""
    operands = (
        Tensor((1, depth, side, side, in_channels)),
        Tensor((kernel, kernel, kernel, in_channels, out_channels), "float32", True),
        Tensor((out_channels,), "float32", True),
    )
    return Layer(
        "conv_3d", operands, (Tensor((1, depth, side, side, out_channels)),), _cube_params(kernel, 1)
    )


def _cube_params(kernel: int, stride: int) -> dict[str, Param]:
    params: dict[str, Param] = {"padding": "same", "activation": "none"}
    for axis in ("depth", "height", "width"):
        params |= {f"kernel_{axis}": kernel, f"stride_{axis}": stride, f"dilation_{axis}": 1}
    return params


def _draw_conv_3d(op: str, rng: Rng, dtype: str) -> Layer:
    side, depth = sizes.scaled(rng, 4, 24), sizes.scaled(rng, 2, 16)
    inside, outside = sizes.scaled(rng, 1, 32), sizes.scaled(rng, 4, 32)
    kernel = int(rng.choice([1, 3, 3]))
    if op == "conv_3d":
        return conv_3d(side, depth, inside, outside, kernel)
    side, depth = side // 2 + 1, depth // 2 + 1
    operands = (
        Tensor((5,), "int32", True),
        Tensor((2, 2, 2, outside, inside), "float32", True),
        Tensor((1, depth, side, side, inside)),
    )
    out = Tensor((1, 2 * depth, 2 * side, 2 * side, outside))
    return Layer(op, operands, (out,), _cube_params(2, 2))


def _draw_fourier(op: str, rng: Rng, dtype: str) -> Layer:
    """Spectra of frames, or what is made of their complex numbers."""
    rows, size = sizes.scaled(rng, 1, 64), int(rng.choice([64, 128, 256, 512, 1024]))
    if op == "rfft2d":
        operands = Tensor((rows, 1, size)), Tensor((2,), "int32", True)
        return Layer(
            op, operands, (Tensor((rows, 1, size // 2 + 1), "complex64"),), {"fft_length": (1, size)}
        )
    return Layer(op, (Tensor((rows, size // 2 + 1), "complex64"),), (Tensor((rows, size // 2 + 1)),))


def _draw_l2_pool(op: str, rng: Rng, dtype: str) -> Layer:
    side, channels = sizes.scaled(rng, 4, 56), sizes.scaled(rng, 4, 128)
    return pool_2d(op, side, side, channels, dtype=dtype)


def _draw_normalised(op: str, rng: Rng, dtype: str) -> Layer:
    """Vectors of length 1, or responses divided by those of neighbouring channels."""
    if op == "l2_normalization":
        shape: tuple[int, ...] = (sizes.scaled(rng, 1, 512), sizes.scaled(rng, 4, 1024))
        return Layer(op, (Tensor(shape, dtype),), (Tensor(shape, dtype),), {"activation": "none"})
    side = sizes.scaled(rng, 4, 56)
    params: dict[str, Param] = {"radius": 5, "bias": 1.0, "alpha": 1.0, "beta": 0.5}
    shape = (1, side, side, sizes.scaled(rng, 4, 128))
    return Layer(op, (Tensor(shape),), (Tensor(shape),), params)


def _draw_same_shape(op: str, rng: Rng, dtype: str) -> Layer:
    """One or two operands, element by element."""
    shape = sizes.feature_map(rng)
    if op in ("atan2", "floor_div", "floor_mod", "bitwise_xor", "right_shift"):
        return binary(op, shape, shape, dtype=dtype, constant=dtype == "int32")
    if op == "add_n":
        return Layer(op, (Tensor(shape, dtype),) * 3, (Tensor(shape, dtype),))
    params: dict[str, Param] = {"min": -1.0, "max": 1.0, "num_bits": 8} if op == "fake_quant" else {}
    return Layer(op, (Tensor(shape, dtype),), (Tensor(shape, dtype),), params)


def _draw_any(op: str, rng: Rng, dtype: str) -> Layer:
    """Whether any, or all, of what is true along an axis."""
    shape = sizes.scaled(rng, 1, 512), sizes.scaled(rng, 2, 512)
    return reduce(op, shape, (1,), dtype="bool")


def _conv_3d_macs(layer: Layer) -> int:
    """Each result meets all weights of its output channel; of a transposed one each input does."""
    slot = 0 if layer.op == "conv_3d" else 2
    if len(layer.inputs) <= max(1, slot) or len(layer.inputs[1].shape) != 5:
        return 0
    met = layer.inputs[1].size // max(1, layer.inputs[1].shape[4])
    return (layer.inputs[slot] if slot else layer.outputs[0]).size * met


_CUBE = FileFormat(
    106,
    (
        WINDOW[0],
        *numbers(1, "stride_depth", "stride_width", "stride_height"),
        activation(4),
        *numbers(5, "dilation_depth", "dilation_width", "dilation_height", default=1),
    ),
    kernel=("kernel_depth", "kernel_height", "kernel_width", "", ""),
)


def _two(name: str, options: int, **streams: int) -> Operator:
    draws = drawn(_draw_same_shape, **{dtype: (FEW, stream) for dtype, stream in streams.items()})
    ones = {1: lambda layer: np.ones(layer.inputs[1].shape)}  # nothing is divided by 0
    return Operator(
        name,
        FileFormat(options, computed=ones),
        draws=draws,
        widths=elementwise_axes,
        features="binary",
        row="binary",
    )


def _one(name: str, options: int, *fields: OptionField, **streams: int) -> Operator:
    draws = drawn(_draw_same_shape, **{dtype: (FEW, stream) for dtype, stream in streams.items()})
    return Operator(name, FileFormat(options, fields), draws=draws, widths=keep_axes, features="unary")


def _spectral(name: str, stream: int) -> Operator:
    return Operator(name, draws=drawn(_draw_fourier, float32=(FEW, stream)), features="unary")


register_operators(
    Operator(
        "conv_3d",
        _CUBE,
        draws=drawn(_draw_conv_3d, float32=(12, 89)),
        widths=convolution_axes,
        arithmetic=Arithmetic(_conv_3d_macs),
        features="grouped",
    ),
    Operator(
        "conv_3d_transpose",
        replace(_CUBE, data_slot=2, computed={0: lambda layer: layer.outputs[0].shape}),
        draws=drawn(_draw_conv_3d, float32=(FEW, 90)),
        arithmetic=Arithmetic(_conv_3d_macs),
        features="grouped",
    ),
    Operator(
        "rfft2d",
        FileFormat(105, stored=(StoredParam(1, "fft_length"),)),
        draws=drawn(_draw_fourier, float32=(FEW, 91)),
        features="copy",
    ),
    _spectral("real", 92),
    _spectral("imag", 93),
    _spectral("complex_abs", 94),
    Operator(
        "l2_pool_2d",
        POOL_FILE,
        draws=drawn(_draw_l2_pool, float32=(FEW, 95)),
        widths=keep_channels,
        features="pooling",
        row="pooling",
    ),
    Operator(
        "l2_normalization",
        FileFormat(12, (activation(0),)),
        Quantization(fixed={"int8": (1 / 128, 0), "uint8": (1 / 128, 128)}),
        drawn(_draw_normalised, float32=(FEW, 96), int8=(FEW, 53)),
        widths=keep_axes,
        features="reduction",
    ),
    Operator(
        "local_response_normalization",
        FileFormat(
            13, (*numbers(0, "radius"), fraction(1, "bias"), fraction(2, "alpha"), fraction(3, "beta"))
        ),
        draws=drawn(_draw_normalised, float32=(FEW, 97)),
        widths=keep_axes,
        features="reduction",
    ),
    _two("atan2", 122, float32=98),
    _two("floor_div", 65, float32=99, int32=16),
    _two("floor_mod", 72, float32=100, int32=17),
    _two("bitwise_xor", 125, int32=18),
    _two("right_shift", 126, int32=19),
    Operator(
        "add_n",
        FileFormat(82),
        draws=drawn(_draw_same_shape, float32=(FEW, 101)),
        widths=elementwise_axes,
        features="copy",
        events={"Add": 0.1},
    ),
    _one("zeros_like", 67, float32=102),
    _one(
        "fake_quant",
        58,
        fraction(0, "min"),
        fraction(1, "max"),
        *numbers(2, "num_bits"),
        quiet(3, "bool", "narrow_range", False),
        float32=103,
    ),
    *(
        Operator(
            name,
            FileFormat(27, (flag(0, "keep_dims"),), stored=AXES),
            draws=drawn(_draw_any, int32=(FEW, stream)),
            widths=reduce_axes,
            features="reduction",
        )
        for name, stream in (("reduce_any", 20), ("reduce_all", 21))
    ),
)
