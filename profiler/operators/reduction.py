"""Random layers of what makes few numbers of many, or works along an axis: reductions, softmax, pooling, resizing."""

from __future__ import annotations

import numpy as np

from profiler.network import Layer
from profiler.operators import constructors as shapes
from profiler.operators import data_movement as moves
from profiler.operators import draw_sizes as sizes
from profiler.operators.draw_sizes import Draw, Rng


def softmax(op: str) -> Draw:
    """Rows of scores: of one classification, or of every step and head."""

    def draw(rng: Rng, dtype: str) -> Layer:
        rows = 1 if rng.random() < 0.5 else int(np.exp(rng.uniform(0, np.log(2000))))
        columns = max(2, round(float(np.exp(rng.uniform(0.5, np.log(2000))))))
        return shapes.unary(op, (rows, columns), dtype)

    return draw


def pool(op: str) -> Draw:
    """Pooling, for averages also over the whole plane."""

    def draw(rng: Rng, dtype: str) -> Layer:
        height, width = sizes.plane(rng, 128)
        kind = rng.random()
        if op == "average_pool_2d" and kind < 0.35:  # the global pooling of many networks
            height, width = min(height, 32), min(width, 32)
            return shapes.pool_2d(
                op, height, width, sizes.channels(rng), (height, width), (height, width), "valid", dtype
            )
        kernel = (
            (2, 2)
            if kind < 0.65
            else (3, 3)
            if kind < 0.9
            else (int(rng.integers(1, 6)), int(rng.integers(1, 6)))
        )
        stride = kernel if kind < 0.65 else (2, 2) if kind < 0.8 else (1, 1)
        padding = "same" if rng.random() < 0.5 else "valid"
        if kind < 0.4 and rng.random() < 0.25:  # of a sequence
            height, width, kernel, stride = 1, sizes.scaled(rng, 8, 2048), (1, 2), (1, 2)
        height, width = max(height, kernel[0]), max(width, kernel[1])
        return shapes.pool_2d(op, height, width, sizes.channels(rng, 1024), kernel, stride, padding, dtype)

    return draw


def reduction(op: str) -> Draw:
    """Over the plane, over the steps of a sequence, or over the channels (normalisation)."""

    def draw(rng: Rng, dtype: str) -> Layer:
        kind = rng.random()
        if kind < 0.65:
            height, width = sizes.plane(rng, 112)
            shape = (1, height, width, sizes.channels(rng))
            return shapes.reduce(op, shape, (1, 2), rng.random() < 0.5, dtype)
        if kind < 0.8:
            height, width = sizes.plane(rng, 64)
            return shapes.reduce(op, (1, height, width, sizes.channels(rng, 1024)), (3,), True, dtype)
        steps = max(2, int(np.exp(rng.uniform(0, np.log(256)))))
        axis = 1 if kind < 0.88 else 2
        keep = axis == 2 and rng.random() < 0.8
        return shapes.reduce(op, (1, steps, sizes.channels(rng, 1024)), (axis,), keep, dtype)

    return draw


def arg_max(rng: Rng, dtype: str) -> Layer:
    """The place of the largest, along the last axis."""
    shape = sizes.feature_map(rng)
    shape = (shape[0], sizes.scaled(rng, 1, 64), *shape[1:]) if len(shape) == 2 else shape
    return moves.arg_max(shape, dtype)


def cumsum(rng: Rng, dtype: str) -> Layer:
    """Running sums."""
    shape = sizes.sequence(rng)
    return moves.cumsum(shape, int(rng.choice([1, 2])), dtype)


def top_k(rng: Rng, dtype: str) -> Layer:
    """The largest of each row."""
    columns = sizes.scaled(rng, 8, 4000)
    rows = 1 if rng.random() < 0.6 else sizes.scaled(rng, 1, 200)
    return moves.top_k(rows, columns, min(columns, int(rng.choice([1, 3, 5, 10, 32]))), dtype)


def resize(op: str) -> Draw:
    """Larger planes, mostly by a whole factor."""

    def draw(rng: Rng, dtype: str) -> Layer:
        height, width = sizes.plane(rng, 80)
        scale = int(rng.choice([2, 2, 2, 3, 4]))
        if rng.random() < 0.25:
            return shapes.resize(
                op, height, width, sizes.channels(rng, 512), sizes.side(rng, 160), sizes.side(rng, 160), dtype
            )
        return shapes.resize(
            op, height, width, sizes.channels(rng, 512), height * scale, width * scale, dtype
        )

    return draw
