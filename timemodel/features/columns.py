"""A layer as a row of numbers: the sizes that features are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, prod
from struct import Struct
from typing import Any

import numpy as np

from profiler.network import DTYPE_BYTES, Layer, Tensor
from timemodel.features.runs import RUNS, along_last, picks_out

COLUMNS = (
    "batch", "in_height", "in_width", "in_channels", "out_height", "out_width", "out_channels", "kernel_height",
    "kernel_width", "stride_height", "stride_width", "dilation_height", "dilation_width", "same_padding", "activation",
    "inputs", "in_elements", "second_elements", "out_elements", "parameters", "macs", "in_bytes", "out_bytes", "weight_bytes",
    "inner", "broadcast", "groups", "results", "along_last", "variant", "rounds", "outside_in_bytes",
    "outside_out_bytes",
)  # fmt: skip
"""Names of the columns of `geometry`.

``inner`` is the number of elements that lie together in what an operator walks over: the result's last axis, or what
`runs` says. ``along_last`` says whether a reduction is over the last axis, ``variant`` whether an operator's other form is
meant (approximate gelu, transposed right operand, a slice that drops axes or leaves gaps, a resize between pixels);
``rounds`` are those of a loop; ``outside_in_bytes`` and ``outside_out_bytes`` are those of activations in external memory,
where that was worked out.
"""

_PACKED = Struct(f"={len(COLUMNS)}d")
"""A row as bytes: an array of many comes faster from these than from tuples."""

POSITION = {name: i for i, name in enumerate(COLUMNS)}
_ACTIVATIONS = ("none", "relu", "relu6", "relu_n1_to_1", "tanh", "sign_bit", "sigmoid")
ACTIVATION_CODES = {name: code for code, name in enumerate(_ACTIVATIONS)}
BROADCAST_CODES = {"none": 0, "scalar": 1, "channels": 2, "spatial": 3, "other": 4}


_OTHER_FORMS = ("approximate", "adj_y", "half_pixel_centers", "align_corners")
_NOTHING = Tensor((0,))


def _sizes(shape: Sequence[int]) -> Sequence[int]:
    """Any shape as [batch, height, width, channels]: what is missing is 1, what is more goes into the batch."""
    if len(shape) == 4:
        return shape
    if len(shape) < 4:
        return (*(1,) * (4 - len(shape)), *shape)
    return (prod(shape[:-3]), *shape[-3:])


def _broadcast(layer: Layer) -> int:
    """Which way the smaller operand of an elementwise operator is repeated."""
    if len(layer.inputs) < 2:
        return 0
    sizes = [t.size for t in layer.inputs[:2]]
    small = layer.inputs[0] if sizes[0] < sizes[1] else layer.inputs[1]
    large = max(sizes)
    if small.size == large:
        return BROADCAST_CODES["none"]
    if small.size == 1:
        return BROADCAST_CODES["scalar"]
    channels = (layer.outputs[0].shape or (1,))[-1]
    if small.size == channels and small.shape[-1] == channels:
        return BROADCAST_CODES["channels"]
    if small.shape and small.shape[-1] == 1:
        return BROADCAST_CODES["spatial"]
    return BROADCAST_CODES["other"]


_ELEMENTWISE = frozenset(
    {
        "add", "mul", "sub", "div", "maximum", "minimum", "squared_difference", "pow", "floor_div", "floor_mod", "prelu",
        "greater", "greater_equal", "less", "less_equal", "equal", "not_equal", "logical_and", "logical_or", "select",
        "select_v2",
    }
)  # fmt: skip


def geometry_row(layer: Layer) -> tuple[float, ...]:
    """The numbers of one layer, in the order of `COLUMNS`."""
    op, inputs, element = layer.op, layer.inputs, DTYPE_BYTES.get
    p: Mapping[str, Any] = layer.params
    # A transposed convolution's first operand is its output shape, so take what other layers produce.
    first: Tensor | None = None
    computed = in_elements = in_bytes = parameters = weight_bytes = second = 0
    # One pass and no lists: this is what most of the time of a large batch of new layers goes into.
    for position, tensor in enumerate(inputs):
        size = prod(tensor.shape)
        n_bytes = ceil(size * element(tensor.dtype, 4))
        if tensor.constant:
            parameters += size
            weight_bytes += n_bytes
        else:
            if first is None:
                first = tensor
            computed += 1
            in_elements += size
            in_bytes += n_bytes
        if position == 1:
            second = size
    if first is None:
        # What only calls a subgraph that prepares variables has neither operands nor results.
        first = next(iter((*inputs, *layer.outputs)), _NOTHING)
    out_elements = out_bytes = 0
    for tensor in layer.outputs or inputs[-1:]:  # what is put into a variable is no result, but as much work
        size = prod(tensor.shape)
        out_elements += size
        out_bytes += ceil(size * element(tensor.dtype, 4))
    out = layer.outputs[0] if layer.outputs else inputs[-1] if inputs else first
    batch, in_height, in_width, in_channels = _sizes(first.shape)
    _, out_height, out_width, out_channels = _sizes(out.shape)
    inner = float(out_channels)
    macs = layer.macs
    groups, along, variant = 1.0, 1.0, False
    weight = inputs[1].shape if len(inputs) > 1 else ()
    if op in _RESHAPED:
        if op == "conv_2d":
            if len(weight) == 4:
                # In groups, each output sees its group's channels only.
                in_channels = weight[3]
                groups = first.shape[-1] / max(1, in_channels)
        elif op == "depthwise_conv_2d":
            in_channels, groups = 1, first.shape[-1]
        elif op in ("fully_connected", "batch_matmul"):
            # Every axis but the last is a row: [rows, in] -> [rows, out].
            batch = in_width = out_width = 1
            in_height = out_height = out.size // max(1, out_channels)
            if op == "fully_connected" and len(weight) == 2:
                in_channels = weight[1]
            elif op == "batch_matmul" and len(inputs) > 1:
                weight_bytes = inputs[1].nbytes
                in_channels = macs // max(1, out.size)
        else:
            inner = float(RUNS[op](layer, first, out))
            along = float(along_last(layer, first))
            variant = op == "strided_slice" and picks_out(layer)
    get = p.get
    kernel_height, kernel_width = get("kernel_height", 1), get("kernel_width", 1)
    if op == "transpose_conv":  # of the kernel each result meets every so-manieth position
        kernel_height, kernel_width = (
            kernel_height / get("stride_height", 1),
            kernel_width / get("stride_width", 1),
        )
    return (
        batch, in_height, in_width, in_channels, out_height, out_width, out_channels,
        kernel_height, kernel_width, get("stride_height", 1), get("stride_width", 1),
        get("dilation_height", 1), get("dilation_width", 1), 1.0 if get("padding") == "same" else 0.0,
        ACTIVATION_CODES.get(str(get("activation", "none")), 0),
        computed, in_elements, second, out_elements, parameters, macs, in_bytes, out_bytes, weight_bytes,
        inner, _broadcast(layer) if op in _ELEMENTWISE else 0,
        groups, len(layer.outputs), along, 1.0 if variant or any(map(get, _OTHER_FORMS)) else 0.0, get("rounds", 1),
        get("outside_in_bytes", 0), get("outside_out_bytes", 0),
    )  # fmt: skip


_RESHAPED = frozenset({"conv_2d", "depthwise_conv_2d", "fully_connected", "batch_matmul", *RUNS})
"""Operators whose sizes are read in a way of their own."""


def geometry(layers: Sequence[Layer]) -> np.ndarray:
    """Float array ``[len(layers), len(COLUMNS)]``."""
    rows = b"".join([_PACKED.pack(*geometry_row(layer)) for layer in layers])
    return np.frombuffer(rows, dtype=np.float64).reshape(len(layers), len(COLUMNS))
