"""Features of what multiplies: convolutions, depthwise convolutions, and products of matrices."""

from __future__ import annotations

import numpy as np

from timemodel.features.table import Geometry, Table, Tiles, beyond, pixels, tiled


def conv_costs(g: Geometry, tiles: Tiles) -> Table:
    """Costs of a convolution, arrays ``[n]`` by name."""
    wide, tall = tiles["out_channels"], tiles["pixels"]
    outputs, taps = pixels(g), g.kernel_height * g.kernel_width
    columns, rows = tiled(g.out_channels, wide), tiled(outputs, tall)
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
        **beyond(g.in_bytes + g.out_bytes, tiles, "data_"),
        **beyond(g.weight_bytes, tiles, "weight_"),
    }


def conv_sizes(g: Geometry, tiles: Tiles) -> Table:
    """Sizes of a convolution, arrays ``[n]`` by name."""
    taps = g.kernel_height * g.kernel_width
    return {
        "out_channels": g.out_channels,
        "out_channel_half_tiles": tiled(g.out_channels, max(1, tiles["out_channels"] // 2)),
        "in_channels": g.in_channels,
        "pixels": pixels(g),
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


def depthwise_costs(g: Geometry, tiles: Tiles) -> Table:
    """Costs of a depthwise convolution, arrays ``[n]`` by name."""
    wide = tiles["out_channels"]
    outputs, taps = pixels(g), g.kernel_height * g.kernel_width
    calls = tiled(g.out_channels, wide) * outputs
    return {
        "pixels": outputs,
        "pixel_taps": outputs * taps,
        "tiles": calls,
        "tile_taps": calls * taps,
        "macs": g.macs,
        "channels": g.out_channels,
        "rows": g.batch * g.out_height,
        "in_bytes": g.in_bytes,
        "out_bytes": g.out_bytes,
        "weight_bytes": g.weight_bytes,
        **beyond(g.in_bytes + g.out_bytes, tiles, "data_"),
    }


def depthwise_sizes(g: Geometry, tiles: Tiles) -> Table:
    """Sizes of a depthwise convolution, arrays ``[n]`` by name."""
    return {
        "channels": g.out_channels,
        "pixels": pixels(g),
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


def matrix_costs(g: Geometry, tiles: Tiles) -> Table:
    """Costs of a product with a matrix, arrays ``[n]`` by name."""
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
        **beyond(g.weight_bytes, tiles, "weight_"),
    }


def matrix_sizes(g: Geometry, tiles: Tiles) -> Table:
    """Sizes of a product with a matrix, arrays ``[n]`` by name."""
    return {
        "out_channels": g.out_channels,
        "in_channels": g.in_channels,
        "out_channel_half_tiles": tiled(g.out_channels, max(1, tiles["out_channels"] // 2)),
        "rows": g.batch * g.out_height * g.out_width,
        "weight_bytes": g.weight_bytes,
        "in_bytes": g.in_bytes,
        "activation": g.activation,
    }
