"""What time can depend on: readable features of a layer, by family of operators.

Leaves are linear in *costs* (work that takes time: padded multiply-accumulates, tiles, bytes, calls); inner nodes ask about
*sizes* (channels, pixels, kernel). Kernels work in tiles: 33 output channels in tiles of 32 are as much work as 64. How large the
tiles are on a device is not known beforehand; `timemodel.operator_model` finds it by fitting.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from timemodel.geometry import POSITION

Columns = Mapping[str, np.ndarray]
Tiles = Mapping[str, int]
Table = dict[str, np.ndarray]


class Geometry:
    """Columns of a `geometry` array by name: ``g.out_channels`` is ``[n]``."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __getattr__(self, name: str) -> np.ndarray:
        try:
            return self.array[:, POSITION[name]]
        except KeyError:
            raise AttributeError(name) from None


def tiled(size: np.ndarray, tile: int) -> np.ndarray:
    """Number of tiles that cover `size`: ``ceil(size / tile)``."""
    return np.ceil(size / tile)


def _pixels(g: Geometry) -> np.ndarray:
    return g.batch * g.out_height * g.out_width


def _conv_costs(g: Geometry, tiles: Tiles) -> Table:
    wide, tall = tiles["out_channels"], tiles["pixels"]
    pixels, taps = _pixels(g), g.kernel_height * g.kernel_width
    columns, rows = tiled(g.out_channels, wide), tiled(pixels, tall)
    calls = columns * rows
    half = tiled(g.out_channels, max(1, wide // 2)) * rows
    return {
        "tiles": calls,
        "tile_taps": calls * taps,
        "tiled_macs": calls * wide * tall * taps * g.in_channels,
        "half_tiled_macs": half * wide * tall / 2 * taps * g.in_channels,
        "pixel_tiles": rows,
        "in_bytes": g.in_bytes,
        "out_bytes": g.out_bytes,
        "weight_bytes": g.weight_bytes,
        "data_bytes_beyond_cache": np.maximum(0.0, g.in_bytes + g.out_bytes - tiles["cache"]),
        "weight_bytes_beyond_cache": np.maximum(0.0, g.weight_bytes - tiles["cache"]),
    }


def _conv_sizes(g: Geometry, tiles: Tiles) -> Table:
    taps = g.kernel_height * g.kernel_width
    return {
        "out_channels": g.out_channels,
        "out_channel_half_tiles": tiled(g.out_channels, max(1, tiles["out_channels"] // 2)),
        "in_channels": g.in_channels,
        "pixels": _pixels(g),
        "kernel_taps": taps,
        "products_per_output": taps * g.in_channels,
        "stride": g.stride_height * g.stride_width,
        "dilation": g.dilation_height * g.dilation_width,
        "weight_bytes": g.weight_bytes,
        "in_bytes": g.in_bytes,
        "out_bytes": g.out_bytes,
        "pointwise": ((taps == 1) & (g.stride_height == 1) & (g.stride_width == 1)).astype(float),
        "activation": g.activation,
    }


def _depthwise_costs(g: Geometry, tiles: Tiles) -> Table:
    wide = tiles["out_channels"]
    pixels, taps = _pixels(g), g.kernel_height * g.kernel_width
    calls = tiled(g.out_channels, wide) * pixels
    return {
        "pixels": pixels,
        "pixel_taps": pixels * taps,
        "tiles": calls,
        "tile_taps": calls * taps,
        "rows": g.batch * g.out_height,
        "in_bytes": g.in_bytes,
        "out_bytes": g.out_bytes,
        "weight_bytes": g.weight_bytes,
        "data_bytes_beyond_cache": np.maximum(0.0, g.in_bytes + g.out_bytes - tiles["cache"]),
    }


def _depthwise_sizes(g: Geometry, tiles: Tiles) -> Table:
    return {
        "channels": g.out_channels,
        "pixels": _pixels(g),
        "out_width": g.out_width,
        "kernel_taps": g.kernel_height * g.kernel_width,
        "kernel_height": g.kernel_height,
        "kernel_width": g.kernel_width,
        "stride": g.stride_height * g.stride_width,
        "dilation": g.dilation_height * g.dilation_width,
        "multiplier": g.out_channels / np.maximum(g.in_channels, 1),
        "in_bytes": g.in_bytes,
        "out_bytes": g.out_bytes,
        "weight_bytes": g.weight_bytes,
        "activation": g.activation,
    }


def _matrix_costs(g: Geometry, tiles: Tiles) -> Table:
    wide, tall = tiles["out_channels"], tiles["pixels"]
    rows = g.batch * g.out_height * g.out_width
    calls = tiled(g.out_channels, wide) * tiled(rows, tall)
    half = tiled(g.out_channels, max(1, wide // 2)) * tiled(rows, tall)
    return {
        "tiles": calls,
        "half_tiled_macs": half * wide * tall / 2 * g.in_channels,
        "tiled_macs": calls * wide * tall * g.in_channels,
        "in_bytes": g.in_bytes,
        "out_bytes": g.out_bytes,
        "weight_bytes": g.weight_bytes,
        "weight_bytes_beyond_cache": np.maximum(0.0, g.weight_bytes - tiles["cache"]),
    }


def _matrix_sizes(g: Geometry, tiles: Tiles) -> Table:
    return {
        "out_channels": g.out_channels,
        "in_channels": g.in_channels,
        "out_channel_half_tiles": tiled(g.out_channels, max(1, tiles["out_channels"] // 2)),
        "rows": g.batch * g.out_height * g.out_width,
        "weight_bytes": g.weight_bytes,
        "in_bytes": g.in_bytes,
        "activation": g.activation,
    }


def _binary_costs(g: Geometry, tiles: Tiles) -> Table:
    runs = np.where(g.broadcast == 2, g.out_elements / np.maximum(g.inner, 1), 1.0)
    return {
        "elements": g.out_elements,
        "runs": runs,
        "run_tiles": runs * tiled(np.maximum(g.inner, 1), 64),
        "in_bytes": g.in_bytes,
        "out_bytes": g.out_bytes,
        "bytes_beyond_cache": np.maximum(0.0, g.in_bytes + g.out_bytes - tiles["cache"]),
    }


def _binary_sizes(g: Geometry, tiles: Tiles) -> Table:
    return {
        "elements": g.out_elements,
        "channels": g.inner,
        "same_shape": (g.broadcast == 0).astype(float),
        "per_channel": (g.broadcast == 2).astype(float),
        "scalar": (g.broadcast == 1).astype(float),
        "stored_operand": (g.inputs == 1).astype(float),
        "activation": (g.activation > 0).astype(float),
        "total_bytes": g.in_bytes + g.out_bytes,
    }


def _unary_costs(g: Geometry, tiles: Tiles) -> Table:
    return {
        "elements": g.out_elements,
        "total_bytes": g.in_bytes + g.out_bytes,
        "bytes_beyond_cache": np.maximum(0.0, g.in_bytes + g.out_bytes - tiles["cache"]),
    }


def _unary_sizes(g: Geometry, tiles: Tiles) -> Table:
    return {"elements": g.out_elements, "total_bytes": g.in_bytes + g.out_bytes, "channels": g.inner}


def _softmax_costs(g: Geometry, tiles: Tiles) -> Table:
    return {"elements": g.out_elements, "rows": g.out_elements / np.maximum(g.inner, 1)}


def _softmax_sizes(g: Geometry, tiles: Tiles) -> Table:
    return {
        "elements": g.out_elements,
        "row_length": g.inner,
        "rows": g.out_elements / np.maximum(g.inner, 1),
    }


def _pool_costs(g: Geometry, tiles: Tiles) -> Table:
    pixels, taps = _pixels(g), g.kernel_height * g.kernel_width
    calls = tiled(g.out_channels, tiles["out_channels"]) * pixels
    return {
        "pixels": pixels,
        "pixel_taps": pixels * taps,
        "tiles": calls,
        "tile_taps": calls * taps,
        "in_bytes": g.in_bytes,
        "out_bytes": g.out_bytes,
        "bytes_beyond_cache": np.maximum(0.0, g.in_bytes + g.out_bytes - tiles["cache"]),
    }


def _pool_sizes(g: Geometry, tiles: Tiles) -> Table:
    return {
        "channels": g.out_channels,
        "pixels": _pixels(g),
        "kernel_taps": g.kernel_height * g.kernel_width,
        "stride": g.stride_height * g.stride_width,
        "same_padding": g.same_padding,
        "non_overlapping": ((g.kernel_height == g.stride_height) & (g.kernel_width == g.stride_width)).astype(
            float
        ),
        "in_bytes": g.in_bytes,
    }


def _reduce_costs(g: Geometry, tiles: Tiles) -> Table:
    rows = g.in_elements / np.maximum(g.inner, 1)
    return {
        "elements": g.in_elements,
        "tiles": rows * tiled(g.inner, tiles["inner"]),
        "rows": rows,
        "out_bytes": g.out_bytes,
        "bytes_beyond_cache": np.maximum(0.0, g.in_bytes - tiles["cache"]),
    }


def _reduce_sizes(g: Geometry, tiles: Tiles) -> Table:
    return {
        "channels": g.inner,
        "pixels": g.in_height * g.in_width,
        "elements": g.in_elements,
        "keeps_channels": (g.out_channels == g.in_channels).astype(float),
        "in_bytes": g.in_bytes,
    }


def _copy_costs(g: Geometry, tiles: Tiles) -> Table:
    runs = g.out_elements / np.maximum(g.inner, 1)
    return {
        "elements": g.out_elements,
        "runs": runs * np.maximum(g.inputs, 1),
        "out_bytes": g.out_bytes,
        "inputs": g.inputs,
        "bytes_beyond_cache": np.maximum(0.0, g.in_bytes + g.out_bytes - tiles["cache"]),
    }


def _copy_sizes(g: Geometry, tiles: Tiles) -> Table:
    return {
        "inputs": g.inputs,
        "run_length": g.inner,
        "runs": g.out_elements / np.maximum(g.inner, 1),
        "out_bytes": g.out_bytes,
        "in_channels": g.in_channels,
    }


def _resize_costs(g: Geometry, tiles: Tiles) -> Table:
    pixels = _pixels(g)
    return {
        "pixels": pixels,
        "tiles": pixels * tiled(g.out_channels, tiles["out_channels"]),
        "rows": g.out_height,
        "in_bytes": g.in_bytes,
        "out_bytes": g.out_bytes,
    }


def _resize_sizes(g: Geometry, tiles: Tiles) -> Table:
    return {"channels": g.out_channels, "pixels": _pixels(g), "out_bytes": g.out_bytes}


def _recurrent_costs(g: Geometry, tiles: Tiles) -> Table:
    steps = g.out_elements / np.maximum(g.out_channels, 1)
    return {
        "steps": steps,
        "step_units": steps * g.out_channels,
        "macs": g.macs,
        "weight_bytes": g.weight_bytes,
        "step_tiles": steps * tiled(g.out_channels, tiles["out_channels"]),
    }


def _recurrent_sizes(g: Geometry, tiles: Tiles) -> Table:
    return {
        "units": g.out_channels,
        "features": g.in_channels,
        "steps": g.out_elements / np.maximum(g.out_channels, 1),
        "weight_bytes": g.weight_bytes,
    }


def _generic_costs(g: Geometry, tiles: Tiles) -> Table:
    return {
        "macs": g.macs,
        "total_bytes": g.in_bytes + g.out_bytes + g.weight_bytes,
        "elements": g.out_elements,
    }


def _generic_sizes(g: Geometry, tiles: Tiles) -> Table:
    return {"macs": g.macs, "elements": g.out_elements, "channels": g.out_channels, "pixels": _pixels(g)}


@dataclass(frozen=True)
class Family:
    """Operators that share features. `tiles` holds, per tiled axis, the sizes to choose from."""

    name: str
    ops: tuple[str, ...]
    costs: Callable[[Geometry, Tiles], Table]
    sizes: Callable[[Geometry, Tiles], Table]
    tiles: Mapping[str, tuple[int, ...]]


_WIDE: tuple[int, ...] = (1, 4, 8, 16, 24, 32, 48, 64)
_TALL: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 16)
_CACHE: dict[str, tuple[int, ...]] = {"cache": (2**18, 2**19, 2**20, 2**21, 2**22, 2**23)}

_BINARY_OPS = ("add", "mul", "sub", "div", "maximum", "minimum", "squared_difference", "pow", "prelu")
_COPY_OPS = ("concatenation", "reshape", "pad", "transpose", "strided_slice", "split", "gather", "slice")
_WIDE_TILES: Mapping[str, tuple[int, ...]] = {"out_channels": _WIDE} | _CACHE
_MATRIX_TILES: Mapping[str, tuple[int, ...]] = {"out_channels": _WIDE, "pixels": _TALL} | _CACHE

FAMILIES = (
    Family("convolution", ("conv_2d", "transpose_conv"), _conv_costs, _conv_sizes, _MATRIX_TILES),
    Family("depthwise", ("depthwise_conv_2d",), _depthwise_costs, _depthwise_sizes, _WIDE_TILES),
    Family("matrix", ("fully_connected", "batch_matmul"), _matrix_costs, _matrix_sizes, _MATRIX_TILES),
    Family("binary", _BINARY_OPS, _binary_costs, _binary_sizes, _CACHE),
    Family("softmax", ("softmax", "log_softmax"), _softmax_costs, _softmax_sizes, {}),
    Family("pooling", ("average_pool_2d", "max_pool_2d"), _pool_costs, _pool_sizes, _WIDE_TILES),
    Family(
        "reduction", ("mean", "sum", "reduce_max"), _reduce_costs, _reduce_sizes, {"inner": _WIDE} | _CACHE
    ),
    Family("copy", _COPY_OPS, _copy_costs, _copy_sizes, _CACHE),
    Family(
        "resize", ("resize_bilinear", "resize_nearest_neighbor"), _resize_costs, _resize_sizes, _WIDE_TILES
    ),
    Family("recurrent", ("unidirectional_sequence_lstm",), _recurrent_costs, _recurrent_sizes, _WIDE_TILES),
    Family("generic", (), _generic_costs, _generic_sizes, {}),
)

_UNARY = Family("unary", (), _unary_costs, _unary_sizes, _CACHE)
_UNARY_OPS = frozenset(
    {
        "relu", "relu6", "relu_n1_to_1", "relu_0_to_1", "logistic", "tanh", "hard_swish", "elu", "gelu", "exp", "log",
        "sqrt", "rsqrt", "square", "abs", "neg", "leaky_relu", "sin", "cos", "floor", "ceil", "round", "quantize",
        "dequantize", "cast",
    }
)  # fmt: skip
_BY_OP = {op: family for family in FAMILIES for op in family.ops}


def family_of(op: str) -> Family:
    """The family whose features describe `op`; operators of no family share the generic features."""
    if op in _UNARY_OPS:
        return _UNARY
    return _BY_OP.get(op, FAMILIES[-1])
