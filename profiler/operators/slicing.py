"""Layers that move elements without computing, or look for them: constructors that work out shapes, one per operator.

`profiler.operators.constructors` has the others.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from profiler.network import (
    Layer,
    Param,
    Tensor,
)
from profiler.operators.constructors import Shape
from profiler.tflite import TENSOR_TYPE_CODES

Range = tuple[int, int, int]
"""Where a slice begins, how many it takes, and the distance between them."""


def _indices(*shape: int) -> Tensor:
    """A stored operand of integers."""
    return Tensor(shape, "int32", True)


def split(shape: Shape, axis: int, parts: int, dtype: str = "float32") -> Layer:
    """`parts` equal pieces of `shape` along `axis`."""
    out = Tensor((*shape[:axis], shape[axis] // parts, *shape[axis + 1 :]), dtype)
    params: dict[str, Param] = {"num_splits": parts, "axis": axis}
    return Layer("split", (_indices(), Tensor(shape, dtype)), (out,) * parts, params)


def unpack(shape: Shape, axis: int, dtype: str = "float32") -> Layer:
    """The slices of `shape` along `axis`, that axis gone."""
    out = Tensor((*shape[:axis], *shape[axis + 1 :]), dtype)
    params: dict[str, Param] = {"num": shape[axis], "axis": axis}
    return Layer("unpack", (Tensor(shape, dtype),), (out,) * shape[axis], params)


def pack(count: int, shape: Shape, axis: int, dtype: str = "float32") -> Layer:
    """`count` tensors of `shape` stacked along a new `axis`."""
    out = (*shape[:axis], count, *shape[axis:])
    params: dict[str, Param] = {"values_count": count, "axis": axis}
    return Layer("pack", (Tensor(shape, dtype),) * count, (Tensor(out, dtype),), params)


def strided_slice(
    shape: Shape, ranges: Sequence[Range], dropped: Sequence[int] = (), dtype: str = "float32"
) -> Layer:
    """A part of `shape`; the axes in `dropped`, of which one position is taken, vanish."""
    # As converters write it: what begins at the beginning or goes on to the end is masked, and its number left at 0.
    kept = [axis not in dropped for axis in range(len(shape))]
    from_start = [inside and first == 0 for inside, (first, _, _) in zip(kept, ranges, strict=True)]
    to_end = [
        inside and first + count * step >= n
        for inside, n, (first, count, step) in zip(kept, shape, ranges, strict=True)
    ]
    begin = tuple(first for first, _, _ in ranges)
    strides = tuple(step for _, _, step in ranges)
    end = tuple(
        0 if masked else first + (count - 1) * step + 1
        for masked, (first, count, step) in zip(to_end, ranges, strict=True)
    )
    out = tuple(n for axis, (_, n, _) in enumerate(ranges) if axis not in dropped)
    params: dict[str, Param] = {
        "begin": begin, "end": end, "strides": strides, "begin_mask": _bits(from_start), "end_mask": _bits(to_end),
        "ellipsis_mask": 0, "new_axis_mask": 0, "shrink_axis_mask": _bits([not inside for inside in kept]),
    }  # fmt: skip
    operands = (Tensor(shape, dtype), *(_indices(len(shape)) for _ in range(3)))
    return Layer("strided_slice", operands, (Tensor(out, dtype),), params)


def _bits(flags: Sequence[bool]) -> int:
    return sum(1 << position for position, flag in enumerate(flags) if flag)


def slice_(shape: Shape, axis: int, begin: int, size: int, dtype: str = "float32") -> Layer:
    """`size` positions of `shape` along one axis, from `begin` on."""
    out = (*shape[:axis], size, *shape[axis + 1 :])
    params: dict[str, Param] = {"begin": tuple(begin * (i == axis) for i in range(len(shape))), "size": out}
    operands = (Tensor(shape, dtype), _indices(len(shape)), _indices(len(shape)))
    return Layer("slice", operands, (Tensor(out, dtype),), params)


def gather(
    shape: Shape,
    indices: Shape,
    axis: int = 0,
    dtype: str = "float32",
    *,
    table: bool = False,
    stored: bool = False,
) -> Layer:
    """What stands at `indices` along `axis` of `shape`: `table` says that the data is stored, `stored` that the indices are."""
    out = (*shape[:axis], *indices, *shape[axis + 1 :])
    operands = (Tensor(shape, dtype, table), Tensor(indices, "int32", stored))
    return Layer("gather", operands, (Tensor(out, dtype),), {"axis": axis})


def tile(shape: Shape, multiples: Sequence[int], dtype: str = "float32") -> Layer:
    """`shape` repeated along each axis."""
    out = tuple(n * m for n, m in zip(shape, multiples, strict=True))
    operands = (Tensor(shape, dtype), _indices(len(shape)))
    return Layer("tile", operands, (Tensor(out, dtype),), {"multiples": tuple(multiples)})


def broadcast_to(shape: Shape, out: Shape, dtype: str = "float32") -> Layer:
    """`shape` repeated up to `out`."""
    return Layer("broadcast_to", (Tensor(shape, dtype), _indices(len(out))), (Tensor(out, dtype),))


def depth_to_space(height: int, width: int, channels: int, block: int, dtype: str = "float32") -> Layer:
    """Blocks of channels spread over the plane."""
    out = (1, height * block, width * block, channels // block**2)
    operand = Tensor((1, height, width, channels), dtype)
    return Layer("depth_to_space", (operand,), (Tensor(out, dtype),), {"block_size": block})


def space_to_depth(height: int, width: int, channels: int, block: int, dtype: str = "float32") -> Layer:
    """Blocks of the plane stacked into channels."""
    out = (1, height // block, width // block, channels * block**2)
    operand = Tensor((1, height, width, channels), dtype)
    return Layer("space_to_depth", (operand,), (Tensor(out, dtype),), {"block_size": block})


def space_to_batch_nd(height: int, width: int, channels: int, block: int, dtype: str = "float32") -> Layer:
    """Every `block`-th position of the plane into a batch of its own."""
    out = (block**2, height // block, width // block, channels)
    params: dict[str, Param] = {"block_shape": (block, block), "paddings": (0, 0, 0, 0)}
    operands = (Tensor((1, height, width, channels), dtype), _indices(2), _indices(2, 2))
    return Layer("space_to_batch_nd", operands, (Tensor(out, dtype),), params)


def batch_to_space_nd(height: int, width: int, channels: int, block: int, dtype: str = "float32") -> Layer:
    """The way back from `space_to_batch_nd`; `height` and `width` are those of one batch."""
    out = (1, height * block, width * block, channels)
    params: dict[str, Param] = {"block_shape": (block, block), "crops": (0, 0, 0, 0)}
    operands = (Tensor((block**2, height, width, channels), dtype), _indices(2), _indices(2, 2))
    return Layer("batch_to_space_nd", operands, (Tensor(out, dtype),), params)


def one_hot(indices: Shape, depth: int, dtype: str = "float32") -> Layer:
    """Rows of `depth` with a one where `indices` say."""
    operands = (Tensor(indices, "int32"), _indices(), Tensor((), dtype, True), Tensor((), dtype, True))
    return Layer(
        "one_hot", operands, (Tensor((*indices, depth), dtype),), {"axis": len(indices), "depth": depth}
    )


def reverse(shape: Shape, axis: int, dtype: str = "float32") -> Layer:
    """`shape` backwards along `axis`."""
    return Layer(
        "reverse_v2", (Tensor(shape, dtype), _indices(1)), (Tensor(shape, dtype),), {"axes": (axis,)}
    )


def shape_of(shape: Shape, dtype: str = "float32") -> Layer:
    """The sizes of a tensor, as integers."""
    params: dict[str, Param] = {"output_type": TENSOR_TYPE_CODES["int32"]}
    return Layer("shape", (Tensor(shape, dtype),), (Tensor((len(shape),), "int32"),), params)


def arg_max(shape: Shape, dtype: str = "float32") -> Layer:
    """Place of the largest along the last axis."""
    operands = (Tensor(shape, dtype), _indices())
    params: dict[str, Param] = {"axis": len(shape) - 1, "output_type": TENSOR_TYPE_CODES["int64"]}
    return Layer("arg_max", operands, (Tensor(shape[:-1], "int64"),), params)


def cumsum(shape: Shape, axis: int, dtype: str = "float32") -> Layer:
    """Running sums along `axis`."""
    params: dict[str, Param] = {"axis": axis, "exclusive": False, "reverse": False}
    return Layer("cumsum", (Tensor(shape, dtype), _indices()), (Tensor(shape, dtype),), params)


def top_k(rows: int, columns: int, k: int, dtype: str = "float32") -> Layer:
    """The `k` largest of each row and their places."""
    outputs = (Tensor((rows, k), dtype), Tensor((rows, k), "int32"))
    return Layer("topk_v2", (Tensor((rows, columns), dtype), _indices()), outputs, {"k": k})


def stored_values(layer: Layer, slot: int) -> np.ndarray | None:
    """What stands in the stored operand `slot` of one of these layers, where time or shapes depend on it."""
    op, params = layer.op, layer.params
    shape = layer.inputs[slot].shape
    if op == "gather" and slot == 1:
        length = layer.inputs[0].shape[int(params["axis"])]  # type: ignore[arg-type]
        return np.arange(int(np.prod(shape)), dtype=np.int32).reshape(shape) % length
    if op == "broadcast_to" and slot == 1:
        return np.asarray(layer.outputs[0].shape, np.int32)
    if op == "one_hot" and slot > 1:
        return np.asarray(slot == 2, layer.inputs[slot].dtype)
    name = _STORED.get((op, slot))
    if name is None or name not in params:
        return None
    return np.asarray(params[name], np.int32).reshape(shape)


_STORED = {
    ("mirror_pad", 1): "paddings",
    ("split", 0): "axis",
    ("strided_slice", 1): "begin",
    ("strided_slice", 2): "end",
    ("strided_slice", 3): "strides",
    ("slice", 1): "begin",
    ("slice", 2): "size",
    ("tile", 1): "multiples",
    ("space_to_batch_nd", 1): "block_shape",
    ("space_to_batch_nd", 2): "paddings",
    ("batch_to_space_nd", 1): "block_shape",
    ("batch_to_space_nd", 2): "crops",
    ("one_hot", 1): "depth",
    ("reverse_v2", 1): "axes",
    ("arg_max", 1): "axis",
    ("arg_min", 1): "axis",
    ("cumsum", 1): "axis",
    ("expand_dims", 1): "axis",
    ("topk_v2", 1): "k",
}
