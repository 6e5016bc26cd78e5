"""What time can depend on: readable features of a layer, by family of operators.

Leaves are linear in *costs* (work that takes time: padded multiply-accumulates, tiles, bytes, calls); inner nodes ask about
*sizes* (channels, pixels, kernel). Kernels work in tiles, whose sizes on a device are found by fitting.
"""

from __future__ import annotations

import numpy as np

from profiler.operators import operator
from timemodel.features.accelerator import ACCELERATOR_FAMILIES, INPUT_FAMILIES
from timemodel.features.kernels import AT_INPUT
from timemodel.features.parallel import parallel_family
from timemodel.features.products import (
    conv_costs,
    conv_sizes,
    depthwise_costs,
    depthwise_sizes,
    matrix_costs,
    matrix_sizes,
)
from timemodel.features.table import (
    CACHE,
    MATRIX_TILES,
    TALL,
    WIDE,
    WIDE_TILES,
    Family,
    Geometry,
    Table,
    Tiles,
    beyond,
    tiled,
)


def _binary_costs(g: Geometry, tiles: Tiles) -> Table:
    runs = np.where(g.broadcast == 2, g.runs, 1.0)
    return {
        "elements": g.out_elements,
        "runs": runs,
        "run_tiles": runs * tiled(np.maximum(g.inner, 1), 64),
        **g.table("in_bytes", "out_bytes"),
        **beyond(g.total_bytes, tiles),
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
        "total_bytes": g.total_bytes,
    }


def _unary_costs(g: Geometry, tiles: Tiles) -> Table:
    return {**g.table("elements", "total_bytes"), **beyond(g.total_bytes, tiles)}


def _unary_sizes(g: Geometry, tiles: Tiles) -> Table:
    return {
        **g.table("elements", "total_bytes"),
        "channels": g.inner,
        "approximate": g.variant,
        "bytes_read_per_element": g.in_bytes / np.maximum(g.in_elements, 1),
    }


def _softmax_costs(g: Geometry, tiles: Tiles) -> Table:
    return {"elements": g.out_elements, "rows": g.runs}


def _softmax_sizes(g: Geometry, tiles: Tiles) -> Table:
    return {"elements": g.out_elements, "row_length": g.inner, "rows": g.runs}


def _pool_costs(g: Geometry, tiles: Tiles) -> Table:
    outputs, taps = g.pixels, g.kernel_taps
    calls = tiled(g.out_channels, tiles["out_channels"]) * outputs
    return {
        "pixels": outputs,
        "pixel_taps": outputs * taps,
        "tiles": calls,
        "tile_taps": calls * taps,
        **g.table("in_bytes", "out_bytes"),
        **beyond(g.total_bytes, tiles),
    }


def _pool_sizes(g: Geometry, tiles: Tiles) -> Table:
    apart = (g.kernel_height == g.stride_height) & (g.kernel_width == g.stride_width)
    return {
        **g.table("channels", "pixels", "kernel_taps", "stride", "same_padding"),
        "non_overlapping": apart.astype(float),
        "in_bytes": g.in_bytes,
    }


def _reduce_costs(g: Geometry, tiles: Tiles) -> Table:
    rows = g.in_elements / np.maximum(g.inner, 1)
    return {
        "elements": g.in_elements,
        "tiles": rows * tiled(g.inner, tiles["inner"]),
        "rows": rows,
        "out_bytes": g.out_bytes,
        **beyond(g.in_bytes, tiles),
    }


def _reduce_sizes(g: Geometry, tiles: Tiles) -> Table:
    return {
        "channels": g.inner,
        "pixels": g.in_height * g.in_width,
        "elements": g.in_elements,
        "results": g.out_elements,
        "along_channels": g.along_last,
        "in_bytes": g.in_bytes,
    }


def _transpose_costs(g: Geometry, tiles: Tiles) -> Table:
    """Squares are turned block by block; what stays together is copied."""
    block = tiles["block"]
    squares = g.out_elements / np.maximum(g.in_channels * g.out_channels, 1)
    blocks = squares * tiled(g.in_channels, block) * tiled(g.out_channels, block)
    return {
        **g.table("elements", "runs"),
        "blocks": blocks,
        **g.table("rows_read", "out_bytes"),
        **beyond(g.total_bytes, tiles),
    }


def _transpose_sizes(g: Geometry, tiles: Tiles) -> Table:
    sizes = g.table("run_length", "in_channels", "out_channels")
    return {**sizes, "images": g.batch, "out_bytes": g.out_bytes}


def _copy_costs(g: Geometry, tiles: Tiles) -> Table:
    return {
        **g.table("elements", "runs"),
        "joined_runs": g.runs * np.maximum(g.inputs, 1),
        "short_runs": g.runs * np.minimum(g.inner, 16),
        "rows_read": g.rows_read,
        "runs_read": g.in_elements / np.maximum(g.inner, 1),
        "odd_elements": g.out_elements * g.variant,
        **g.table("out_bytes", "parts"),
        **beyond(g.total_bytes, tiles),
    }


def _copy_sizes(g: Geometry, tiles: Tiles) -> Table:
    return {**g.table("parts", "run_length", "runs", "out_bytes", "in_channels"), "odd": g.variant}


def _resize_costs(g: Geometry, tiles: Tiles) -> Table:
    return {
        "pixels": g.pixels,
        "tiles": g.pixels * tiled(g.out_channels, tiles["out_channels"]),
        "rows": g.out_height,
        "pixels_between": g.pixels * g.variant,
        "out_bytes": g.out_bytes,
    }


def _resize_sizes(g: Geometry, tiles: Tiles) -> Table:
    return {**g.table("channels", "pixels", "out_bytes"), "between": g.variant}


def _grouped_costs(g: Geometry, tiles: Tiles) -> Table:
    """Each group is a small convolution of its own."""
    wide, tall, taps = tiles["out_channels"], tiles["pixels"], g.kernel_taps
    rows = tiled(g.pixels, tall)
    calls = g.groups * tiled(g.out_channels / g.groups, wide) * rows
    return {
        "group_pixels": g.groups * g.pixels,
        "tiles": calls,
        "tile_taps": calls * taps,
        "tiled_macs": calls * wide * tall * taps * g.in_channels,
        **g.table("macs", "in_bytes", "out_bytes", "weight_bytes"),
        "group_bytes_beyond_cache": g.groups * np.maximum(0.0, g.in_bytes - tiles["cache"]),
    }


def _grouped_sizes(g: Geometry, tiles: Tiles) -> Table:
    return {
        "groups": g.groups,
        "out_channels_of_group": g.out_channels / g.groups,
        "in_channels_of_group": g.in_channels,
        **g.table("pixels", "kernel_taps", "stride", "out_bytes"),
    }


def _loop_costs(g: Geometry, tiles: Tiles) -> Table:
    """What turning takes: the loop's tensors are copied into its body and back, whatever is done there."""
    carried = g.in_bytes + g.weight_bytes
    return {"rounds": g.rounds, "round_tensors": g.rounds * g.results, "round_bytes": g.rounds * carried}


def _loop_sizes(g: Geometry, tiles: Tiles) -> Table:
    return {"rounds": g.rounds, "tensors": g.results, "carried_bytes": g.in_bytes + g.weight_bytes}


def _recurrent_costs(g: Geometry, tiles: Tiles) -> Table:
    steps = g.out_elements / np.maximum(g.out_channels, 1)
    return {
        "steps": steps,
        "step_units": steps * g.out_channels,
        **g.table("macs", "weight_bytes"),
        "step_tiles": steps * tiled(g.out_channels, tiles["out_channels"]),
    }


def _recurrent_sizes(g: Geometry, tiles: Tiles) -> Table:
    return {
        "units": g.out_channels,
        "features": g.in_channels,
        "steps": g.out_elements / np.maximum(g.out_channels, 1),
        "weight_bytes": g.weight_bytes,
    }


def _detection_costs(g: Geometry, tiles: Tiles) -> Table:
    """Boxes of a detector: all scores are looked at, boxes sorted, and those that are kept compared with all others."""
    anchors = np.maximum(g.parameters / 4, 1)
    return {
        "anchors": anchors,
        "scores": g.second_elements,
        "sorted": anchors * np.log2(anchors + 1),
        "compared": anchors * g.out_width,
        "compared_by_class": g.second_elements * g.out_width,
    }


def _detection_sizes(g: Geometry, tiles: Tiles) -> Table:
    return {"anchors": g.parameters / 4, "scores": g.second_elements, "detections": g.out_width}


def _generic_costs(g: Geometry, tiles: Tiles) -> Table:
    moved = g.in_bytes + g.out_bytes + g.weight_bytes
    return {"macs": g.macs, "total_bytes": moved, "elements": g.out_elements}


def _generic_sizes(g: Geometry, tiles: Tiles) -> Table:
    return g.table("macs", "elements", "channels", "pixels")


FAMILIES = {
    family.name: family
    for family in (
        Family("convolution", conv_costs, conv_sizes, MATRIX_TILES),
        Family("depthwise", depthwise_costs, depthwise_sizes, WIDE_TILES),
        Family(
            "grouped",
            _grouped_costs,
            _grouped_sizes,
            {"out_channels": WIDE, "pixels": TALL, "cache": CACHE["cache"]},
        ),
        Family("matrix", matrix_costs, matrix_sizes, MATRIX_TILES),
        Family("binary", _binary_costs, _binary_sizes, CACHE),
        Family("unary", _unary_costs, _unary_sizes, CACHE),
        Family("softmax", _softmax_costs, _softmax_sizes, {}),
        Family("pooling", _pool_costs, _pool_sizes, WIDE_TILES),
        Family("loop", _loop_costs, _loop_sizes, {}),
        Family("reduction", _reduce_costs, _reduce_sizes, {"inner": WIDE} | CACHE),
        Family("transpose", _transpose_costs, _transpose_sizes, {"block": (1, 4, 8, 16, 32)} | CACHE),
        Family("copy", _copy_costs, _copy_sizes, CACHE),
        Family("resize", _resize_costs, _resize_sizes, WIDE_TILES),
        Family("detection", _detection_costs, _detection_sizes, {}),
        Family("recurrent", _recurrent_costs, _recurrent_sizes, WIDE_TILES),
        Family("generic", _generic_costs, _generic_sizes, {}),
    )
}
"""By the name that an operator's entry in `profiler.operators` gives."""


def family_of(op: str, device: str = "") -> Family:
    """The family whose features describe `op`; operators of no family share the generic features.

    `device` is ``parallel`` for those that work many tiles at once, ``accelerator`` for those of blocks, else a processor;
    ``few``: one of which so few layers are known that generic features say more.
    """
    if device == "few":
        return FAMILIES["generic"]
    name = operator(op.removesuffix(AT_INPUT)).features
    other = None
    if device == "parallel":
        other = parallel_family(op)
    elif device == "accelerator":
        other = (INPUT_FAMILIES if op.endswith(AT_INPUT) else ACCELERATOR_FAMILIES).get(name)
    return other or FAMILIES[name]
