"""Features of devices that run many tiles at once, such as GPUs: what tables of layers are fitted with where it fits better.

*Waves* are rounds in which all units are busy; a convolution's input may be unfolded or Fourier-transformed.
"""

from __future__ import annotations

import numpy as np

from timemodel.features.table import Family, Geometry, Table, Tiles, tiled

_SIDE = 32
_TALL = 128
_WIDTHS = (32, 64, 128)
_WAVES = (8, 30, 120)
_ROW_TILES = (8, 16, 32, 64)
_WAVE_WIDTHS = (256, 512, 1024, 2048, 4096)
"""Tiles, and outputs, of one wave. How many units a device has, and how wide its tiles are, is not known: leaves take what fits."""


def _biased(g: Geometry) -> np.ndarray:
    return (g.parameters > g.out_channels * g.in_channels * g.kernel_height * g.kernel_width).astype(float)


def conv_costs(g: Geometry, tiles: Tiles) -> Table:
    """Costs of a convolution on a parallel device, arrays ``[n]`` by name."""
    outputs, product = g.pixels, g.products_per_output
    rows = tiled(outputs, _TALL)
    side = (g.in_height + g.kernel_height - 1) * (g.in_width + g.kernel_width - 1)
    images = g.batch * g.in_channels + g.batch * g.out_channels + g.in_channels * g.out_channels
    costs = {"macs": g.macs, "macs_by_8_products": outputs * g.out_channels * tiled(product, 8) * 8}
    for wide in _WIDTHS:
        costs[f"macs_by_{wide}_channels"] = rows * _TALL * product * tiled(g.out_channels, wide) * wide
    blocks = rows * tiled(g.out_channels, 2 * _SIDE)
    for wave in _WAVES:
        costs[f"wave_{wave}_tiles_products"] = tiled(blocks, wave) * product
    return costs | {
        "products_per_output": product,
        "unfolded": outputs * product,
        "transformed": images * side * np.log2(side + 1),
        "transform_products": g.batch * g.in_channels * g.out_channels * side,
        **g.table("in_bytes", "out_bytes", "weight_bytes"),
        "bias_elements": _biased(g) * g.out_elements,
        "activated_elements": (g.activation > 0) * g.out_elements,
        "padded_elements": g.same_padding * (g.kernel_taps > 1) * g.in_elements,
    }


def conv_sizes(g: Geometry, tiles: Tiles) -> Table:
    """Sizes of a convolution on a parallel device, arrays ``[n]`` by name."""
    return {
        **g.table("out_channels", "in_channels", "batch", "pixels", "out_width", "in_width", "kernel_taps"),
        **g.table("products_per_output", "stride", "same_padding", "macs"),
        "blocks": tiled(g.pixels, _TALL) * tiled(g.out_channels, _SIDE),
        **g.table("in_bytes", "out_bytes", "weight_bytes"),
        "channel_products": g.in_channels * g.out_channels,
        "activation": g.activation,
    }


def matrix_costs(g: Geometry, tiles: Tiles) -> Table:
    """Costs of a product of matrices on a parallel device, arrays ``[n]`` by name."""
    costs = {"macs": g.macs}
    for tall in _ROW_TILES:
        costs[f"macs_by_{tall}_rows"] = tiled(g.pixels, tall) * tall * g.in_channels * g.out_channels
    for wave in _WAVE_WIDTHS:
        costs[f"wave_{wave}_products"] = tiled(g.out_channels, wave) * g.in_channels
    return costs | {
        "products_per_output": g.in_channels,
        "outputs": g.out_channels,
        **g.table("in_bytes", "out_bytes", "weight_bytes"),
        "activated_elements": (g.activation > 0) * g.out_elements,
    }


def matrix_sizes(g: Geometry, tiles: Tiles) -> Table:
    """Sizes of a product of matrices on a parallel device, arrays ``[n]`` by name."""
    return {
        **g.table("out_channels", "in_channels"),
        "rows": g.pixels,
        "macs": g.macs,
        "blocks": tiled(g.out_channels, _SIDE) * tiled(g.pixels, _SIDE),
        **g.table("in_bytes", "out_bytes", "weight_bytes", "activation"),
    }


UNITS: dict[str, tuple[float, str]] = {
    "products_per_output": (1e3, "thousand products per output"),
    "unfolded": (1e6, "million unfolded inputs"),
    "transformed": (1e6, "million transformed inputs (Fourier)"),
    "transform_products": (1e6, "million products of transforms (Fourier)"),
    "macs_by_8_products": (1e6, "million MACs (products in eights)"),
    "bias_elements": (1e6, "million elements with bias"),
    "activated_elements": (1e6, "million elements with activation"),
    "padded_elements": (1e6, "million padded inputs"),
    "outputs": (1e3, "thousand outputs"),
    **{f"macs_by_{n}_channels": (1e6, f"million MACs (in tiles of {n} channels)") for n in _WIDTHS},
    **{f"macs_by_{n}_rows": (1e6, f"million MACs (in tiles of {n} rows)") for n in _ROW_TILES},
    **{f"wave_{n}_tiles_products": (1e3, f"thousand products in waves of {n} tiles") for n in _WAVES},
    **{f"wave_{n}_products": (1e3, f"thousand products in waves of {n} outputs") for n in _WAVE_WIDTHS},
}
"""How costs are reported: in how many at a time, and their words."""

PARALLEL_FAMILIES = {
    "conv_2d": Family("parallel convolution", conv_costs, conv_sizes, {}),
    "fully_connected": Family("parallel matrix", matrix_costs, matrix_sizes, {}),
}


def parallel_family(op: str) -> Family | None:
    """The family that describes `op` on a device that works many tiles at once; None where the usual one does."""
    return PARALLEL_FAMILIES.get(op)
