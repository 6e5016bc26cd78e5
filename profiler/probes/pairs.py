"""Pair probes: neighbours that a runtime may run as one operator, and each of the two on its own.

Producers are made cheap: what is saved must be a good part of the whole.
"""

from __future__ import annotations

from collections.abc import Iterator

from profiler import operators
from profiler.network import ACTIVATIONS, FUSION_PATTERNS, Layer
from profiler.probes.probe import Probe

SIZES = ((14, 64), (28, 32), (7, 192), (56, 24))
"""Side and channels of the feature maps between the operators of a pair."""
_FEW = 8
"""Input channels of the convolutions before another operator."""
_BORDER = ((0, 0), (1, 1), (1, 1), (0, 0))

Pair = tuple[tuple[Layer, ...], tuple[tuple[int, ...], ...]]
"""Layers and wiring of a probe."""


def plan_pairs(dtype: str) -> list[Probe]:
    """Pairs of every pattern, each with its operators alone, size by size.

    Where a runtime treats a fused activation as an operator of its own is seen from operators with one and without.
    """
    probes: list[Probe] = []
    for side, channels in SIZES:
        for layers, wiring in _pairs(side, channels, dtype):
            probes.append(Probe("pair", layers, wiring))
            probes += [Probe("layer", (layer,)) for layer in layers]
        probes += [Probe("layer", (layer,)) for layer in _with_activation(side, channels, dtype)]
    return list(dict.fromkeys(probes))


def _pairs(side: int, channels: int, dtype: str) -> Iterator[Pair]:
    for before, after in _producers_and_followers(side, channels, dtype):
        residual = len(after.activations) > 1
        own = tuple(-1 - slot for slot in range(len(before.activations)))
        yield (before, after), (own, (0, -9)) if residual else ()
    shape = (1, side, side, channels)
    swish = operators.unary("logistic", shape, dtype), operators.binary("mul", shape, shape, dtype=dtype)
    yield swish, ((-1,), (-1, 0))


def _producers_and_followers(side: int, channels: int, dtype: str) -> Iterator[tuple[Layer, Layer]]:
    """Neighbours of all patterns but x * sigmoid(x)."""
    shape = (1, side, side, channels)
    conv = operators.conv_2d(side, side, _FEW, channels, (1, 1), dtype=dtype)
    depthwise = operators.depthwise_conv_2d(side, side, channels, dtype=dtype)
    dense = operators.fully_connected(4 * _FEW, 16 * channels, dtype=dtype)
    wide = (1, 16 * channels)
    padded = operators.pad(shape, _BORDER, dtype)
    for stride in ((1, 1), (2, 2)):
        inside = (side + 2, side + 2, channels)
        yield padded, operators.conv_2d(*inside, _FEW, (3, 3), stride, padding="valid", dtype=dtype)
        yield padded, operators.depthwise_conv_2d(*inside, (3, 3), stride, padding="valid", dtype=dtype)
    for op in ("max_pool_2d", "average_pool_2d"):
        yield padded, operators.pool_2d(op, side + 2, side + 2, channels, (3, 3), (2, 2), "valid", dtype)

    def constant(op: str, over: tuple[int, ...]) -> Layer:
        return operators.binary(op, over, (over[-1],), dtype=dtype, constant=True)

    add = operators.binary("add", shape, shape, dtype=dtype)
    pool = operators.pool_2d("max_pool_2d", 2 * side, 2 * side, channels, (2, 2), (2, 2), "valid", dtype)
    producers = {
        "conv_2d": conv,
        "depthwise_conv_2d": depthwise,
        "add": add,
        "add_const": constant("add", shape),
        "mul_const": constant("mul", shape),
        "max_pool_2d": pool,
    }
    for pattern in FUSION_PATTERNS:
        first, second = pattern.split("+")
        known = dtype == "float32" or second != "gelu"
        if first in producers and second in ACTIVATIONS and known:
            yield producers[first], operators.unary(second, shape, dtype)
    yield dense, operators.unary("relu", wide, dtype)
    if dtype == "float32":
        yield dense, operators.unary("gelu", wide, dtype)
    for layer, over in ((conv, shape), (depthwise, shape), (dense, wide)):
        yield layer, operators.binary("add", over, over, dtype=dtype)
        yield layer, constant("add", over)
    yield conv, constant("mul", shape)
    yield depthwise, constant("mul", shape)
    yield constant("mul", shape), constant("add", shape)
    yield dense, operators.unary("softmax", wide, dtype)
    yield from _moving(side, channels, dtype, conv)
    if dtype == "int8":
        quantize = operators.unary("quantize", shape, "float32", "int8")
        dequantize = operators.unary("dequantize", shape, "int8", "float32")
        yield quantize, operators.conv_2d(side, side, channels, _FEW, (1, 1), dtype=dtype)
        yield conv, dequantize
        yield dequantize, quantize
        yield quantize, dequantize


def _moving(side: int, channels: int, dtype: str, conv: Layer) -> Iterator[tuple[Layer, Layer]]:
    """Neighbours one of which only moves data, or sums it up."""
    shape, flat = (1, side, side, channels), side * side * channels
    mean, kept = (operators.reduce("mean", shape, (1, 2), keep, dtype) for keep in (False, True))
    yield mean, operators.fully_connected(channels, _FEW, dtype=dtype)
    yield kept, operators.conv_2d(1, 1, channels, _FEW, (1, 1), dtype=dtype)
    yield kept, operators.reshape((1, 1, 1, channels), (1, channels), dtype)
    yield conv, kept
    yield conv, operators.reshape(shape, (1, side * side, channels), dtype)
    yield operators.reshape(shape, (1, flat), dtype), operators.fully_connected(flat, 1, dtype=dtype)
    both = operators.concatenation([shape, shape], 3, dtype)
    yield both, operators.conv_2d(side, side, 2 * channels, _FEW, (1, 1), dtype=dtype)
    yield conv, both
    steps, heads, inner = side * 2, 4, channels // 4
    if dtype == "float32":
        split = (1, steps, heads, inner)
        apart = operators.transpose(split, (0, 2, 1, 3), dtype)
        yield operators.reshape((1, steps, heads * inner), split, dtype), apart
        product = operators.batch_matmul((1, heads), steps, inner, steps, True, dtype)
        yield apart, product
        yield product, operators.unary("softmax", (1, heads, steps, steps), dtype)
        joined = operators.transpose((1, heads, steps, inner), (0, 2, 1, 3), dtype)
        yield joined, operators.reshape(split, (1, steps, heads * inner), dtype)


def _with_activation(side: int, channels: int, dtype: str) -> Iterator[Layer]:
    """Operators of the pairs, with an activation fused into them."""
    shape = (1, side, side, channels)
    yield operators.conv_2d(side, side, _FEW, channels, (1, 1), activation="relu", dtype=dtype)
    yield operators.depthwise_conv_2d(side, side, channels, activation="relu", dtype=dtype)
    yield operators.fully_connected(4 * _FEW, 16 * channels, activation="relu", dtype=dtype)
    yield operators.binary("add", shape, shape, "relu", dtype)
    yield operators.binary("mul", shape, (channels,), "relu", dtype, True)
