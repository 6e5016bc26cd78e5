"""Operators that work element by element on two or more operands: arithmetic, comparisons, selection."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from profiler.axes import LayerStep, Size
from profiler.network import Arithmetic, Layer, Param, Shape, Tensor
from profiler.operators import sizes
from profiler.operators.options import FileFormat, Quantization, activation, quiet
from profiler.operators.registry import (
    Operator,
    ReferenceLayers,
    Rng,
    Sizes,
    drawn,
    operator,
    register_operators,
)


def binary(
    op: str,
    left: Shape,
    right: Shape,
    activation: str = "none",
    dtype: str = "float32",
    constant: bool = False,
) -> Layer:
    """An elementwise operator of two operands with broadcasting; `constant` says that the right one is stored."""
    rank = max(len(left), len(right))
    a, b = (1,) * (rank - len(left)) + left, (1,) * (rank - len(right)) + right
    out = tuple(max(x, y) for x, y in zip(a, b, strict=True))
    params: dict[str, Param] = {"activation": activation} if operator(op).file.fuses_activation else {}
    if dtype == "int16" and op in ("add", "sub"):
        params["pot_scale_int16"] = False
    return Layer(op, (Tensor(left, dtype), Tensor(right, dtype, constant)), (Tensor(out, dtype),), params)


def compare(op: str, left: Shape, right: Shape, dtype: str = "float32", constant: bool = False) -> Layer:
    """A comparison (``less`` …) or, of ``bool``, a logical operator; `right` is shaped like `left` or a single number."""
    return Layer(op, (Tensor(left, dtype), Tensor(right, dtype, constant)), (Tensor(left, "bool"),))


def _draw_binary(op: str, rng: Rng, dtype: str) -> Layer:
    """Two operands: of one shape, or the smaller one repeated per channel, per position, or everywhere."""
    if dtype == "int32":
        return _draw_index_binary(op, rng)
    left = sizes.feature_map(rng)
    channels = left[-1]
    kind = rng.random()
    constant = False
    right: Shape = left
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
    if operator(op).file.fuses_activation and rng.random() < 0.25:
        activation = str(rng.choice(["relu", "relu6"]))
    layer = binary(op, left, right, activation, dtype, constant)
    if constant and op in ("sub", "div") and rng.random() < 0.4:  # 1 - x, 1 / x
        return replace(layer, inputs=layer.inputs[::-1])
    return layer


def _draw_index_binary(op: str, rng: Rng) -> Layer:
    """Arithmetic of counters and indices: mostly a single number."""
    shape = () if rng.random() < 0.3 else (sizes.scaled(rng, 1, 4096),)
    kinds = rng.random()
    right = () if kinds < 0.6 else shape
    return binary(op, shape, right, dtype="int32", constant=kinds < 0.8)


def _draw_prelu(op: str, rng: Rng, dtype: str) -> Layer:
    """A leaky ReLU with a learned slope per channel."""
    shape = sizes.feature_map(rng)
    slope = (1,) * (len(shape) - 2) + shape[-1:]
    return binary("prelu", shape, slope, dtype=dtype, constant=True)


def _draw_compare(op: str, rng: Rng, dtype: str) -> Layer:
    """A comparison with a stored number or another operand."""
    index = dtype == "int32"
    shape = sizes.index_shape(rng) if index else sizes.feature_map(rng)
    alone = rng.random() < 0.6
    return compare(op, shape, () if alone else shape, dtype, constant=alone)


def _draw_logical(op: str, rng: Rng, dtype: str) -> Layer:
    """Two masks."""
    shape = sizes.index_shape(rng)
    return compare(op, shape, shape, "bool")


def _draw_select(op: str, rng: Rng, dtype: str) -> Layer:
    """One of two operands per element, the second often a stored number (masked attention)."""
    shape = (1, sizes.scaled(rng, 2, 4096)) if dtype == "int32" else sizes.feature_map(rng)
    kind = rng.random()
    mask, constant = (shape, True) if kind < 0.5 else (shape, False)
    if len(shape) == 4 and kind > 0.7:
        mask = (1, 1, *shape[2:])
    other = Tensor((), dtype, True) if constant else Tensor(shape, dtype)
    return Layer("select_v2", (Tensor(mask, "bool"), Tensor(shape, dtype), other), (Tensor(shape, dtype),))


def elementwise_axes(step: LayerStep) -> None:
    """Operands tie the axes that they have in common, and freeze those that are repeated."""
    rank = len(step.out_shape())
    operands = [(slot, step.read(slot)) for slot in range(step.inputs)]
    moving = [(slot, axes) for slot, axes in operands if not step.constant(slot)]
    result: list[Size] = list(step.out_shape())
    for place in range(1, rank + 1):
        wide = step.out_shape()[-place]
        total: Size | None = None
        for _, axes in moving:
            if place > len(axes):
                continue
            size = axes[-place]
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
    for slot, axes in operands:
        if step.constant(slot):
            given = [
                result[place - len(axes)] if n == step.out_shape()[place - len(axes)] and n != 1 else n
                for place, n in enumerate(step.shape(slot))
            ]
            if any(not isinstance(s, int) for s in given):
                step.give(slot, given)
    step.write(result)


def _reference_binary(op: str, dtype: str, s: Sizes) -> Layer:
    left = sizes.map_shape(s)
    others: dict[str, Shape] = {"same shape": left, "per channel": left[-1:], "single value": ()}
    right = others[s.get("operand", "same shape")]
    return binary(op, left, right, s.get("activation", "none"), dtype, constant=right != left)


_REFERENCE = ReferenceLayers(
    _reference_binary,
    sizes.REFERENCE_MAPS,
    {
        **sizes.ON_MAPS,
        "operand": ("same shape", "per channel", "single value"),
        "activation": ("none", "relu", "relu6"),
    },
)
_ADDED = (activation(0), quiet(1, "bool", "pot_scale_int16", True))
_PLAIN = Quantization()
_KEEPS_SCALE = Quantization(keeps_scale=True)
_MASKED = Arithmetic(of_result=True)

_plain = partial(Operator, widths=elementwise_axes)
_binary = partial(_plain, features="binary")


def _arithmetic(
    name: str,
    file: FileFormat,
    events: dict[str, float],
    quantization: Quantization = _PLAIN,
    **counts: tuple[int, int],
) -> Operator:
    """An operator of two numbers, with (count, stream) of its probes by arithmetic."""
    return _binary(
        name,
        file,
        quantization,
        drawn(_draw_binary, **counts),
        row="binary",
        events=events,
        reference=_REFERENCE,
    )


register_operators(
    _arithmetic(
        "add",
        FileFormat(11, _ADDED),
        {"Add": 0.0},
        uint8=(8, 4),
        float32=(165, 3),
        int8=(130, 3),
        int16=(80, 3),
        int32=(20, 0),
    ),
    _arithmetic(
        "mul",
        FileFormat(21, (activation(0),)),
        {"Multiply": 0.0, "Invalid Unary Op": 0.1},
        uint8=(8, 5),
        float32=(165, 4),
        int8=(120, 4),
        int16=(80, 4),
    ),
    _arithmetic(
        "sub",
        FileFormat(28, _ADDED),
        {"Subtract": 0.0},
        uint8=(8, 6),
        float32=(60, 5),
        int8=(50, 26),
        int16=(30, 25),
    ),
    _arithmetic("div", FileFormat(29, (activation(0),)), {"Divide": 0.0}, float32=(40, 39)),
    _arithmetic(
        "maximum",
        FileFormat(39),
        {"Maximum": 0.0},
        _KEEPS_SCALE,
        float32=(35, 40),
        int8=(30, 27),
        int16=(35, 26),
    ),
    _arithmetic("minimum", FileFormat(39), {"Minimum": 0.0}, _KEEPS_SCALE),
    _arithmetic(
        "squared_difference", FileFormat(76), {"Squared Difference": 0.0}, float32=(40, 41), int8=(30, 29)
    ),
    _binary(
        "pow",
        FileFormat(56),
        draws=drawn(_draw_binary, float32=(30, 42)),
        row="binary",
        events={"Power": 0.0},
    ),
    _binary(
        "prelu",
        draws=drawn(_draw_prelu, uint8=(8, 25), float32=(30, 43), int8=(25, 28), int16=(25, 27)),
        row="binary",
        events={"PReLU": 0.0},
    ),
    _binary(
        "greater", FileFormat(44), draws=drawn(_draw_compare, float32=(20, 44), int8=(14, 31), int32=(25, 1))
    ),
    _binary("less", FileFormat(41)),
    _binary("equal", FileFormat(53)),
    _binary("logical_and", FileFormat(62), draws=drawn(_draw_logical, int32=(20, 2))),
    _binary(
        "select_v2",
        FileFormat(98),
        _KEEPS_SCALE,
        draws=drawn(_draw_select, float32=(24, 45), int8=(26, 30), int32=(15, 4), int16=(20, 28)),
        arithmetic=_MASKED,
    ),
    _plain("select", FileFormat(47), arithmetic=_MASKED),
    _plain("greater_equal", FileFormat(45)),
    _plain("less_equal", FileFormat(46)),
    _plain("not_equal", FileFormat(54)),
    _plain("logical_or", FileFormat(60)),
)
