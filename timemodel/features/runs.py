"""Elements that lie together in what an operator walks over: long runs are copied or added up at once, short ones one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

from profiler.network import Layer, Tensor

Shape = Sequence[int]


def shared_run(before: Shape, after: Shape) -> int:
    """Elements in one piece of what two shapes have in common, counted from their last axes.

    >>> shared_run((1, 8, 8, 16), (1, 8, 10, 16))  # a row of 8 positions with 16 channels each
    128
    """
    run = 1
    for a, b in zip(reversed(before), reversed(after), strict=False):
        run *= min(a, b)
        if a != b:
            break
    return max(1, run)


def _from_axis(layer: Layer, shape: Shape, out: Tensor, after: int) -> int:
    """Elements of `shape` from the layer's axis (or the one `after` it) on; all of the result where it has no axis."""
    axis = layer.params.get("axis")
    return prod(shape[axis % len(shape) + after :]) if isinstance(axis, int) and shape else out.size


def _after_axis_of_input(layer: Layer, first: Tensor, out: Tensor) -> int:
    return _from_axis(layer, layer.inputs[0].shape, out, after=1)


def _transposed(layer: Layer, first: Tensor, out: Tensor) -> int:
    """Elements that a transposition moves in one piece."""
    perm = layer.params.get("perm")
    if not isinstance(perm, tuple) or len(perm) != len(first.shape):
        return out.shape[-1] if out.shape else 1
    run = 1
    for axis in range(len(perm) - 1, -1, -1):
        if perm[axis] != axis:
            break
        run *= first.shape[axis]
    return run


def _cut(layer: Layer, first: Tensor, out: Tensor) -> int:
    """Of a slice: as `shared_run`, but positions that are left out between others end the run, and axes may vanish."""
    taken = list(out.shape)
    dropped = layer.params.get("shrink_axis_mask")
    if isinstance(dropped, int):
        for axis in range(len(first.shape)):
            if dropped >> axis & 1:
                taken.insert(axis, 1)
    strides = layer.params.get("strides")
    steps = strides if isinstance(strides, tuple) and len(strides) == len(first.shape) else ()
    run = 1
    for axis in range(min(len(first.shape), len(taken))):
        if axis < len(steps) and steps[-1 - axis] != 1 and taken[-1 - axis] > 1:
            break
        run *= taken[-1 - axis]
        if taken[-1 - axis] != first.shape[-1 - axis]:
            break
    return max(1, run)


def _last(tensor: Tensor) -> int:
    return tensor.shape[-1] if tensor.shape else 1


def _last_of_input(layer: Layer, first: Tensor, out: Tensor) -> int:
    return _last(first)


def _block(layer: Layer) -> int:
    """Positions of a row that a block has, whose channels are moved together."""
    size = layer.params.get("block_size")
    return size if isinstance(size, int) else 1


_REDUCTIONS = (
    "mean", "sum", "reduce_max", "reduce_min", "reduce_prod", "reduce_any", "reduce_all", "arg_max", "arg_min", "topk_v2",
)  # fmt: skip

_SAME_ELEMENTS = ("reshape", "squeeze", "expand_dims", "bitcast", "read_variable", "assign_variable")

RUNS: dict[str, Callable[[Layer, Tensor, Tensor], int]] = {
    "concatenation": lambda layer, first, out: _from_axis(layer, out.shape, out, after=0),
    "split": lambda layer, first, out: _from_axis(layer, out.shape, out, after=0),
    "split_v": lambda layer, first, out: _from_axis(layer, out.shape, out, after=0),
    "pack": lambda layer, first, out: _from_axis(layer, out.shape, out, after=1),
    "unpack": _after_axis_of_input,
    "gather": _after_axis_of_input,
    "reverse_v2": _last_of_input,
    **dict.fromkeys(_SAME_ELEMENTS, lambda layer, first, out: max(1, out.size)),
    "transpose": _transposed,
    "strided_slice": _cut,
    "slice": _cut,
    **dict.fromkeys(
        ("pad", "padv2", "mirror_pad", "tile", "broadcast_to"),
        lambda layer, first, out: shared_run(first.shape, out.shape),
    ),
    **dict.fromkeys(_REDUCTIONS, _last_of_input),
    "depth_to_space": lambda layer, first, out: _block(layer) * _last(out),
    "space_to_depth": lambda layer, first, out: _block(layer) * _last(first),
}
"""For each operator whose run is not its result's last axis: (layer, its first computed operand, its result) -> elements."""


def along_last(layer: Layer, first: Tensor) -> bool:
    """Whether an operator that works along some axes works along the last one, where what it reads lies together."""
    rank = len(first.shape)
    axes = layer.params.get("axes")
    if isinstance(axes, tuple):
        return rank - 1 in axes
    axis = layer.params.get("axis")
    return not isinstance(axis, int) or axis % max(1, rank) == rank - 1


def picks_out(layer: Layer) -> bool:
    """Whether a slice leaves gaps between what it takes or drops axes: runtimes copy such slices element by element."""
    strides = layer.params.get("strides")
    gaps = isinstance(strides, tuple) and any(step != 1 for step in strides)
    return gaps or bool(layer.params.get("shrink_axis_mask"))
