"""Tensors put together or repeated: concatenation, packing, tiling; and tensors made of sizes alone."""

from __future__ import annotations

from collections.abc import Sequence

from profiler.axes import LayerStep, Size, joined, scaled
from profiler.network import Arithmetic, Layer, Param, Shape, Tensor
from profiler.operators import options, sizes
from profiler.operators.options import FileFormat, StoredParam, activation, numbers, quiet
from profiler.operators.registry import Operator, ReferenceLayers, Rng, drawn, moving, register_operators


def concatenation(shapes: Sequence[Shape], axis: int = -1, dtype: str = "float32") -> Layer:
    """Concatenation of `shapes` along `axis`."""
    axis %= len(shapes[0])
    out = tuple(sum(s[i] for s in shapes) if i == axis else n for i, n in enumerate(shapes[0]))
    inputs = tuple(Tensor(s, dtype) for s in shapes)
    return Layer("concatenation", inputs, (Tensor(out, dtype),), {"axis": axis, "activation": "none"})


def pack(count: int, shape: Shape, axis: int, dtype: str = "float32") -> Layer:
    """`count` tensors of `shape` stacked along a new `axis`."""
    out = (*shape[:axis], count, *shape[axis:])
    params: dict[str, Param] = {"values_count": count, "axis": axis}
    return Layer("pack", (Tensor(shape, dtype),) * count, (Tensor(out, dtype),), params)


def tile(shape: Shape, multiples: Sequence[int], dtype: str = "float32") -> Layer:
    """`shape` repeated along each axis."""
    out = tuple(n * m for n, m in zip(shape, multiples, strict=True))
    return sizes.single_layer("tile", shape, out, dtype, {"multiples": tuple(multiples)}, (len(shape),))


def broadcast_to(shape: Shape, out: Shape, dtype: str = "float32") -> Layer:
    """`shape` repeated up to `out`."""
    return sizes.single_layer("broadcast_to", shape, out, dtype, {}, (len(out),))


def shape_of(shape: Shape, dtype: str = "float32") -> Layer:
    """The sizes of a tensor, as integers."""
    params: dict[str, Param] = {"output_type": options.TENSOR_TYPE_INT32}
    return Layer("shape", (Tensor(shape, dtype),), (Tensor((len(shape),), "int32"),), params)


def _draw_concatenation(op: str, rng: Rng, dtype: str) -> Layer:
    """Maps joined along their channels; now and then vectors, or sequences along their steps."""
    kind = rng.random()
    count = int(rng.choice([2, 2, 2, 3, 4, 4, 5, 6]))
    if dtype == "int32":
        return concatenation([(sizes.scaled(rng, 1, 64),) for _ in range(count)], 0, dtype)
    if kind < 0.1:
        return concatenation([(1, sizes.channels(rng, 1024)) for _ in range(count)], 1, dtype)
    if kind < 0.2:
        features = sizes.channels(rng, 512)
        parts = [(1, sizes.scaled(rng, 1, 256), features) for _ in range(count)]
        return concatenation(parts, 1, dtype)
    height, width = sizes.plane(rng, 112)
    return concatenation([(1, height, width, sizes.channels(rng, 512)) for _ in range(count)], 3, dtype)


def _draw_pack(op: str, rng: Rng, dtype: str) -> Layer:
    """Steps put together into a sequence; or a few indices."""
    if dtype == "int32":
        return pack(int(rng.integers(2, 5)), (), 0, dtype)
    axis = int(rng.choice([0, 1]))
    return pack(sizes.scaled(rng, 2, 64), (1, sizes.channels(rng, 512)), axis, dtype)


def _draw_tile(op: str, rng: Rng, dtype: str) -> Layer:
    """Repetition: of a vector over a plane, or of rows and columns (upsampling)."""
    kind = rng.random()
    if kind < 0.4:
        height, width = sizes.plane(rng, 64)
        return tile((1, 1, 1, sizes.channels(rng, 512)), (1, height, width, 1), dtype)
    if kind < 0.7:
        height, width = sizes.plane(rng, 64)
        return tile((1, height, 1, width, sizes.channels(rng, 128)), (1, 1, 2, 1, 1), dtype)
    steps, features = sizes.scaled(rng, 2, 256), sizes.channels(rng, 512)
    return tile((1, steps, 1, features), (1, 1, int(rng.choice([2, 3, 4])), 1), dtype)


def _draw_broadcast_to(op: str, rng: Rng, dtype: str) -> Layer:
    """Repetition up to a given shape."""
    height, width = sizes.plane(rng, 64)
    channels = sizes.channels(rng, 256)
    small = (1, 1, 1, channels) if rng.random() < 0.5 else (1, height, 1, channels)
    return broadcast_to(small, (1, height, width, channels), dtype)


def _draw_shape_of(op: str, rng: Rng, dtype: str) -> Layer:
    """The sizes of a tensor."""
    return shape_of(sizes.feature_map(rng), "float32")


def _concatenation_axes(step: LayerStep) -> None:
    rank, axis = len(step.out_shape()), step.layer.params.get("axis")
    if not isinstance(axis, int) or any(len(step.shape(i)) != rank for i in range(step.inputs)):
        return step.freeze_all()
    operands = [step.read(slot) for slot in range(step.inputs)]
    result: list[Size] = []
    for place in range(rank):
        sizes = [sizes[place] for sizes in operands]
        if place == axis:
            result.append(joined(step, sizes))
            continue
        total = sizes[0]
        for size in sizes[1:]:
            total = step.unify(total, size)
        result.append(total)
    step.write(result)


def _pack_axes(step: LayerStep) -> None:
    axis = step.layer.params.get("axis")
    if not isinstance(axis, int) or not step.inputs:
        return step.freeze_all()
    total = step.read(0)
    for slot in range(1, step.inputs):
        total = [step.unify(a, b) for a, b in zip(total, step.read(slot), strict=True)]
    step.write([*total[:axis], step.inputs, *total[axis:]])


def _tile_axes(step: LayerStep) -> None:
    sizes, multiples = step.read(0), step.layer.params.get("multiples")
    if not isinstance(multiples, tuple) or len(multiples) != len(sizes):
        return step.freeze_all()
    step.write([scaled(s, outer=m) for s, m in zip(sizes, multiples, strict=True)])


def _broadcast_to_axes(step: LayerStep) -> None:
    sizes, shape = step.read(0), step.out_shape()
    result: list[Size] = list(shape)
    for place in range(1, len(sizes) + 1):
        if step.measure(sizes[-place]) == shape[-place] != 1:
            result[-place] = sizes[-place]
        else:
            step.freeze(sizes[-place])
    step.write(result)


def _no_axes(step: LayerStep) -> None:
    """The result's shape does not depend on the operands' (shape, rank)."""


register_operators(
    moving(
        "concatenation",
        FileFormat(10, (*numbers(0, "axis"), activation(1)), axis_of_output=True),
        draws=drawn(
            _draw_concatenation,
            uint8=(10, 14),
            float32=(90, 11),
            int8=(70, 10),
            int32=(15, 6),
            int16=(40, 10),
        ),
        widths=_concatenation_axes,
        row="concatenation",
        events={"Concatenate": 0.0, "Copy": 0.0},
        reference=ReferenceLayers(
            # The result keeps its size whatever the number of parts.
            lambda op, dtype, s: concatenation(
                [(1, s["side"], s["side"], s["channels"] // s["inputs"])] * s["inputs"], 3, dtype
            ),
            sizes.reference_maps((8, 192), (14, 96), (28, 96), inputs=2),
            {
                "inputs": (2, 3, 4, 6),
                "side": sizes.REFERENCE_SIDES,
                "channels": (12, 24, 48, 96, 144, 192, 240),
            },
        ),
    ),
    moving(
        "pack",
        FileFormat(59, numbers(0, "values_count", "axis"), axis_of_output=True),
        draws=drawn(
            _draw_pack, uint8=(8, 29), float32=(18, 57), int8=(18, 46), int32=(15, 8), int16=(25, 37)
        ),
        widths=_pack_axes,
        events={"Copy": 0.5},
    ),
    moving(
        "tile",
        FileFormat(51, stored=(StoredParam(1, "multiples"),)),
        draws=drawn(_draw_tile, float32=(30, 59), int8=(25, 48), int16=(25, 39)),
        widths=_tile_axes,
    ),
    moving(
        "broadcast_to",
        FileFormat(104, computed={1: lambda layer: layer.outputs[0].shape}, version=2),
        draws=drawn(_draw_broadcast_to, int8=(10, 66), float32=(18, 60)),
        widths=_broadcast_to_axes,
    ),
    Operator(
        "shape",
        FileFormat(55, (quiet(0, "byte", "output_type"),)),
        draws=drawn(_draw_shape_of, int32=(12, 10)),
        widths=_no_axes,
        features="copy",
    ),
    Operator("rank", widths=_no_axes),
    Operator("range", arithmetic=Arithmetic(of_result=True), features="copy"),
)
