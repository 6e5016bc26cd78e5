"""What each operator does to axes of changeable size: one rule per kind of operator."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from profiler.widths.axes import (
    Axis,
    Segment,
    Size,
    scaled,
)
from profiler.widths.reshaping import reshape
from profiler.widths.step import Step
from profiler.widths.weights import (
    batch_matmul,
    convolution,
    depthwise,
    fully_connected,
    lookup,
    lstm,
)

Rule = Callable[[Step], None]


def _same(step: Step) -> None:
    step.write(step.read(0))


def _nothing(step: Step) -> None:
    """The result's shape does not depend on the operands' (shape, rank)."""


def _elementwise(step: Step) -> None:
    rank = len(step.out_shape())
    operands = [(slot, step.read(slot)) for slot in range(step.inputs)]
    moving = [(slot, sizes) for slot, sizes in operands if not step.constant(slot)]
    result: list[Size] = list(step.out_shape())
    for place in range(1, rank + 1):
        wide = step.out_shape()[-place]
        total: Size | None = None
        for _, sizes in moving:
            if place > len(sizes):
                continue
            size = sizes[-place]
            if step.measure(size) != wide:
                step.freeze(size)
            else:
                total = size if total is None else step.unify(total, size)
        if total is None and wide > 1:
            # Only constants are this long, such as a normalisation's scale: they will follow what they meet
            # later.
            total = step.unowned(wide)
        if wide == 1 and total is not None and any(step.constant(s) for s, _ in operands):
            step.freeze(total)
            total = 1
        result[-place] = wide if total is None else total
    for slot, sizes in operands:
        if step.constant(slot):
            given = [
                result[place - len(sizes)] if n == step.out_shape()[place - len(sizes)] and n != 1 else n
                for place, n in enumerate(step.shape(slot))
            ]
            if any(not isinstance(s, int) for s in given):
                step.give(slot, given)
    step.write(result)


def _window(step: Step) -> None:
    """Channels stay, places are worked on: pooling, resizing, space to batch and back."""
    sizes = step.read(0)
    for size in sizes[:-1]:
        step.freeze(size)
    step.write([*step.out_shape()[:-1], sizes[-1]])


def _pad(step: Step) -> None:
    sizes, paddings = step.read(0), step.layer.params.get("paddings")
    if not isinstance(paddings, tuple) or len(paddings) != 2 * len(sizes):
        return step.freeze_all()
    result: list[Size] = []
    for place, size in enumerate(sizes):
        before, after = paddings[2 * place : 2 * place + 2]
        if isinstance(size, int) or not (before or after):
            result.append(step.out_shape()[place] if isinstance(size, int) else size)
        else:
            result.append(_joined(step, [step.fixed(before, "padding"), size, step.fixed(after, "padding")]))
    step.write(result)


def _joined(step: Step, parts: Sequence[Size]) -> Size:
    """Sizes one after the other."""
    if all(isinstance(part, int) for part in parts):
        return sum(step.measure(part) for part in parts)
    segments: list[Segment] = []
    for part in parts:
        if isinstance(part, int):
            part = step.fixed(part, "it comes from outside or was fixed before")
            if isinstance(part, int):
                continue
        if part.times * len(part.segments) > 4096:
            step.freeze(part)
            part = step.fixed(step.measure(part))
            assert isinstance(part, Axis)
        segments.extend(part.segments * part.times)
    return Axis(1, tuple(segments))


def _concatenation(step: Step) -> None:
    rank, axis = len(step.out_shape()), step.layer.params.get("axis")
    if not isinstance(axis, int) or any(len(step.shape(i)) != rank for i in range(step.inputs)):
        return step.freeze_all()
    operands = [step.read(slot) for slot in range(step.inputs)]
    result: list[Size] = []
    for place in range(rank):
        sizes = [sizes[place] for sizes in operands]
        if place == axis:
            result.append(_joined(step, sizes))
            continue
        total = sizes[0]
        for size in sizes[1:]:
            total = step.unify(total, size)
        result.append(total)
    step.write(result)


def _reduce(step: Step) -> None:
    sizes, axes = step.read(0), step.layer.params.get("axes")
    if step.layer.op in ("arg_max", "arg_min"):
        axes = (step.layer.params.get("axis"),)  # type: ignore[assignment]
    if not isinstance(axes, tuple):
        return step.freeze_all()
    keep = bool(step.layer.params.get("keep_dims"))
    step.write([1 if i in axes else s for i, s in enumerate(sizes) if keep or i not in axes])


def _transpose(step: Step) -> None:
    sizes, perm = step.read(0), step.layer.params.get("perm")
    if not isinstance(perm, tuple) or sorted(perm) != list(range(len(sizes))):
        return step.freeze_all()
    step.write([sizes[i] for i in perm])


def _split(step: Step) -> None:
    data = 1 if step.layer.op == "split" else 0
    axis = step.layer.params.get("axis")
    if not isinstance(axis, int) or step.inputs <= data or not step.outputs:
        return step.freeze_all()
    sizes = step.read(data)
    part: Size | None = None
    if isinstance(sizes[axis], int):
        part = step.out_shape()[axis]
    elif len({step.out_shape(i) for i in range(step.outputs)}) == 1 and step.layer.op == "split":
        part = step.split(sizes[axis], step.outputs)
    if part is None:
        return step.freeze_all()
    for slot in range(step.outputs):
        own = step.out_shape(slot)[axis] if isinstance(part, int) else part
        step.write([own if i == axis else s for i, s in enumerate(sizes)], slot)


def _slice(step: Step) -> None:
    """Slices that leave changeable axes whole, or cut them into equal parts (gates)."""
    sizes = step.read(0)
    params = step.layer.params
    begin, strides = params.get("begin"), params.get("strides")
    begin_mask, shrink_mask = step.number("begin_mask"), step.number("shrink_axis_mask")
    if params.get("ellipsis_mask") or params.get("new_axis_mask") or not isinstance(begin, tuple):
        return step.freeze_all()
    kept: list[Size] = []
    for place, size in enumerate(sizes):
        if shrink_mask >> place & 1:
            step.freeze(size)
            continue
        out = step.out_shape()[len(kept)] if len(kept) < len(step.out_shape()) else -1
        start = 0 if begin_mask >> place & 1 or place >= len(begin) else begin[place]
        stride = strides[place] if isinstance(strides, tuple) and place < len(strides) else 1
        if stride != 1:
            step.freeze(size)
        kept.append(_part(step, size, start, out) if stride == 1 else out)
    step.write(kept)


def _part(step: Step, size: Size, start: int, out: int) -> Size:
    """What a slice of `out` elements from `start` on leaves of an axis: all of it, or one of equal parts."""
    whole = step.measure(size)
    if isinstance(size, int) or out == whole:
        return out if isinstance(size, int) else size
    if out > 0 and whole % out == 0 and start % out == 0:
        part = step.split(size, whole // out)
        if part is not None:
            return part
    step.freeze(size)
    return out


def _pack(step: Step) -> None:
    axis = step.layer.params.get("axis")
    if not isinstance(axis, int) or not step.inputs:
        return step.freeze_all()
    total = step.read(0)
    for slot in range(1, step.inputs):
        total = [step.unify(a, b) for a, b in zip(total, step.read(slot), strict=True)]
    step.write([*total[:axis], step.inputs, *total[axis:]])


def _unpack(step: Step) -> None:
    axis = step.layer.params.get("axis")
    sizes = step.read(0)
    if not isinstance(axis, int) or not isinstance(sizes[axis], int):
        return step.freeze_all()
    for slot in range(step.outputs):
        step.write([*sizes[:axis], *sizes[axis + 1 :]], slot)


def _space_to_depth(step: Step) -> None:
    sizes, block = step.read(0), step.number("block_size")
    for size in sizes[:-1]:
        step.freeze(size)
    if step.layer.op == "space_to_depth":
        channels: Size | None = scaled(sizes[-1], outer=block * block)
    else:
        channels = step.split(sizes[-1], block * block) if block else None
    if channels is None:
        return step.freeze_all()
    step.write([*step.out_shape()[:-1], channels])


def _tile(step: Step) -> None:
    sizes, multiples = step.read(0), step.layer.params.get("multiples")
    if not isinstance(multiples, tuple) or len(multiples) != len(sizes):
        return step.freeze_all()
    step.write([scaled(s, outer=m) for s, m in zip(sizes, multiples, strict=True)])


def _broadcast_to(step: Step) -> None:
    sizes, shape = step.read(0), step.out_shape()
    result: list[Size] = list(shape)
    for place in range(1, len(sizes) + 1):
        if step.measure(sizes[-place]) == shape[-place] != 1:
            result[-place] = sizes[-place]
        else:
            step.freeze(sizes[-place])
    step.write(result)


_BY_RULE: tuple[tuple[Rule, str], ...] = (
    (
        _same,
        "relu relu6 relu_n1_to_1 relu_0_to_1 logistic tanh hard_swish gelu elu leaky_relu exp log sqrt rsqrt",
    ),
    (
        _same,
        "square abs neg sin cos floor ceil round sign logical_not cast quantize dequantize softmax",
    ),
    (
        _same,
        "log_softmax l2_normalization local_response_normalization cumsum reverse_v2 fake_quant zeros_like",
    ),
    (_nothing, "shape rank"),
    (convolution, "conv_2d conv_3d transpose_conv"),
    (depthwise, "depthwise_conv_2d"),
    (fully_connected, "fully_connected"),
    (
        _elementwise,
        "add sub mul div maximum minimum squared_difference pow floor_div floor_mod add_n prelu atan2",
    ),
    (
        _elementwise,
        "select select_v2 less less_equal greater greater_equal equal not_equal logical_and logical_or",
    ),
    (_window, "average_pool_2d max_pool_2d l2_pool_2d resize_bilinear resize_nearest_neighbor"),
    (_window, "space_to_batch_nd batch_to_space_nd"),
    (_pad, "pad padv2"),
    (_concatenation, "concatenation"),
    (_reduce, "mean sum reduce_max reduce_min reduce_prod reduce_any reduce_all arg_max arg_min"),
    (_transpose, "transpose"),
    (reshape, "reshape squeeze expand_dims"),
    (_split, "split split_v"),
    (_slice, "slice strided_slice"),
    (_pack, "pack"),
    (_unpack, "unpack"),
    (lookup, "gather embedding_lookup"),
    (batch_matmul, "batch_matmul"),
    (lstm, "unidirectional_sequence_lstm"),
    (_space_to_depth, "space_to_depth depth_to_space"),
    (_tile, "tile"),
    (_broadcast_to, "broadcast_to"),
)

RULES: dict[str, Rule] = {op: rule for rule, ops in _BY_RULE for op in ops.split()}
"""By operator. What is not here freezes everything that reaches it."""
