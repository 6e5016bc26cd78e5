"""Random layers of what multiplies by weights or by another matrix: most of the time of most networks."""

from __future__ import annotations

import numpy as np

from profiler.network import Layer
from profiler.operators import constructors as shapes
from profiler.operators import draw_sizes as sizes
from profiler.operators.draw_sizes import Rng


def conv(rng: Rng, dtype: str) -> Layer:
    """A convolution of a plane or, now and then, of a sequence."""
    if rng.random() < 0.06:
        return _conv_1d(rng, dtype)
    pointwise = rng.random() < 0.5
    kernel = (1, 1) if pointwise else sizes.window(rng)
    height, width = sizes.plane(rng)
    stem = not pointwise and rng.random() < 0.12
    in_channels = int(rng.choice([1, 2, 3, 4])) if stem else sizes.channels(rng)
    out_channels = sizes.channels(rng, 128 if stem else 2048)
    strided = rng.random() < (0.1 if pointwise else 0.25)
    stride = (2, 2) if strided else (1, 1)
    dilation = _dilation(rng) if not pointwise and not strided and rng.random() < 0.06 else (1, 1)
    padding = "same" if rng.random() < 0.75 else "valid"
    height, width = _at_least(height, width, kernel, dilation)
    activation = str(rng.choice(sizes.ACTIVATIONS))
    return shapes.conv_2d(
        height, width, in_channels, out_channels, kernel, stride, dilation, padding, activation, dtype
    )


def _conv_1d(rng: Rng, dtype: str) -> Layer:
    """What converters make of a 1-D convolution: height 1."""
    kernel = (1, int(rng.choice([1, 2, 3, 3, 5, 7, 9, 16])))
    dilation = (1, int(rng.choice([1, 1, 1, 2, 4, 8])))
    stride = (1, 2) if dilation == (1, 1) and rng.random() < 0.25 else (1, 1)
    height, width = _at_least(1, sizes.scaled(rng, 8, 4096), kernel, dilation)
    padding = "same" if rng.random() < 0.5 else "valid"
    activation = str(rng.choice(sizes.ACTIVATIONS))
    return shapes.conv_2d(
        height, width, sizes.channels(rng, 512), sizes.channels(rng, 512), kernel, stride, dilation, padding, activation, dtype
    )  # fmt: skip


def _dilation(rng: Rng) -> tuple[int, int]:
    rate = int(rng.choice([2, 2, 2, 3, 4, 6]))
    return rate, rate


def _at_least(
    height: int, width: int, kernel: tuple[int, int], dilation: tuple[int, int] = (1, 1)
) -> tuple[int, int]:
    """A plane that the kernel fits in."""
    return max(height, (kernel[0] - 1) * dilation[0] + 1), max(width, (kernel[1] - 1) * dilation[1] + 1)


def grouped(rng: Rng, dtype: str) -> Layer:
    """A convolution in groups, each of which sees its own channels only (ResNeXt, ShuffleNet)."""
    groups = int(rng.choice([2, 2, 3, 4, 4, 8, 16, 32]))
    per_group, out_per_group = (sizes.scaled(rng, 2, max(2, 512 // groups)) for _ in range(2))
    kernel = (1, 1) if rng.random() < 0.4 else (3, 3) if rng.random() < 0.8 else (5, 5)
    height, width = _at_least(*sizes.plane(rng, 112), kernel)
    stride = (2, 2) if rng.random() < 0.2 else (1, 1)
    activation = str(rng.choice(sizes.ACTIVATIONS))
    return shapes.grouped_conv_2d(
        height, width, groups, groups * per_group, groups * out_per_group, kernel, stride, activation=activation, dtype=dtype
    )  # fmt: skip


def depthwise(rng: Rng, dtype: str) -> Layer:
    """A depthwise convolution."""
    kernel = sizes.window(rng)
    height, width = sizes.plane(rng, 160)
    stride = (2, 2) if rng.random() < 0.3 else (1, 1)
    padding = "same" if rng.random() < 0.75 else "valid"
    activation = str(rng.choice(sizes.ACTIVATIONS))
    channels, multiplier, dilation = sizes.channels(rng), 1, (1, 1)
    kind = rng.random()
    if kind < 0.03:  # what becomes of a convolution over one or a few channels
        channels, multiplier = int(rng.choice([1, 1, 2, 3, 4, 8])), int(rng.choice([2, 4, 8, 16]))
    elif kind < 0.07 and stride == (1, 1):
        dilation = _dilation(rng)
    elif kind < 0.1:  # of a sequence
        kernel, stride, height, width = (1, int(rng.integers(2, 16))), (1, 1), 1, sizes.scaled(rng, 8, 2048)
    height, width = _at_least(height, width, kernel, dilation)
    return shapes.depthwise_conv_2d(
        height, width, channels, kernel, stride, dilation, padding, activation, dtype, multiplier
    )


def fully_connected(rng: Rng, dtype: str) -> Layer:
    """A product with stored weights, of one row or many."""
    rows = 1 if rng.random() < 0.7 else int(np.exp(rng.uniform(0, np.log(256))))
    activation = str(rng.choice(["none", "none", "relu"]))
    return shapes.fully_connected(
        sizes.channels(rng, 4096), sizes.channels(rng, 4096), rows, activation, dtype
    )


def transpose_conv(rng: Rng, dtype: str) -> Layer:
    """A transposed convolution, as decoders have it: stride as wide as the kernel or half of it."""
    height, width = sizes.plane(rng, 64)
    kernel = int(rng.choice([2, 3, 4]))
    window, stride = (kernel, kernel), (2, 2)
    if rng.random() < 0.2:
        height, width, window, stride = 1, sizes.scaled(rng, 4, 512), (1, kernel), (1, 2)
    elif rng.random() < 0.1:
        stride = (1, 1)
    padding = "same" if rng.random() < 0.7 else "valid"
    return shapes.transpose_conv(
        height, width, sizes.channels(rng, 512), sizes.channels(rng, 512), window, stride, padding, dtype
    )


def batch_matmul(rng: Rng, dtype: str) -> Layer:
    """A product of two computed matrices, once per attention head."""
    heads = int(rng.choice([1, 2, 4, 8]))
    rows, columns = (int(np.exp(rng.uniform(1, np.log(256)))) for _ in range(2))
    inner = int(rng.choice([8, 16, 32, 64, 128]))
    if rng.random() < 0.4:  # scores by values: the sum runs over the steps
        inner, columns = columns, inner
    return shapes.batch_matmul((1, heads), rows, inner, columns, bool(rng.random() < 0.5), dtype)


def loop(rng: Rng, dtype: str) -> Layer:
    """The turning of a recurrent layer: its sequence, its results, one or two states."""
    steps, features, units = sizes.scaled(rng, 2, 128), sizes.scaled(rng, 2, 256), sizes.scaled(rng, 4, 256)
    results = (steps, 1, units) if rng.random() < 0.5 else (1, 1, units)
    states = [(1, units)] * int(rng.integers(1, 5))
    return shapes.loop(steps, [results, *states, (steps, 1, features)])


def lstm(rng: Rng, dtype: str) -> Layer:
    """A fused LSTM over a sequence."""
    steps, features, units = (int(np.exp(rng.uniform(np.log(2), np.log(m)))) for m in (64, 160, 160))
    return shapes.lstm(steps, features, units, dtype=dtype)
