"""Random layers of what moves elements without computing: joins, cuts, repetitions, changes of order."""

from __future__ import annotations

import numpy as np

from profiler.network import Layer
from profiler.operators import constructors as shapes
from profiler.operators import data_movement as moves
from profiler.operators import draw_sizes as sizes
from profiler.operators.draw_sizes import Draw, Rng


def pad(op: str) -> Draw:
    """Rows and columns of zeros, or mirrored ones, around a plane; or steps before a sequence."""

    def draw(rng: Rng, dtype: str) -> Layer:
        if rng.random() < 0.15:
            shape = sizes.sequence(rng)
            before = int(rng.choice([2, 3, 4, 6, 8, 16]))
            if op == "mirror_pad":
                before = min(before, shape[1] - 1)
            return shapes.pad(shape, ((0, 0), (before, 0), (0, 0)), dtype, op)
        height, width = sizes.plane(rng)
        before, after = (int(v) for v in rng.integers(0, 4, 2))
        after = max(after, 1 - before)
        if op == "mirror_pad":
            height, width = max(height, 5), max(width, 5)
        shape4 = (1, height, width, sizes.channels(rng, 1024))
        return shapes.pad(shape4, ((0, 0), (before, after), (before, after), (0, 0)), dtype, op)

    return draw


def concatenation(rng: Rng, dtype: str) -> Layer:
    """Maps joined along their channels; now and then vectors, or sequences along their steps."""
    kind = rng.random()
    count = int(rng.choice([2, 2, 2, 3, 4, 4, 5, 6]))
    if dtype == "int32":
        return shapes.concatenation([(sizes.scaled(rng, 1, 64),) for _ in range(count)], 0, dtype)
    if kind < 0.1:
        return shapes.concatenation([(1, sizes.channels(rng, 1024)) for _ in range(count)], 1, dtype)
    if kind < 0.2:
        features = sizes.channels(rng, 512)
        parts = [(1, sizes.scaled(rng, 1, 256), features) for _ in range(count)]
        return shapes.concatenation(parts, 1, dtype)
    height, width = sizes.plane(rng, 112)
    return shapes.concatenation(
        [(1, height, width, sizes.channels(rng, 512)) for _ in range(count)], 3, dtype
    )


def reshape(rng: Rng, dtype: str) -> Layer:
    """The same elements as one row."""
    shape = (sizes.scaled(rng, 1, 4096), 1) if dtype == "int32" else sizes.feature_map(rng)
    return shapes.reshape(shape, (1, int(np.prod(shape))), dtype)


def transpose(rng: Rng, dtype: str) -> Layer:
    """Channels first, heads before steps, a matrix, or shuffled groups of channels."""
    kind = rng.random()
    if kind < 0.35:
        height, width = sizes.plane(rng, 64)
        perm = (0, 3, 1, 2) if rng.random() < 0.6 else (0, 2, 1, 3)
        return shapes.transpose((1, height, width, sizes.channels(rng, 512)), perm, dtype)
    if kind < 0.55:
        perm3 = (0, 2, 1) if rng.random() < 0.6 else (1, 0, 2)
        return shapes.transpose(sizes.sequence(rng, 256), perm3, dtype)
    if kind < 0.65:
        height, width = sizes.plane(rng, 56)
        groups = int(rng.choice([2, 3, 4, 8]))
        return shapes.transpose((1, height, width, groups, sizes.scaled(rng, 2, 128)), (0, 1, 2, 4, 3), dtype)
    steps, heads = sizes.scaled(rng, 3, 256), int(rng.choice([1, 2, 4, 8]))
    perm4 = (0, 2, 1, 3) if rng.random() < 0.6 else (0, 2, 3, 1)
    return shapes.transpose((1, steps, heads, int(rng.choice([8, 16, 32, 64]))), perm4, dtype)


def split(rng: Rng, dtype: str) -> Layer:
    """Equal parts along the last axis (gates, heads) or the steps."""
    shape = _split_shape(rng)
    axis = len(shape) - 1 if rng.random() < 0.75 else max(1, len(shape) - 2)
    parts = int(rng.choice([2, 3, 4, 4]))
    shape = (*shape[:axis], parts * max(1, shape[axis] // parts), *shape[axis + 1 :])
    return moves.split(shape, axis, parts, dtype)


def _split_shape(rng: Rng) -> tuple[int, ...]:
    return (1, sizes.scaled(rng, 8, 1024)) if rng.random() < 0.4 else sizes.feature_map(rng)


def unpack(rng: Rng, dtype: str) -> Layer:
    """The steps of a sequence one by one."""
    steps, features = sizes.scaled(rng, 2, 64), sizes.channels(rng, 512)
    shape, axis = ((steps, 1, features), 0) if rng.random() < 0.6 else ((1, steps, features), 1)
    return moves.unpack(shape, axis, dtype)


def pack(rng: Rng, dtype: str) -> Layer:
    """Steps put together into a sequence; or a few indices."""
    if dtype == "int32":
        return moves.pack(int(rng.integers(2, 5)), (), 0, dtype)
    axis = int(rng.choice([0, 1]))
    return moves.pack(sizes.scaled(rng, 2, 64), (1, sizes.channels(rng, 512)), axis, dtype)


def strided_slice(rng: Rng, dtype: str) -> Layer:
    """One step of a sequence, a crop, every second position, or some of the channels."""
    if dtype == "int32":
        return moves.strided_slice((4,), ((int(rng.integers(0, 4)), 1, 1),), (0,), dtype)
    kind = rng.random()
    if kind < 0.35:
        shape = sizes.sequence(rng)
        step = int(rng.integers(0, shape[1]))
        return moves.strided_slice(shape, ((0, 1, 1), (step, 1, 1), (0, shape[2], 1)), (1,), dtype)
    if kind < 0.55:
        shape = sizes.sequence(rng)
        axis = int(rng.choice([1, 2]))
        start = int(rng.integers(0, shape[axis]))
        ranges = [(0, n, 1) for n in shape]
        ranges[axis] = (start, shape[axis] - start, 1)
        return moves.strided_slice(shape, ranges, (), dtype)
    height, width = sizes.plane(rng, 112)
    channels = sizes.channels(rng, 512)
    whole = (0, channels, 1)
    if kind < 0.75:
        begin = int(rng.integers(0, 3))
        inside = [
            (min(begin, n - 1), max(1, n - begin - int(rng.integers(0, 3))), 1) for n in (height, width)
        ]
        inside = [(b, min(c, n - b), 1) for (b, c, _), n in zip(inside, (height, width), strict=True)]
        return moves.strided_slice((1, height, width, channels), ((0, 1, 1), *inside, whole), (), dtype)
    if kind < 0.85:
        halves = [(0, -(-n // 2), 2) for n in (height, width)]
        return moves.strided_slice((1, height, width, channels), ((0, 1, 1), *halves, whole), (), dtype)
    start = int(rng.integers(0, channels))
    ranges4 = ((0, 1, 1), (0, height, 1), (0, width, 1), (start, channels - start, 1))
    return moves.strided_slice((1, height, width, channels), ranges4, (), dtype)


def slice_(rng: Rng, dtype: str) -> Layer:
    """A part along one axis."""
    shape = sizes.feature_map(rng)
    axis = int(rng.integers(1, len(shape)))
    begin = int(rng.integers(0, shape[axis]))
    return moves.slice_(shape, axis, begin, int(rng.integers(1, shape[axis] - begin + 1)), dtype)


def gather(rng: Rng, dtype: str) -> Layer:
    """Rows of a stored table (embedding), one step of a sequence, or positions of a map."""
    if dtype == "int32":
        return moves.gather((sizes.scaled(rng, 1, 64),), (), 0, dtype)
    kind = rng.random()
    if kind < 0.5:
        table = (sizes.scaled(rng, 16, 4000), sizes.channels(rng, 512))
        return moves.gather(table, (1, sizes.scaled(rng, 1, 512)), 0, dtype, table=True)
    if kind < 0.75:
        steps, features = sizes.scaled(rng, 2, 256), sizes.channels(rng, 1024)
        return moves.gather((steps, 1, features), (), 0, dtype)
    height, width = sizes.plane(rng, 64)
    shape = (1, height, width, sizes.channels(rng, 256))
    return moves.gather(shape, (sizes.scaled(rng, 1, 64),), int(rng.integers(1, 4)), dtype, stored=True)


def tile(rng: Rng, dtype: str) -> Layer:
    """Repetition: of a vector over a plane, or of rows and columns (upsampling)."""
    kind = rng.random()
    if kind < 0.4:
        height, width = sizes.plane(rng, 64)
        return moves.tile((1, 1, 1, sizes.channels(rng, 512)), (1, height, width, 1), dtype)
    if kind < 0.7:
        height, width = sizes.plane(rng, 64)
        return moves.tile((1, height, 1, width, sizes.channels(rng, 128)), (1, 1, 2, 1, 1), dtype)
    steps, features = sizes.scaled(rng, 2, 256), sizes.channels(rng, 512)
    return moves.tile((1, steps, 1, features), (1, 1, int(rng.choice([2, 3, 4])), 1), dtype)


def broadcast_to(rng: Rng, dtype: str) -> Layer:
    """Repetition up to a given shape."""
    height, width = sizes.plane(rng, 64)
    channels = sizes.channels(rng, 256)
    small = (1, 1, 1, channels) if rng.random() < 0.5 else (1, height, 1, channels)
    return moves.broadcast_to(small, (1, height, width, channels), dtype)


def blocks(op: str) -> Draw:
    """Positions into channels or batches, or back."""

    def draw(rng: Rng, dtype: str) -> Layer:
        block = int(rng.choice([2, 2, 2, 3, 4]))
        height, width = (block * max(1, n // block) for n in sizes.plane(rng, 80))
        channels = sizes.channels(rng, 256)
        if op == "depth_to_space":
            return moves.depth_to_space(
                height // block, width // block, channels * block * block, block, dtype
            )
        if op == "space_to_depth":
            return moves.space_to_depth(height, width, channels, block, dtype)
        if op == "space_to_batch_nd":
            return moves.space_to_batch_nd(height, width, channels, block, dtype)
        return moves.batch_to_space_nd(height // block, width // block, channels, block, dtype)

    return draw


def one_hot(rng: Rng, dtype: str) -> Layer:
    """Indices as rows with a single one."""
    return moves.one_hot((1, sizes.scaled(rng, 1, 512)), sizes.scaled(rng, 2, 1024), dtype)


def reverse(rng: Rng, dtype: str) -> Layer:
    """A sequence or a map backwards along one axis."""
    shape = sizes.feature_map(rng)
    return moves.reverse(shape, int(rng.integers(1, len(shape))), dtype)


def shape_of(rng: Rng, dtype: str) -> Layer:
    """The sizes of a tensor."""
    return moves.shape_of(sizes.feature_map(rng), "float32")
