"""Features of what multiplies: convolutions, depthwise convolutions, and products of matrices."""

from __future__ import annotations

from timemodel.features.table import Geometry, Table, Tiles, beyond, tiled


def conv_costs(g: Geometry, tiles: Tiles) -> Table:
    """Costs of a convolution, arrays ``[n]`` by name."""
    wide, tall, taps = tiles["out_channels"], tiles["pixels"], g.kernel_taps
    rows = tiled(g.pixels, tall)
    calls = tiled(g.out_channels, wide) * rows
    half = tiled(g.out_channels, max(1, wide // 2)) * rows
    return {
        "tiles": calls,
        "tile_taps": calls * taps,
        "tiled_macs": calls * wide * tall * taps * g.in_channels,
        "half_tiled_macs": half * wide * tall / 2 * taps * g.in_channels,
        "pixel_tiles": rows,
        **g.table("in_bytes", "out_bytes", "weight_bytes"),
        **beyond(g.total_bytes, tiles, "data_"),
        **beyond(g.weight_bytes, tiles, "weight_"),
    }


def conv_sizes(g: Geometry, tiles: Tiles) -> Table:
    """Sizes of a convolution, arrays ``[n]`` by name."""
    single = (g.kernel_taps == 1) & (g.stride_height == 1) & (g.stride_width == 1)
    return {
        "out_channels": g.out_channels,
        "out_channel_half_tiles": tiled(g.out_channels, max(1, tiles["out_channels"] // 2)),
        **g.table("in_channels", "pixels", "kernel_taps", "products_per_output", "stride", "dilation"),
        **g.table("weight_bytes", "in_bytes", "out_bytes"),
        "pointwise": single.astype(float),
        "activation": g.activation,
    }


def depthwise_costs(g: Geometry, tiles: Tiles) -> Table:
    """Costs of a depthwise convolution, arrays ``[n]`` by name."""
    outputs, taps = g.pixels, g.kernel_taps
    calls = tiled(g.out_channels, tiles["out_channels"]) * outputs
    return {
        "pixels": outputs,
        "pixel_taps": outputs * taps,
        "tiles": calls,
        "tile_taps": calls * taps,
        "macs": g.macs,
        "channels": g.out_channels,
        "rows": g.batch * g.out_height,
        **g.table("in_bytes", "out_bytes", "weight_bytes"),
        **beyond(g.total_bytes, tiles, "data_"),
    }


def depthwise_sizes(g: Geometry, tiles: Tiles) -> Table:
    """Sizes of a depthwise convolution, arrays ``[n]`` by name."""
    return {
        **g.table("channels", "pixels", "out_width", "kernel_taps", "kernel_height", "kernel_width"),
        **g.table("stride", "dilation"),
        **g.table("in_bytes", "out_bytes", "weight_bytes", "activation"),
    }


def matrix_costs(g: Geometry, tiles: Tiles) -> Table:
    """Costs of a product with a matrix, arrays ``[n]`` by name."""
    wide, tall = tiles["out_channels"], tiles["pixels"]
    rows = tiled(g.pixels, tall)
    calls = tiled(g.out_channels, wide) * rows
    half = tiled(g.out_channels, max(1, wide // 2)) * rows
    return {
        "tiles": calls,
        "half_tiled_macs": half * wide * tall / 2 * g.in_channels,
        "tiled_macs": calls * wide * tall * g.in_channels,
        **g.table("in_bytes", "out_bytes", "weight_bytes"),
        **beyond(g.weight_bytes, tiles, "weight_"),
    }


def matrix_sizes(g: Geometry, tiles: Tiles) -> Table:
    """Sizes of a product with a matrix, arrays ``[n]`` by name."""
    return {
        **g.table("out_channels", "in_channels"),
        "out_channel_half_tiles": tiled(g.out_channels, max(1, tiles["out_channels"] // 2)),
        "rows": g.pixels,
        **g.table("weight_bytes", "in_bytes", "activation"),
    }
