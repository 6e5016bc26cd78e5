"""A layer as a row of numbers: the sizes that features are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, prod
from struct import Struct
from typing import Any, NamedTuple

import numpy as np

from profiler.layer import DTYPE_BYTES, Layer, Tensor

COLUMNS = (
    "batch", "in_height", "in_width", "in_channels", "out_height", "out_width", "out_channels", "kernel_height",
    "kernel_width", "stride_height", "stride_width", "dilation_height", "dilation_width", "same_padding", "activation",
    "inputs", "in_elements", "second_elements", "out_elements", "parameters", "macs", "in_bytes", "out_bytes", "weight_bytes",
    "inner", "broadcast",
)  # fmt: skip
"""Names of the columns of `geometry`.

``inner`` is the number of elements that lie together in what an operator walks over: the last axis, or for a
concatenation what all axes from the joined one on hold. ``broadcast`` is one of `BROADCAST_CODES`.
"""

_PACKED = Struct(f"={len(COLUMNS)}d")
"""A kept row: bytes give the garbage collector nothing to walk, which numbers in tuples would, in large batches."""

POSITION = {name: i for i, name in enumerate(COLUMNS)}
ACTIVATION_CODES = {"none": 0, "relu": 1, "relu6": 2, "relu_n1_to_1": 3, "tanh": 4, "sign_bit": 5}
BROADCAST_CODES = {"none": 0, "scalar": 1, "channels": 2, "spatial": 3, "other": 4}


class _Sizes(NamedTuple):
    batch: int
    height: int
    width: int
    channels: int


def _sizes(shape: Sequence[int]) -> _Sizes:
    """Any shape as [batch, height, width, channels]: what is missing is 1, what is more goes into the batch."""
    if len(shape) == 4:
        return _Sizes(*shape)
    if not shape:
        return _Sizes(1, 1, 1, 1)
    if len(shape) < 4:
        padded = (1,) * (4 - len(shape)) + tuple(shape)
        return _Sizes(*padded)
    batch = 1
    for size in shape[:-3]:
        batch *= size
    return _Sizes(batch, *shape[-3:])


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
    channels = layer.outputs[0].shape[-1]
    if small.size == channels and small.shape[-1] == channels:
        return BROADCAST_CODES["channels"]
    if small.shape and small.shape[-1] == 1:
        return BROADCAST_CODES["spatial"]
    return BROADCAST_CODES["other"]


_ELEMENTWISE = frozenset(
    {"add", "mul", "sub", "div", "maximum", "minimum", "squared_difference", "pow", "floor_div", "prelu"}
)


def _totals(tensors: Sequence[Tensor], constant: bool | None = None) -> tuple[int, int, int]:
    """Number, elements and bytes of `tensors`, or of those that are `constant` or not.

    One pass and no list: this is what most of the time of a large batch goes into.
    """
    count = elements = n_bytes = 0
    for tensor in tensors:
        if constant is None or tensor.constant == constant:
            size = prod(tensor.shape)
            count += 1
            elements += size
            n_bytes += ceil(size * DTYPE_BYTES.get(tensor.dtype, 4))
    return count, elements, n_bytes


def geometry_row(layer: Layer) -> tuple[float, ...]:
    """The numbers of one layer, in the order of `COLUMNS`."""
    inputs = layer.inputs
    # A transposed convolution's first operand is its output shape, so take what other layers produce.
    first = inputs[0] if inputs else layer.outputs[0]
    for tensor in inputs:
        if not tensor.constant:
            first = tensor
            break
    out = layer.outputs[0] if layer.outputs else first
    i, o = _sizes(first.shape), _sizes(out.shape)
    p: Mapping[str, Any] = layer.params
    inner = float(o.channels)
    if layer.op == "concatenation" and isinstance(p.get("axis"), int):
        axis = int(p["axis"]) % max(1, len(out.shape))
        inner = 1.0
        for size in out.shape[axis:]:
            inner *= size
    elif layer.op == "transpose" and isinstance(p.get("perm"), tuple):
        inner = _kept_run(first.shape, p["perm"])
    elif layer.op in ("mean", "sum", "reduce_max"):
        inner = float(first.shape[-1]) if first.shape else 1.0
    op = layer.op
    if op in ("fully_connected", "batch_matmul"):
        # Every axis but the last is a row: [rows, in] -> [rows, out].
        rows = out.size // max(1, o.channels)
        i, o = _Sizes(1, rows, 1, i.channels), _Sizes(1, rows, 1, o.channels)
        if op == "fully_connected" and len(inputs) > 1 and len(inputs[1].shape) == 2:
            i = _Sizes(1, rows, 1, inputs[1].shape[1])
    computed, in_elements, in_bytes = _totals(inputs, constant=False)
    _, out_elements, out_bytes = _totals(layer.outputs)
    _, parameters, weight_bytes = _totals(inputs, constant=True)
    if op == "conv_2d" and len(inputs) > 1 and len(inputs[1].shape) == 4:
        # In groups, each output sees its group's channels only.
        channels = inputs[1].shape[3]
        if channels == 1 and out.shape[-1] == first.shape[-1]:
            channels = first.shape[-1]
        i = _Sizes(i.batch, i.height, i.width, channels)
    if op == "batch_matmul" and len(inputs) > 1:
        weight_bytes = inputs[1].nbytes
        i = i._replace(channels=layer.macs // max(1, out.size))
    return (
        i.batch, i.height, i.width, i.channels, o.height, o.width, o.channels,
        p.get("kernel_height", 1), p.get("kernel_width", 1), p.get("stride_height", 1), p.get("stride_width", 1),
        p.get("dilation_height", 1), p.get("dilation_width", 1), 1.0 if p.get("padding") == "same" else 0.0,
        ACTIVATION_CODES.get(str(p.get("activation", "none")), 0),
        computed, in_elements, inputs[1].size if len(inputs) > 1 else 0, out_elements,
        parameters, layer.macs, in_bytes, out_bytes, weight_bytes,
        inner, float(_broadcast(layer)) if op in _ELEMENTWISE else 0.0,
    )  # fmt: skip


def _kept_run(shape: Sequence[int], perm: Sequence[int]) -> float:
    """Elements that a transposition moves in one piece."""
    run = 1.0
    for axis in range(len(perm) - 1, -1, -1):
        if perm[axis] != axis:
            break
        run *= shape[axis]
    return run


def geometry(layers: Sequence[Layer]) -> np.ndarray:
    """Float array ``[len(layers), len(COLUMNS)]``; rows are kept on the layers, so asking again is cheap."""
    rows = []
    for layer in layers:
        kept = layer.__dict__
        row = kept.get("_geometry")
        if row is None:
            row = kept["_geometry"] = _PACKED.pack(*geometry_row(layer))
        rows.append(row)
    return np.frombuffer(bytearray().join(rows), dtype=np.float64).reshape(len(rows), len(COLUMNS))
