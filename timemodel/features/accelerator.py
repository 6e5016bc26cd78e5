"""Features of accelerators whose cost is worked out: blocks of work in each direction, and the longer of computing and moving data.

How large blocks are and how many products a byte is worth on a device are found by fitting, as tiles are.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from timemodel.features.blocks import folded, least_fetched, positions, spread_taps, steps, used_inputs
from timemodel.features.table import Family, Geometry, Table, Tiles, tiled

BLOCKS = {
    "out_channels": (1, 4, 8, 16, 32),
    "in_channels": (1, 4, 8, 16, 32),
    "map": (1, 2, 4, 8),
    "buffer": (2**12, 3 * 2**11, 2**13, 3 * 2**12, 2**14, 3 * 2**13, 2**15, 3 * 2**14, 2**16),
    "least": (1, 8, 16, 32, 64),
    "rows": (1, 2),
    "holes": (1, 2),
}
"""Sizes of blocks, bytes of the buffer that they share with their inputs, how many positions must use a weight, in how many
dimensions of a block the rows of a matrix lie, and whether the holes of a dilated kernel are passed over (1) or worked on (2)."""
_WIDEST_STRIDE = 3
"""Larger steps are not made by hardware."""
INSIDE = {"inside": (1, 2)}
"""Whether no activation stays in fast memory (1), or those that were found to (2)."""


def _blocked(size: np.ndarray, block: int) -> np.ndarray:
    return tiled(size, block) * block


def outside(g: Geometry, tiles: Tiles) -> tuple[np.ndarray, np.ndarray]:
    """Bytes of a layer's inputs and of its outputs that lie in external memory."""
    if tiles["inside"] == 1:
        return g.in_bytes, g.out_bytes
    return g.outside_in_bytes, g.outside_out_bytes


def spilled(g: Geometry, tiles: Tiles) -> Table:
    """Bytes of a layer's activations that lie in external memory."""
    inputs, outputs = outside(g, tiles)
    return {"spilled_in_bytes": inputs, "spilled_out_bytes": outputs}


def _fetched(g: Geometry, tiles: Tiles, inputs: np.ndarray) -> Table:
    """What comes from external memory and goes there, where `inputs` bytes are read block by block."""
    outside_in, outside_out = outside(g, tiles)
    share = outside_in / np.maximum(g.in_bytes, 1)
    once = used_inputs(g)
    return {
        "used_inputs": once,
        "spilled_inputs": inputs * share,
        "spilled_once": once * share,
        "spilled_outputs": outside_out,
    }


def _streamed(g: Geometry, tiles: Tiles) -> np.ndarray:
    """Bytes of weights where each block of the map reads them anew."""
    return g.weight_bytes * g.batch * tiled(g.out_height, tiles["map"]) * tiled(g.out_width, tiles["map"])


def _pixels_read(g: Geometry) -> np.ndarray:
    """Pieces of 16 channels that are read, a pixel with fewer being one of them."""
    return g.batch * g.in_height * g.in_width * tiled(g.in_channels, 16)


def conv_costs(g: Geometry, tiles: Tiles) -> Table:
    """Costs of a convolution, arrays ``[n]`` by name."""
    wide = _blocked(g.out_channels, tiles["out_channels"])
    pixels, blocks = (
        positions(g, tiles["map"], tiles["rows"] > 1),
        least_fetched(g, tiles["buffer"], deep=True),
    )
    # Weights come no faster than so many positions use them.
    waits = np.maximum(1.0, tiles["least"] / blocks.positions(tiles["map"]))
    # Steps wider than hardware makes are taken one output position at a time.
    apart = g.stride_height > _WIDEST_STRIDE
    used = np.where(apart, g.pixels * max(tiles["least"], tiles["map"] ** 2), pixels * waits)
    weights = np.where(apart, g.weight_bytes * g.pixels, blocks.weights)
    return {
        "waiting_macs": used * wide * steps(g, tiles["holes"] > 1),
        "blocked_macs": pixels
        * wide
        * _blocked(g.in_channels, tiles["in_channels"])
        * spread_taps(g, tiles["holes"] > 1),
        **_outputs(g, pixels * wide),
        "fetched_inputs": blocks.inputs,
        "fetched_weights": weights,
        "repeated_weights": weights * apart,
        "pieces_fetched": blocks.inputs / np.clip(_blocked(g.in_channels, 8), 8, 32),
        **_fetched(g, tiles, blocks.inputs),
        **g.table("macs", "in_bytes", "out_bytes", "out_channels", "weight_bytes"),
        "stored_outputs": g.pixels * _blocked(g.out_channels, 16),
    }


def _outputs(g: Geometry, blocked: np.ndarray) -> Table:
    return {"blocked_outputs": blocked, "table_outputs": blocked * (g.activation >= 4)}


CONVOLUTION_PARTS = {
    "computing": ("waiting_macs", "blocked_macs", "macs", "blocked_outputs"),
    "outputs": ("blocked_outputs", "table_outputs"),
    "fast memory": ("fetched_inputs", "fetched_weights", "stored_outputs"),
    "external memory": ("weight_bytes", "out_channels", "spilled_once", "spilled_outputs"),
    "maps from outside": ("spilled_once", "spilled_outputs"),
    "maps from outside, block by block": ("spilled_inputs", "spilled_outputs"),
    "weights from outside": ("fetched_weights", "out_channels"),
    "weights for each position": ("repeated_weights",),
    "weights before computing": ("weight_bytes", "waiting_macs", "out_channels"),
}
_INPUT = {"the network's input": ("pieces_fetched", "weight_bytes")}


def conv_sizes(g: Geometry, tiles: Tiles) -> Table:
    """Sizes of a convolution, arrays ``[n]`` by name."""
    blocks = least_fetched(g, tiles["buffer"], deep=True)
    return {
        **g.table(
            "out_channels", "in_channels", "pixels", "out_width", "kernel_taps", "kernel_height", "stride"
        ),
        **g.table("products_per_output", "dilation", "weight_bytes", "in_bytes", "out_bytes"),
        "macs_per_byte": g.macs / np.maximum(blocks.inputs + blocks.weights + g.out_bytes, 1),
        "table": (g.activation >= 4).astype(float),
        "outside_bytes": g.outside_in_bytes + g.outside_out_bytes,
        "same_padding": g.same_padding,
    }


def depthwise_sizes(g: Geometry, tiles: Tiles) -> Table:
    """Sizes of a depthwise convolution, arrays ``[n]`` by name."""
    return {
        **g.table("out_channels", "pixels", "out_width", "kernel_taps", "kernel_height", "stride"),
        **g.table("dilation", "weight_bytes", "in_bytes", "out_bytes"),
        "macs_per_byte": g.macs / np.maximum(g.in_bytes + g.out_bytes + g.weight_bytes, 1),
        "table": (g.activation >= 4).astype(float),
        "outside_bytes": g.outside_in_bytes + g.outside_out_bytes,
        "same_padding": g.same_padding,
    }


def depthwise_costs(g: Geometry, tiles: Tiles) -> Table:
    """Costs of a depthwise convolution, or of pooling, arrays ``[n]`` by name."""
    wide = _blocked(g.out_channels, tiles["out_channels"])
    pixels, blocks = (
        positions(g, tiles["map"], tiles["rows"] > 1),
        least_fetched(g, tiles["buffer"], deep=False),
    )
    seen = spread_taps(g, tiles["holes"] > 1)
    taps = 4 * tiled(seen, 4)
    return {
        "blocked_macs": pixels * wide * seen,
        "waiting_macs": pixels
        * wide
        * taps
        * np.maximum(1.0, tiles["least"] / blocks.positions(tiles["map"])),
        **_outputs(g, pixels * wide),
        "fetched_inputs": blocks.inputs,
        "fetched_weights": blocks.weights,
        "repeated_weights": np.zeros(len(pixels)),
        "pieces_fetched": blocks.inputs / np.clip(_blocked(g.out_channels, 8), 8, 32),
        **_fetched(g, tiles, blocks.inputs),
        **g.table("macs", "in_bytes", "out_bytes", "out_channels", "weight_bytes"),
        "stored_outputs": g.pixels * _blocked(g.out_channels, 16),
    }


def matrix_costs(g: Geometry, tiles: Tiles) -> Table:
    """Costs of a product with a matrix, arrays ``[n]`` by name; of two computed operands it may be made by columns."""
    costs = conv_costs(folded(g) if tiles["rows"] > 1 else g, tiles)
    return {**costs, "column_macs": g.pixels * g.out_channels * _blocked(g.in_channels, 16)}


MATRIX_PARTS = {**CONVOLUTION_PARTS, "columns": ("column_macs", "blocked_outputs", "macs")}


def matrix_sizes(g: Geometry, tiles: Tiles) -> Table:
    """Sizes of a product with a matrix, arrays ``[n]`` by name."""
    return {
        **g.table("out_channels", "in_channels", "weight_bytes", "in_bytes"),
        "rows": g.pixels,
        "table": (g.activation >= 4).astype(float),
        "outside_bytes": g.outside_in_bytes + g.outside_out_bytes,
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
        "pieces_read": g.out_elements / np.maximum(g.inner, 1) * tiled(g.inner, 16),
        **spilled(g, tiles),
        **g.table("in_bytes", "out_bytes"),
    }


BINARY_PARTS = {
    "computing": ("blocked_elements", "elements_per_channel", "elements_per_stored", "elements_elsewhere"),
    "fast memory": ("blocked_elements", "in_bytes", "out_bytes"),
    "external memory": ("spilled_out_bytes", "spilled_in_bytes", "in_bytes"),
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
        "outside_bytes": g.outside_in_bytes + g.outside_out_bytes,
    }


def pool_sizes(g: Geometry, tiles: Tiles) -> Table:
    """Sizes of pooling, arrays ``[n]`` by name."""
    return {
        **g.table("channels", "pixels", "kernel_taps", "stride", "same_padding", "in_bytes", "out_bytes"),
        "outside_bytes": g.outside_in_bytes + g.outside_out_bytes,
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
    return {
        "elements": g.elements,
        "channels": g.inner,
        "outside_bytes": g.outside_in_bytes + g.outside_out_bytes,
    }


UNITS: dict[str, tuple[float, str]] = {
    "waiting_macs": (1e6, "million MACs (in whole steps)"),
    "blocked_macs": (1e6, "million MACs (in whole blocks)"),
    "column_macs": (1e6, "million MACs (column by column)"),
    "blocked_outputs": (1e6, "million outputs (in whole blocks)"),
    "table_outputs": (1e6, "million outputs looked up in a table"),
    "stored_outputs": (1e6, "million outputs (in whole blocks of 16 channels)"),
    "fetched_inputs": (1e6, "MB of inputs read, block by block"),
    "fetched_weights": (1e6, "MB of weights read, block by block"),
    "repeated_weights": (1e6, "MB of weights read for one position at a time"),
    "pieces_read": (1e6, "million pieces of up to 16 channels read"),
    "pieces_fetched": (1e6, "million pieces of up to 32 channels read"),
    "spilled_inputs": (1e6, "MB of inputs that spilled to external memory"),
    "used_inputs": (1e6, "MB of inputs that some output sees"),
    "spilled_once": (1e6, "MB of inputs that some output sees, from external memory"),
    "spilled_outputs": (1e6, "MB of outputs that spilled to external memory"),
    "spilled_in_bytes": (1e6, "MB of inputs that spilled to external memory"),
    "spilled_out_bytes": (1e6, "MB of outputs that spilled to external memory"),
    "out_channels": (1e3, "thousand output channels"),
    "blocked_elements": (1e6, "million elements (in whole blocks of 16 channels)"),
    "elements_per_channel": (1e6, "million elements with one value per channel"),
    "elements_per_stored": (1e6, "million elements with one stored value per channel"),
    "elements_elsewhere": (1e6, "million elements with an operand repeated otherwise"),
}
"""How costs are reported: in how many at a time, and their words."""

ACCELERATOR_FAMILIES = {
    "convolution": Family(
        "accelerator convolution", conv_costs, conv_sizes, BLOCKS | INSIDE, CONVOLUTION_PARTS
    ),
    "depthwise": Family(
        "accelerator depthwise", depthwise_costs, depthwise_sizes, BLOCKS | INSIDE, CONVOLUTION_PARTS
    ),
    "pooling": Family("accelerator pooling", depthwise_costs, pool_sizes, BLOCKS | INSIDE, CONVOLUTION_PARTS),
    "matrix": Family("accelerator matrix", matrix_costs, matrix_sizes, BLOCKS | INSIDE, MATRIX_PARTS),
    "binary": Family("accelerator binary", binary_costs, binary_sizes, INSIDE, BINARY_PARTS),
    "unary": Family("unary", other_costs, other_sizes, INSIDE),
}
"""By the name of the family that describes the same operators on processors."""
_BY_PIECES = {
    **dict.fromkeys(("convolution", "depthwise", "pooling", "matrix"), _INPUT),
    "binary": {"the network's input": ("pieces_read", "in_bytes")},
}
INPUT_FAMILIES = {
    name: replace(family, parts={**family.parts, **_BY_PIECES.get(name, {})})
    for name, family in ACCELERATOR_FAMILIES.items()
}
"""The same for layers that read the network's input: that lies in memory pixel by pixel, and each piece of one is a transfer."""
