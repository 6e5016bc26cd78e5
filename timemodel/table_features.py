"""Features of devices that run many tiles at once, such as GPUs: what tables of layers are fitted with where it fits better.

A GPU works a convolution or a product of matrices off in tiles of its result, as many at a time as it has room for, and takes
one of several algorithms by the layer's sizes. So beside multiplications in whole tiles there are *waves* (rounds in which all
units are busy), the length of a dot product (what one tile takes on its own), the unfolded input of a convolution, and the
work of a convolution by Fourier transform.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from timemodel.feature_table import Family, Geometry, Table, Tiles, pixels, tiled

_SIDE = 32
_TALL = 128
_BYTES = 4.0


def _biased(g: Geometry) -> np.ndarray:
    return (g.parameters > g.out_channels * g.in_channels * g.kernel_height * g.kernel_width).astype(float)


def conv_costs(g: Geometry, tiles: Tiles) -> Table:
    """Costs of a convolution on a parallel device, arrays ``[n]`` by name."""
    wide, waves = tiles["out_channels"], tiles["wave"]
    outputs, taps = pixels(g), g.kernel_height * g.kernel_width
    product = taps * g.in_channels
    rows = tiled(outputs, _TALL)
    blocks = rows * tiled(g.out_channels, wide)
    whole = rows * _TALL * product
    side = (g.in_height + g.kernel_height - 1) * (g.in_width + g.kernel_width - 1)
    images = g.batch * g.in_channels + g.batch * g.out_channels + g.in_channels * g.out_channels
    return {
        "macs": g.macs,
        "tiled_macs": whole * tiled(g.out_channels, wide) * wide,
        "narrow_tiled_macs": whole * tiled(g.out_channels, _SIDE) * _SIDE,
        "wave_products": tiled(blocks, waves) * product,
        "products_per_output": product,
        "unfolded": outputs * product,
        "transformed": images * side * np.log2(side + 1),
        "transform_products": g.batch * g.in_channels * g.out_channels * side,
        "in_bytes": g.in_bytes,
        "out_bytes": g.out_bytes,
        "weight_bytes": g.weight_bytes,
        "bias_elements": _biased(g) * g.out_elements,
        "activated_elements": (g.activation > 0) * g.out_elements,
        "padded_elements": g.same_padding * (taps > 1) * g.in_elements,
    }


def conv_sizes(g: Geometry, tiles: Tiles) -> Table:
    """Sizes of a convolution on a parallel device, arrays ``[n]`` by name."""
    outputs, taps = pixels(g), g.kernel_height * g.kernel_width
    blocks = tiled(outputs, _TALL) * tiled(g.out_channels, tiles["out_channels"])
    return {
        "out_channels": g.out_channels,
        "in_channels": g.in_channels,
        "batch": g.batch,
        "pixels": outputs,
        "out_width": g.out_width,
        "in_width": g.in_width,
        "kernel_taps": taps,
        "products_per_output": taps * g.in_channels,
        "stride": g.stride_height * g.stride_width,
        "same_padding": g.same_padding,
        "macs": g.macs,
        "blocks": blocks,
        "in_bytes": g.in_bytes,
        "out_bytes": g.out_bytes,
        "weight_bytes": g.weight_bytes,
        "channel_products": g.in_channels * g.out_channels,
        "activation": g.activation,
    }


def matrix_costs(g: Geometry, tiles: Tiles) -> Table:
    """Costs of a product of matrices on a parallel device, arrays ``[n]`` by name."""
    wide, tall, waves = tiles["out_channels"], tiles["rows"], tiles["wave"]
    rows = g.batch * g.out_height * g.out_width
    blocks = tiled(g.out_channels, wide) * tiled(rows, tall)
    return {
        "macs": g.macs,
        "tiled_macs": blocks * wide * tall * g.in_channels,
        "wave_products": tiled(blocks, waves) * g.in_channels,
        "products_per_output": g.in_channels,
        "outputs": g.out_channels,
        "in_bytes": g.in_bytes,
        "out_bytes": g.out_bytes,
        "weight_bytes": g.weight_bytes,
        "activated_elements": (g.activation > 0) * g.out_elements,
    }


def matrix_sizes(g: Geometry, tiles: Tiles) -> Table:
    """Sizes of a product of matrices on a parallel device, arrays ``[n]`` by name."""
    rows = g.batch * g.out_height * g.out_width
    return {
        "out_channels": g.out_channels,
        "in_channels": g.in_channels,
        "rows": rows,
        "macs": g.macs,
        "blocks": tiled(g.out_channels, tiles["out_channels"]) * tiled(rows, tiles["rows"]),
        "in_bytes": g.in_bytes,
        "out_bytes": g.out_bytes,
        "weight_bytes": g.weight_bytes,
        "activation": g.activation,
    }


WAVES = (8, 16, 30, 60, 120)
CONV_TILES: Mapping[str, tuple[int, ...]] = {"out_channels": (32, 64, 128), "wave": WAVES}
MATRIX_TILES: Mapping[str, tuple[int, ...]] = {
    "out_channels": (32, 64, 128),
    "rows": (1, 8, 16, 32, 64),
    "wave": WAVES,
}

PARALLEL_FAMILIES = (
    Family("parallel convolution", ("conv_2d",), conv_costs, conv_sizes, CONV_TILES),
    Family("parallel matrix", ("fully_connected",), matrix_costs, matrix_sizes, MATRIX_TILES),
)


def parallel_family(op: str) -> Family | None:
    """The family that describes `op` on a device that works many tiles at once; None where the usual one does."""
    return next((family for family in PARALLEL_FAMILIES if op in family.ops), None)
