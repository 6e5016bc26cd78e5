"""Random layers of what works element by element."""

from __future__ import annotations

from dataclasses import replace

from profiler.network import Layer, Tensor
from profiler.operators import constructors as shapes
from profiler.operators import draw_sizes as sizes
from profiler.operators.draw_sizes import Draw, Rng


def binary(op: str) -> Draw:
    """Two operands: of one shape, or the smaller one repeated per channel, per position, or everywhere."""

    def draw(rng: Rng, dtype: str) -> Layer:
        left = sizes.feature_map(rng)
        channels = left[-1]
        kind = rng.random()
        constant = False
        right: tuple[int, ...] = left
        if kind < 0.5:
            pass
        elif kind < 0.7:
            if len(left) == 4 and rng.random() < 0.3:  # images on their way in
                channels = int(rng.choice([1, 3, 3, 4]))
                left = (*left[:3], channels)
            right, constant = (channels,), True
        elif kind < 0.8:
            if len(left) == 4 and rng.random() < 0.3:
                left = (*left[:3], 3)
            right, constant = (), True
        elif len(left) == 4 and kind < 0.9:
            right = (1, 1, 1, channels)
        elif kind < 0.97:  # normalisation of each position
            right = (*left[:-1], 1)
        activation = "none"
        if op not in shapes.WITHOUT_ACTIVATION and rng.random() < 0.25:
            activation = str(rng.choice(["relu", "relu6"]))
        layer = shapes.binary(op, left, right, activation, dtype, constant)
        if constant and op in ("sub", "div") and rng.random() < 0.4:  # 1 - x, 1 / x
            return replace(layer, inputs=layer.inputs[::-1])
        return layer

    return draw


def index_binary(op: str) -> Draw:
    """Arithmetic of counters and indices: mostly a single number."""

    def draw(rng: Rng, dtype: str) -> Layer:
        shape = () if rng.random() < 0.3 else (sizes.scaled(rng, 1, 4096),)
        kinds = rng.random()
        right = () if kinds < 0.6 else shape
        return shapes.binary(op, shape, right, dtype="int32", constant=kinds < 0.8)

    return draw


def unary(op: str) -> Draw:
    """One operand."""

    def draw(rng: Rng, dtype: str) -> Layer:
        layer = shapes.unary(op, sizes.feature_map(rng), dtype)
        if op == "gelu" and rng.random() < 0.4:
            return replace(layer, params={"approximate": True})
        if op == "leaky_relu":
            return replace(layer, params={"alpha": float(rng.choice([0.125, 0.25]))})
        return layer

    return draw


def prelu(rng: Rng, dtype: str) -> Layer:
    """A leaky ReLU with a learned slope per channel."""
    shape = sizes.feature_map(rng)
    slope = (1,) * (len(shape) - 2) + shape[-1:]
    return shapes.binary("prelu", shape, slope, dtype=dtype, constant=True)


def compare(op: str) -> Draw:
    """A comparison with a stored number or another operand."""

    def draw(rng: Rng, dtype: str) -> Layer:
        index = dtype == "int32"
        shape = _index_shape(rng) if index else sizes.feature_map(rng)
        alone = rng.random() < 0.6
        return shapes.compare(op, shape, () if alone else shape, dtype, constant=alone)

    return draw


def logical(op: str) -> Draw:
    """Two masks."""

    def draw(rng: Rng, dtype: str) -> Layer:
        shape = _index_shape(rng)
        return shapes.compare(op, shape, shape, "bool")

    return draw


def select(rng: Rng, dtype: str) -> Layer:
    """One of two operands per element, the second often a stored number (masked attention)."""
    shape = (1, sizes.scaled(rng, 2, 4096)) if dtype == "int32" else sizes.feature_map(rng)
    kind = rng.random()
    mask, constant = (shape, True) if kind < 0.5 else (shape, False)
    if len(shape) == 4 and kind > 0.7:
        mask = (1, 1, *shape[2:])
    other = Tensor((), dtype, True) if constant else Tensor(shape, dtype)
    return Layer("select_v2", (Tensor(mask, "bool"), Tensor(shape, dtype), other), (Tensor(shape, dtype),))


def cast(rng: Rng, dtype: str) -> Layer:
    """Numbers into another type: of indices, masks and floats."""
    if dtype == "int32":
        kinds = ("int32", "float32") if rng.random() < 0.7 else ("bool", "float32")
        return shapes.unary("cast", _index_shape(rng), *kinds)
    return shapes.unary("cast", sizes.feature_map(rng), "float32", "int32")


def quantize(rng: Rng, dtype: str) -> Layer:
    """Floats into integers, or integers of one scale into those of another."""
    source = dtype if rng.random() < 0.4 else "float32"
    return shapes.unary("quantize", sizes.feature_map(rng), source, dtype)


def dequantize(rng: Rng, dtype: str) -> Layer:
    """Integers into floats."""
    return shapes.unary("dequantize", sizes.feature_map(rng), dtype, "float32")


def _index_shape(rng: Rng) -> tuple[int, ...]:
    """Shape of indices and masks: a single one, a sequence, or a square of two sequences."""
    kind = rng.random()
    if kind < 0.3:
        return ()
    if kind < 0.7:
        return 1, sizes.scaled(rng, 2, 4096)
    steps = sizes.scaled(rng, 4, 256)
    return 1, 1, steps, steps
