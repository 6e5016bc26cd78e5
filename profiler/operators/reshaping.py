"""Other shapes and orders of the same elements: reshape, transpose, reverse, padding, blocks of the plane."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from profiler.axes import LayerStep, Size, joined, keep_axes, keep_channels, reshape_axes, scaled
from profiler.network import Layer, Param, Shape
from profiler.operators import sizes
from profiler.operators.options import AXES, FileFormat, OptionField, StoredParam, numbers
from profiler.operators.registry import Operator, ReferenceLayers, Rng, drawn, moving, register_operators


def reshape(shape: Shape, new_shape: Shape, dtype: str = "float32") -> Layer:
    """The same elements under another shape."""
    return sizes.single_layer("reshape", shape, new_shape, dtype, {"new_shape": new_shape}, (len(new_shape),))


def transpose(shape: Shape, perm: Sequence[int], dtype: str = "float32") -> Layer:
    """`shape` with its axes in the order of `perm`."""
    out = tuple(shape[i] for i in perm)
    return sizes.single_layer("transpose", shape, out, dtype, {"perm": tuple(perm)}, (len(shape),))


def pad(shape: Shape, paddings: Sequence[tuple[int, int]], dtype: str = "float32", op: str = "pad") -> Layer:
    """Padding of `shape` by (before, after) per axis: with zeros (``pad``) or mirrored (``mirror_pad``)."""
    out = tuple(n + a + b for n, (a, b) in zip(shape, paddings, strict=True))
    params: dict[str, Param] = {"paddings": tuple(v for pair in paddings for v in pair)}
    if op == "mirror_pad":
        params["mode"] = 0
    return sizes.single_layer(op, shape, out, dtype, params, (len(shape), 2))


def reverse(shape: Shape, axis: int, dtype: str = "float32") -> Layer:
    """`shape` backwards along `axis`."""
    return sizes.single_layer("reverse_v2", shape, shape, dtype, {"axes": (axis,)}, (1,))


def blocks(op: str, height: int, width: int, channels: int, block: int, dtype: str = "float32") -> Layer:
    """Blocks of a plane into channels (``space_to_depth``) or batches (``space_to_batch_nd``), or back from there.

    `height`, `width` and `channels` are those of the input; ``batch_to_space_nd`` reads `block` ** 2 such planes.
    """
    shape, area = (1, height, width, channels), block**2
    small, large = (height // block, width // block), (height * block, width * block)
    if op == "depth_to_space":
        return sizes.single_layer(op, shape, (1, *large, channels // area), dtype, {"block_size": block})
    if op == "space_to_depth":
        return sizes.single_layer(op, shape, (1, *small, channels * area), dtype, {"block_size": block})
    params: dict[str, Param] = {"block_shape": (block, block)}
    if op == "space_to_batch_nd":
        params["paddings"] = (0, 0, 0, 0)
        return sizes.single_layer(op, shape, (area, *small, channels), dtype, params, (2,), (2, 2))
    params["crops"] = (0, 0, 0, 0)
    stacked = (area, height, width, channels)
    return sizes.single_layer(op, stacked, (1, *large, channels), dtype, params, (2,), (2, 2))


def _draw_reshape(op: str, rng: Rng, dtype: str) -> Layer:
    """The same elements as one row."""
    shape = (sizes.scaled(rng, 1, 4096), 1) if dtype == "int32" else sizes.feature_map(rng)
    return reshape(shape, (1, int(np.prod(shape))), dtype)


def _draw_transpose(op: str, rng: Rng, dtype: str) -> Layer:
    """Channels first, heads before steps, a matrix, or shuffled groups of channels."""
    kind = rng.random()
    if kind < 0.35:
        height, width = sizes.plane(rng, 64)
        perm = (0, 3, 1, 2) if rng.random() < 0.6 else (0, 2, 1, 3)
        return transpose((1, height, width, sizes.channels(rng, 512)), perm, dtype)
    if kind < 0.55:
        perm3 = (0, 2, 1) if rng.random() < 0.6 else (1, 0, 2)
        return transpose(sizes.sequence(rng, 256), perm3, dtype)
    if kind < 0.75:
        height, width = sizes.plane(rng, 56)
        groups = int(rng.choice([2, 2, 3, 4, 8]))
        return transpose((1, height, width, groups, sizes.scaled(rng, 2, 128)), (0, 1, 2, 4, 3), dtype)
    steps, heads = sizes.scaled(rng, 3, 256), int(rng.choice([1, 2, 4, 8]))
    perm4 = (0, 2, 1, 3) if rng.random() < 0.6 else (0, 2, 3, 1)
    return transpose((1, steps, heads, int(rng.choice([8, 16, 32, 64]))), perm4, dtype)


def _draw_pad(op: str, rng: Rng, dtype: str) -> Layer:
    """Rows and columns of zeros, or mirrored ones, around a plane; or steps before a sequence."""
    if rng.random() < 0.15:
        shape = sizes.sequence(rng)
        before = int(rng.choice([2, 3, 4, 6, 8, 16]))
        if op == "mirror_pad":
            before = min(before, shape[1] - 1)
        return pad(shape, ((0, 0), (before, 0), (0, 0)), dtype, op)
    height, width = sizes.plane(rng)
    before, after = (int(v) for v in rng.integers(0, 4, 2))
    after = max(after, 1 - before)
    if op == "mirror_pad":
        height, width = max(height, 5), max(width, 5)
    shape4 = (1, height, width, sizes.channels(rng, 1024))
    if (
        op == "pad" and rng.random() < 0.2
    ):  # more channels, for what is added after a layer that has more of them
        return pad(shape4, ((0, 0), (0, 0), (0, 0), (0, sizes.scaled(rng, 1, shape4[3]))), dtype, op)
    return pad(shape4, ((0, 0), (before, after), (before, after), (0, 0)), dtype, op)


def _draw_reverse(op: str, rng: Rng, dtype: str) -> Layer:
    """A sequence or a map backwards along one axis."""
    shape = sizes.feature_map(rng)
    return reverse(shape, int(rng.integers(1, len(shape))), dtype)


def _draw_blocks(op: str, rng: Rng, dtype: str) -> Layer:
    """Positions into channels or batches, or back."""
    block = int(rng.choice([2, 2, 2, 3, 4]))
    height, width = (block * max(1, n // block) for n in sizes.plane(rng, 80))
    channels = sizes.channels(rng, 256)
    if op == "depth_to_space":
        if rng.random() < 0.45:  # the end of a network that makes pictures larger
            channels = int(rng.choice([1, 1, 3, 3, 4]))
            height, width = (block * int(rng.integers(16, 700 // block)) for _ in range(2))
        channels *= block * block
    if op in ("depth_to_space", "batch_to_space_nd"):
        height, width = height // block, width // block
    return blocks(op, height, width, channels, block, dtype)


def _transpose_axes(step: LayerStep) -> None:
    sizes, perm = step.read(0), step.layer.params.get("perm")
    if not isinstance(perm, tuple) or sorted(perm) != list(range(len(sizes))):
        return step.freeze_all()
    step.write([sizes[i] for i in perm])


def _pad_axes(step: LayerStep) -> None:
    sizes, paddings = step.read(0), step.layer.params.get("paddings")
    if not isinstance(paddings, tuple) or len(paddings) != 2 * len(sizes):
        return step.freeze_all()
    result: list[Size] = []
    for place, size in enumerate(sizes):
        before, after = paddings[2 * place : 2 * place + 2]
        if isinstance(size, int) or not (before or after):
            result.append(step.out_shape()[place] if isinstance(size, int) else size)
        else:
            result.append(joined(step, [step.fixed(before, "padding"), size, step.fixed(after, "padding")]))
    step.write(result)


def _block_axes(step: LayerStep) -> None:
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


def _new_shape(params: dict[str, Param], inputs: Sequence[Shape | None], outputs: Sequence[Shape]) -> None:
    if outputs:
        params["new_shape"] = outputs[0]


def _squeezed(params: dict[str, Param], inputs: Sequence[Shape | None], outputs: Sequence[Shape]) -> None:
    """Without axes, all of size 1 vanish."""
    if inputs and inputs[0] is not None and not params.get("axes"):
        params["axes"] = tuple(i for i, size in enumerate(inputs[0]) if size == 1)


_PADDINGS = (StoredParam(1, "paddings"),)

register_operators(
    moving(
        "reshape",
        FileFormat(
            17,
            (OptionField(0, "ints", "new_shape"),),
            computed={1: lambda layer: layer.outputs[0].shape},
            complete=_new_shape,
        ),
        draws=drawn(
            _draw_reshape, uint8=(8, 15), float32=(30, 12), int8=(25, 11), int32=(15, 5), int16=(25, 11)
        ),
        widths=reshape_axes,
        resized=lambda old, inputs, outputs: {**old.params, "new_shape": outputs[0].shape},
        events={"Static Reshape": 0.0, "Static Expand Dims": 0.1, "Copy": 0.2},
        reference=ReferenceLayers(
            lambda op, dtype, s: reshape(sizes.map_shape(s), (1, s["side"] ** 2 * s["channels"]), dtype),
            sizes.REFERENCE_MAPS,
            sizes.ON_MAPS,
        ),
    ),
    Operator(
        "squeeze",
        FileFormat(30, (OptionField(0, "ints", "axes"),), complete=_squeezed),
        widths=reshape_axes,
        events={"Static Reshape": 0.1, "Copy": 0.3},
    ),
    Operator(
        "expand_dims",
        FileFormat(52, stored=(StoredParam(1, "axis", "axis"),), axis_of_output=True),
        widths=reshape_axes,
        events={"Static Expand Dims": 0.0, "Static Reshape": 0.2, "Copy": 0.4},
    ),
    moving(
        "transpose",
        FileFormat(26, stored=(StoredParam(1, "perm"),)),
        draws=drawn(_draw_transpose, uint8=(8, 20), float32=(90, 13), int8=(70, 24), int16=(40, 24)),
        widths=_transpose_axes,
        features="transpose",
        events={"Transpose": 0.0},
        reference=ReferenceLayers(
            lambda op, dtype, s: transpose(sizes.map_shape(s), (0, 3, 1, 2), dtype),
            sizes.reference_maps((8, 128), (14, 96), (28, 64)),
            sizes.ON_MAPS,
        ),
    ),
    moving(
        "pad",
        FileFormat(22, stored=_PADDINGS),
        draws=drawn(_draw_pad, uint8=(8, 16), float32=(60, 10), int8=(50, 9), int16=(40, 9)),
        widths=_pad_axes,
        events={"Constant Pad": 0.0},
        reference=ReferenceLayers(
            lambda op, dtype, s: pad(sizes.map_shape(s), ((0, 0), (1, 1), (1, 1), (0, 0)), dtype),
            sizes.REFERENCE_MAPS,
            sizes.ON_MAPS,
        ),
    ),
    Operator("padv2", FileFormat(43, stored=_PADDINGS), widths=_pad_axes, events={"Constant Pad": 0.1}),
    moving(
        "mirror_pad",
        FileFormat(77, (OptionField(0, "byte", "mode"),), stored=_PADDINGS),
        draws=drawn(_draw_pad, int8=(10, 65), float32=(20, 61)),
    ),
    moving(
        "reverse_v2",
        FileFormat(stored=AXES),
        draws=drawn(_draw_reverse, int8=(10, 69), float32=(22, 62)),
        widths=keep_axes,
    ),
    moving(
        "space_to_depth",
        FileFormat(19, numbers(0, "block_size")),
        draws=drawn(_draw_blocks, uint8=(8, 30), float32=(25, 64), int8=(26, 32)),
        widths=_block_axes,
        events={"Space To Depth": 0.0},
    ),
    moving(
        "depth_to_space",
        FileFormat(94, numbers(0, "block_size")),
        draws=drawn(_draw_blocks, uint8=(8, 31), float32=(25, 65), int8=(28, 33)),
        widths=_block_axes,
        events={"Depth To Space": 0.0},
    ),
    moving(
        "space_to_batch_nd",
        FileFormat(25, stored=(StoredParam(1, "block_shape"), StoredParam(2, "paddings"))),
        draws=drawn(_draw_blocks, int8=(10, 62), float32=(20, 66)),
        widths=keep_channels,
    ),
    moving(
        "batch_to_space_nd",
        FileFormat(24, stored=(StoredParam(1, "block_shape"), StoredParam(2, "crops"))),
        draws=drawn(_draw_blocks, int8=(10, 63), float32=(20, 67)),
        widths=keep_channels,
    ),
)
