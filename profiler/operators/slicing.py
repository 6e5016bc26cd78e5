"""Parts of tensors: splitting, slices, and what stands at given indices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from profiler.axes import LayerStep, Size
from profiler.network import Arithmetic, Layer, Param, Shape, Tensor
from profiler.operators import sizes
from profiler.operators.options import FileFormat, StoredParam, numbers, quiet
from profiler.operators.registry import Operator, Rng, drawn, moving, operator, register_operators

Range = tuple[int, int, int]
"""Where a slice begins, how many it takes, and the distance between them."""


def split(shape: Shape, axis: int, parts: int, dtype: str = "float32") -> Layer:
    """`parts` equal pieces of `shape` along `axis`."""
    out = Tensor((*shape[:axis], shape[axis] // parts, *shape[axis + 1 :]), dtype)
    params: dict[str, Param] = {"num_splits": parts, "axis": axis}
    return Layer("split", (sizes.indices(), Tensor(shape, dtype)), (out,) * parts, params)


def unpack(shape: Shape, axis: int, dtype: str = "float32") -> Layer:
    """The slices of `shape` along `axis`, that axis gone."""
    out = Tensor((*shape[:axis], *shape[axis + 1 :]), dtype)
    params: dict[str, Param] = {"num": shape[axis], "axis": axis}
    return Layer("unpack", (Tensor(shape, dtype),), (out,) * shape[axis], params)


def strided_slice(
    shape: Shape, ranges: Sequence[Range], dropped: Sequence[int] = (), dtype: str = "float32"
) -> Layer:
    """A part of `shape`; the axes in `dropped`, of which one position is taken, vanish."""
    # As converters write it: what begins at the beginning or goes on to the end is masked, and its number left at 0.
    begins, counts, strides = zip(*ranges, strict=True)
    ends, begin_mask, end_mask, shrink_mask = [], 0, 0, 0
    for axis, (first, count, step) in enumerate(ranges):
        gone = axis in dropped
        masked = not gone and first + count * step >= shape[axis]
        ends.append(0 if masked else first + (count - 1) * step + 1)
        begin_mask |= (not gone and first == 0) << axis
        end_mask |= masked << axis
        shrink_mask |= gone << axis
    out = tuple(count for axis, count in enumerate(counts) if axis not in dropped)
    params: dict[str, Param] = {
        "begin": begins, "end": tuple(ends), "strides": strides, "begin_mask": begin_mask, "end_mask": end_mask,
        "ellipsis_mask": 0, "new_axis_mask": 0, "shrink_axis_mask": shrink_mask,
    }  # fmt: skip
    return sizes.single_layer("strided_slice", shape, out, dtype, params, *[(len(shape),)] * 3)


def backwards(shape: Shape, axis: int, dtype: str = "float32") -> Layer:
    """`shape` backwards along `axis`, as a slice with a step of -1."""
    layer = strided_slice(shape, [(0, size, 1) for size in shape], (), dtype)
    steps = tuple(-1 if i == axis else 1 for i in range(len(shape)))
    return replace(layer, params={**layer.params, "strides": steps})


def slice_(shape: Shape, axis: int, begin: int, size: int, dtype: str = "float32") -> Layer:
    """`size` positions of `shape` along one axis, from `begin` on."""
    out = (*shape[:axis], size, *shape[axis + 1 :])
    params: dict[str, Param] = {"begin": tuple(begin * (i == axis) for i in range(len(shape))), "size": out}
    return sizes.single_layer("slice", shape, out, dtype, params, *[(len(shape),)] * 2)


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


def one_hot(indices: Shape, depth: int, dtype: str = "float32") -> Layer:
    """Rows of `depth` with a one where `indices` say."""
    operands = (Tensor(indices, "int32"), sizes.indices(), Tensor((), dtype, True), Tensor((), dtype, True))
    return Layer(
        "one_hot", operands, (Tensor((*indices, depth), dtype),), {"axis": len(indices), "depth": depth}
    )


def _draw_split(op: str, rng: Rng, dtype: str) -> Layer:
    """Equal parts along the last axis (gates, heads) or the steps."""
    shape: Shape = (1, sizes.scaled(rng, 8, 1024)) if rng.random() < 0.4 else sizes.feature_map(rng)
    axis = len(shape) - 1 if rng.random() < 0.75 else max(1, len(shape) - 2)
    parts = int(rng.choice([2, 3, 4, 4]))
    shape = (*shape[:axis], parts * max(1, shape[axis] // parts), *shape[axis + 1 :])
    return split(shape, axis, parts, dtype)


def _draw_unpack(op: str, rng: Rng, dtype: str) -> Layer:
    """The steps of a sequence one by one."""
    steps, features = sizes.scaled(rng, 2, 64), sizes.channels(rng, 512)
    shape, axis = ((steps, 1, features), 0) if rng.random() < 0.6 else ((1, steps, features), 1)
    return unpack(shape, axis, dtype)


def _draw_strided_slice(op: str, rng: Rng, dtype: str) -> Layer:
    """One step of a sequence, a crop, every second position, or some of the channels."""
    if dtype == "int32":
        return strided_slice((4,), ((int(rng.integers(0, 4)), 1, 1),), (0,), dtype)
    if rng.random() < 0.08:
        shape = sizes.feature_map(rng)
        return backwards(shape, int(rng.integers(1, len(shape))), dtype)
    kind = rng.random()
    if kind < 0.35:
        shape = sizes.sequence(rng)
        step = int(rng.integers(0, shape[1]))
        return strided_slice(shape, ((0, 1, 1), (step, 1, 1), (0, shape[2], 1)), (1,), dtype)
    if kind < 0.55:
        shape = sizes.sequence(rng)
        axis = int(rng.choice([1, 2]))
        start = int(rng.integers(0, shape[axis]))
        ranges = [(0, n, 1) for n in shape]
        ranges[axis] = (start, shape[axis] - start, 1)
        return strided_slice(shape, ranges, (), dtype)
    height, width = sizes.plane(rng, 112)
    channels = sizes.channels(rng, 512)
    whole = (0, channels, 1)
    if kind < 0.75:
        begin = int(rng.integers(0, 3))
        inside = [
            (min(begin, n - 1), max(1, n - begin - int(rng.integers(0, 3))), 1) for n in (height, width)
        ]
        inside = [(b, min(c, n - b), 1) for (b, c, _), n in zip(inside, (height, width), strict=True)]
        return strided_slice((1, height, width, channels), ((0, 1, 1), *inside, whole), (), dtype)
    if kind < 0.85:
        halves = [(0, -(-n // 2), 2) for n in (height, width)]
        return strided_slice((1, height, width, channels), ((0, 1, 1), *halves, whole), (), dtype)
    start = int(rng.integers(0, channels))
    ranges4 = ((0, 1, 1), (0, height, 1), (0, width, 1), (start, channels - start, 1))
    return strided_slice((1, height, width, channels), ranges4, (), dtype)


def _draw_slice(op: str, rng: Rng, dtype: str) -> Layer:
    """A part along one axis."""
    shape = sizes.feature_map(rng)
    axis = int(rng.integers(1, len(shape)))
    begin = int(rng.integers(0, shape[axis]))
    return slice_(shape, axis, begin, int(rng.integers(1, shape[axis] - begin + 1)), dtype)


def _draw_gather(op: str, rng: Rng, dtype: str) -> Layer:
    """Rows of a stored table (embedding), one step of a sequence, or positions of a map."""
    if dtype == "int32":
        return gather((sizes.scaled(rng, 1, 64),), (), 0, dtype)
    kind = rng.random()
    if kind < 0.5:
        table = (sizes.scaled(rng, 16, 4000), sizes.channels(rng, 512))
        return gather(table, (1, sizes.scaled(rng, 1, 512)), 0, dtype, table=True)
    if kind < 0.75:
        steps, features = sizes.scaled(rng, 2, 256), sizes.channels(rng, 1024)
        return gather((steps, 1, features), (), 0, dtype)
    height, width = sizes.plane(rng, 64)
    shape = (1, height, width, sizes.channels(rng, 256))
    return gather(shape, (sizes.scaled(rng, 1, 64),), int(rng.integers(1, 4)), dtype, stored=True)


def _draw_one_hot(op: str, rng: Rng, dtype: str) -> Layer:
    """Indices as rows with a single one."""
    return one_hot((1, sizes.scaled(rng, 1, 512)), sizes.scaled(rng, 2, 1024), dtype)


def _split_axes(step: LayerStep) -> None:
    data = operator(step.layer.op).file.data_slot
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


def _slice_axes(step: LayerStep) -> None:
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


def _part(step: LayerStep, size: Size, start: int, out: int) -> Size:
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


def _unpack_axes(step: LayerStep) -> None:
    axis = step.layer.params.get("axis")
    sizes = step.read(0)
    if not isinstance(axis, int) or not isinstance(sizes[axis], int):
        return step.freeze_all()
    for slot in range(step.outputs):
        step.write([*sizes[:axis], *sizes[axis + 1 :]], slot)


def _lookup_axes(step: LayerStep) -> None:
    """Rows of a table by number; a stored table's row length is free to choose."""
    table, numbers = (1, 0) if step.layer.op == "embedding_lookup" else (0, 1)
    if step.inputs < 2 or step.layer.params.get("batch_dims"):
        return step.freeze_all()
    axis = step.number("axis")
    sizes, indices = step.read(table), step.read(numbers)
    if step.constant(table) and axis == 0 and len(sizes) == 2 and not step.constant(numbers):
        chosen = step.choose(step.shape(table)[1])
        step.give(table, [step.shape(table)[0], chosen])
        step.write([*indices, chosen])
        return None
    if axis >= len(sizes) or not isinstance(sizes[axis], int):
        return step.freeze_all()
    step.write([*sizes[:axis], *indices, *sizes[axis + 1 :]])
    return None


def _slice_params(old: Layer, inputs: tuple[Tensor, ...], outputs: tuple[Tensor, ...]) -> dict[str, Param]:
    """Where a slice begins and ends moves with the axis that it cuts."""
    params = dict(old.params)
    before, after = old.inputs[0].shape, inputs[0].shape
    for name in ("begin", "size", "end"):
        values = params.get(name)
        if isinstance(values, tuple):
            params[name] = tuple(
                value * after[i] // before[i] if i < len(before) and 0 <= value <= before[i] != 0 else value
                for i, value in enumerate(values)
            )
    return params


def _gathered(layer: Layer) -> np.ndarray:
    """Indices in order."""
    shape, axis = layer.inputs[1].shape, int(layer.params["axis"])  # type: ignore[arg-type]
    return np.arange(int(np.prod(shape)), dtype=np.int32).reshape(shape) % layer.inputs[0].shape[axis]


register_operators(
    moving(
        "split",
        FileFormat(35, numbers(0, "num_splits"), stored=(StoredParam(0, "axis", "axis"),), data_slot=1),
        draws=drawn(_draw_split, uint8=(8, 27), float32=(40, 55), int8=(35, 44), int16=(25, 35)),
        widths=_split_axes,
        events={"Copy": 0.1, "Slice": 0.2},
    ),
    Operator(
        "split_v",
        FileFormat(
            79, numbers(0, "num_splits"), stored=(StoredParam(1, "sizes"), StoredParam(2, "axis", "axis"))
        ),
        widths=_split_axes,
        events={"Copy": 0.7},
    ),
    moving(
        "unpack",
        FileFormat(64, numbers(0, "num", "axis")),
        draws=drawn(_draw_unpack, float32=(18, 56), int8=(18, 45), int16=(25, 36)),
        widths=_unpack_axes,
        events={"Copy": 0.6},
    ),
    moving(
        "slice",
        FileFormat(48, stored=(StoredParam(1, "begin"), StoredParam(2, "size"))),
        draws=drawn(_draw_slice, int8=(10, 61), float32=(30, 54)),
        widths=_slice_axes,
        resized=_slice_params,
        events={"Slice": 0.0},
    ),
    moving(
        "strided_slice",
        FileFormat(
            32,
            (
                *numbers(0, "begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask"),
                quiet(5, "bool", "offset", False),
            ),
            stored=(StoredParam(1, "begin"), StoredParam(2, "end"), StoredParam(3, "strides")),
        ),
        draws=drawn(
            _draw_strided_slice, uint8=(8, 23), float32=(50, 53), int8=(40, 43), int32=(15, 7), int16=(30, 34)
        ),
        widths=_slice_axes,
        resized=_slice_params,
        events={"Slice": 0.1},
    ),
    moving(
        "gather",
        FileFormat(23, (*numbers(0, "axis"), quiet(1, "int", "batch_dims")), computed={1: _gathered}),
        draws=drawn(
            _draw_gather, uint8=(8, 28), float32=(40, 58), int8=(30, 47), int32=(15, 9), int16=(25, 38)
        ),
        widths=_lookup_axes,
        arithmetic=Arithmetic(of_result=True),
    ),
    Operator("embedding_lookup", widths=_lookup_axes, arithmetic=Arithmetic(of_result=True)),
    Operator("gather_nd", arithmetic=Arithmetic(of_result=True)),
    Operator(
        "one_hot",
        FileFormat(
            61,
            numbers(0, "axis"),
            stored=(StoredParam(1, "depth", "scalar"),),
            computed={2: lambda layer: 1, 3: lambda layer: 0},
            axis_of_output=True,
        ),
        draws=drawn(_draw_one_hot, float32=(16, 63)),
        arithmetic=Arithmetic(of_result=True),
        features="copy",
    ),
)
