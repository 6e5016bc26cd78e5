"""Features of accelerators whose cost is worked out: blocks of work in each direction, and the longer of computing and moving data.

How large blocks are and how many products a byte is worth on a device are found by fitting, as tiles are.
"""

from __future__ import annotations

import numpy as np

from timemodel.features.table import Family, Geometry, Table, Tiles, tiled

BLOCKS = {
    "out_channels": (1, 4, 8, 16, 32),
    "in_channels": (1, 4, 8, 16, 32),
    "map": (1, 2, 4, 8),
    "macs_per_byte": (4, 16, 64, 256),
}
_WIDEST_STRIDE = 3
"""Larger steps are not made by hardware."""
FAST = {"fast": (2**17, 2**18, 3 * 2**17, 2**19, 2**20, 2**40)}
"""Bytes of the memory that activations stay in where they fit; the last one is without bound."""


def _blocked(size: np.ndarray, block: int) -> np.ndarray:
    return tiled(size, block) * block


def spread_taps(g: Geometry) -> np.ndarray:
    """Taps of a kernel with the holes that dilation makes; every second hole is free."""
    height = (g.kernel_height - 1) * np.ceil(g.dilation_height / 2) + 1
    width = (g.kernel_width - 1) * np.ceil(g.dilation_width / 2) + 1
    return height * width


def _longer(macs: np.ndarray, nbytes: np.ndarray, tiles: Tiles) -> np.ndarray:
    return np.maximum(macs / tiles["macs_per_byte"], nbytes)


def alive_bytes(g: Geometry) -> np.ndarray:
    """Bytes of the activations that are kept while a layer runs, its own included."""
    return g.in_bytes + g.out_bytes + g.beside_bytes


def spilled(g: Geometry, tiles: Tiles) -> Table:
    """Bytes of a layer's activations where not all that is alive fits in fast memory."""
    beyond = alive_bytes(g) > tiles["fast"]
    return {"spilled_in_bytes": g.in_bytes * beyond, "spilled_out_bytes": g.out_bytes * beyond}


def _streamed(g: Geometry, tiles: Tiles) -> np.ndarray:
    """Bytes of weights where each block of the map reads them anew."""
    return g.weight_bytes * g.batch * tiled(g.out_height, tiles["map"]) * tiled(g.out_width, tiles["map"])


def _pixels_read(g: Geometry) -> np.ndarray:
    """Pieces of 16 channels that are read, a pixel with fewer being one of them."""
    return g.batch * g.in_height * g.in_width * tiled(g.in_channels, 16)


def conv_costs(g: Geometry, tiles: Tiles) -> Table:
    """Costs of a convolution, arrays ``[n]`` by name."""
    wide, deep = (
        _blocked(g.out_channels, tiles["out_channels"]),
        _blocked(g.in_channels, tiles["in_channels"]),
    )
    pixels = g.batch * _blocked(g.out_height, tiles["map"]) * _blocked(g.out_width, tiles["map"])
    macs, moved = pixels * wide * deep * spread_taps(g), g.in_bytes + g.out_bytes + g.weight_bytes
    return {
        "blocked_macs": macs,
        "blocked_outputs": pixels * wide,
        "unblocked_macs": g.pixels * wide * deep * spread_taps(g),
        "longer": _longer(macs, moved, tiles),
        "input_per_width": g.in_bytes * tiled(g.out_channels, tiles["out_channels"]),
        "weights_streamed": _streamed(g, tiles),
        "longer_stream": _longer(macs, _streamed(g, tiles), tiles),
        "pixels_read": _pixels_read(g),
        "wide_stride_macs": g.macs * (g.stride_height > _WIDEST_STRIDE),
        "taps_read": g.pixels * spread_taps(g) * tiled(g.in_channels, 16),
        **spilled(g, tiles),
        **g.table("in_bytes", "out_bytes", "weight_bytes"),
    }


def conv_sizes(g: Geometry, tiles: Tiles) -> Table:
    """Sizes of a convolution, arrays ``[n]`` by name."""
    return {
        **g.table(
            "out_channels", "in_channels", "pixels", "out_width", "kernel_taps", "kernel_height", "stride"
        ),
        **g.table("products_per_output", "dilation", "weight_bytes", "in_bytes", "out_bytes"),
        "macs_per_byte": g.macs / np.maximum(g.in_bytes + g.out_bytes + g.weight_bytes, 1),
        "table": (g.activation >= 4).astype(float),
        "alive_bytes": alive_bytes(g),
        "same_padding": g.same_padding,
    }


def depthwise_costs(g: Geometry, tiles: Tiles) -> Table:
    """Costs of a depthwise convolution, arrays ``[n]`` by name."""
    wide = _blocked(g.out_channels, tiles["out_channels"])
    pixels = g.batch * _blocked(g.out_height, tiles["map"]) * _blocked(g.out_width, tiles["map"])
    taps, moved = spread_taps(g), g.in_bytes + g.out_bytes + g.weight_bytes
    return {
        "blocked_macs": pixels * wide * taps,
        "blocked_outputs": pixels * wide,
        "taps_in_fours": pixels * wide * tiled(taps, 4),
        "longer": _longer(pixels * wide * taps, moved, tiles),
        "weights_streamed": _streamed(g, tiles),
        "rows": g.batch * g.out_height,
        **spilled(g, tiles),
        **g.table("in_bytes", "out_bytes", "weight_bytes"),
    }


def matrix_costs(g: Geometry, tiles: Tiles) -> Table:
    """Costs of a product with a matrix, arrays ``[n]`` by name."""
    wide, deep = (
        _blocked(g.out_channels, tiles["out_channels"]),
        _blocked(g.in_channels, tiles["in_channels"]),
    )
    macs = _blocked(g.pixels, tiles["map"]) * wide * deep
    return {
        "blocked_macs": macs,
        "blocked_outputs": _blocked(g.pixels, tiles["map"]) * wide,
        "unblocked_macs": g.pixels * wide * deep,
        "longer": _longer(macs, g.in_bytes + g.out_bytes + g.weight_bytes, tiles),
        **spilled(g, tiles),
        **g.table("in_bytes", "out_bytes", "weight_bytes"),
    }


def matrix_sizes(g: Geometry, tiles: Tiles) -> Table:
    """Sizes of a product with a matrix, arrays ``[n]`` by name."""
    return {
        **g.table("out_channels", "in_channels", "weight_bytes", "in_bytes"),
        "rows": g.pixels,
        "table": (g.activation >= 4).astype(float),
        "alive_bytes": alive_bytes(g),
    }


def binary_costs(g: Geometry, tiles: Tiles) -> Table:
    """Costs of an operator of two operands, arrays ``[n]`` by name: repeating one of them has a price of its own."""
    padded = g.out_elements / np.maximum(g.inner, 1) * _blocked(g.inner, 16)
    return {
        "elements": g.out_elements,
        "blocked_elements": padded,
        "elements_per_channel": padded * (g.broadcast == 2),
        "elements_per_stored": padded * (g.broadcast == 2) * (g.inputs == 1),
        "elements_elsewhere": padded * (g.broadcast >= 3),
        **spilled(g, tiles),
        **g.table("in_bytes", "out_bytes"),
    }


def binary_sizes(g: Geometry, tiles: Tiles) -> Table:
    """Sizes of an operator of two operands, arrays ``[n]`` by name."""
    return {
        "elements": g.out_elements,
        "channels": g.inner,
        "broadcast": g.broadcast,
        "stored_operand": (g.inputs == 1).astype(float),
        "activation": g.activation,
        "total_bytes": g.total_bytes,
        "alive_bytes": alive_bytes(g),
    }


def other_costs(g: Geometry, tiles: Tiles) -> Table:
    """Costs of an operator of one operand, arrays ``[n]`` by name."""
    runs = np.maximum(g.inner, 1)
    return {
        "elements": g.elements,
        "blocked_elements": g.out_elements / runs * _blocked(g.inner, 16),
        **spilled(g, tiles),
        **g.table("in_bytes", "out_bytes"),
    }


def other_sizes(g: Geometry, tiles: Tiles) -> Table:
    """Sizes of an operator of one operand, arrays ``[n]`` by name."""
    return {"elements": g.elements, "channels": g.inner, "alive_bytes": alive_bytes(g)}


UNITS: dict[str, tuple[float, str]] = {
    "blocked_macs": (1e6, "million MACs (in whole blocks)"),
    "unblocked_macs": (1e6, "million MACs (in whole blocks of channels)"),
    "blocked_outputs": (1e6, "million outputs (in whole blocks)"),
    "taps_in_fours": (1e6, "million groups of four taps"),
    "longer": (1e6, "million bytes, or products that take as long"),
    "input_per_width": (1e6, "million input bytes per block of output channels"),
    "weights_streamed": (1e6, "million weight bytes, read anew for each block of the map"),
    "longer_stream": (1e6, "million streamed weight bytes, or products that take as long"),
    "pixels_read": (1e6, "million pieces of 16 input channels"),
    "taps_read": (1e6, "million pieces of 16 input channels per tap"),
    "spilled_in_bytes": (1e6, "million input bytes from external memory"),
    "spilled_out_bytes": (1e6, "million output bytes to external memory"),
    "blocked_elements": (1e6, "million elements (in whole blocks of 16 channels)"),
    "elements_per_channel": (1e6, "million elements with one value per channel"),
    "elements_per_stored": (1e6, "million elements with one stored value per channel"),
    "wide_stride_macs": (1e6, "million MACs with strides of more than 3"),
    "elements_elsewhere": (1e6, "million elements with an operand repeated otherwise"),
}
"""How costs are reported: in how many at a time, and their words."""

_DEPTHWISE = {axis: sizes for axis, sizes in BLOCKS.items() if axis != "in_channels"}
ACCELERATOR_FAMILIES = {
    "convolution": Family("accelerator convolution", conv_costs, conv_sizes, BLOCKS | FAST),
    "depthwise": Family("accelerator depthwise", depthwise_costs, conv_sizes, _DEPTHWISE | FAST),
    "matrix": Family("accelerator matrix", matrix_costs, matrix_sizes, BLOCKS | FAST),
    "binary": Family("accelerator binary", binary_costs, binary_sizes, FAST),
    "unary": Family("unary", other_costs, other_sizes, FAST),
}
"""By the name of the family that describes the same operators on processors."""
