"""One random layer of an operator, of a size that real networks use or an odd one in between."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from profiler import shapes
from profiler.layer import Layer

Rng = np.random.Generator
Draw = Callable[[Rng, str], Layer]

MAX_MACS = 400_000_000
MAX_WEIGHTS = 6_000_000
MAX_ELEMENTS = 1_700_000
MIN_ELEMENTS = 8

SIDES = (4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 224)
CHANNELS = (
    8,
    16,
    24,
    32,
    40,
    48,
    64,
    80,
    96,
    112,
    128,
    144,
    160,
    192,
    240,
    256,
    320,
    384,
    480,
    512,
    640,
    768,
    960,
    1024,
    1280,
    2048,
)
ACTIVATIONS = ("none", "relu", "relu6")


def _side(rng: Rng, largest: int = 224) -> int:
    if rng.random() < 0.65:
        return int(rng.choice([s for s in SIDES if s <= largest]))
    return round(float(np.exp(rng.uniform(0.0, np.log(largest)))))


def _channels(rng: Rng, largest: int = 2048) -> int:
    kind = rng.random()
    if kind < 0.45:
        return int(rng.choice([c for c in CHANNELS if c <= largest]))
    smallest = 1 if kind > 0.94 else min(6, largest)
    value = float(np.exp(rng.uniform(np.log(smallest), np.log(largest))))
    if kind < 0.65:  # next to a multiple of eight, where steps are
        return int(np.clip(8 * round(value / 8) + rng.integers(-1, 2), 1, largest))
    return max(1, round(value))


def _window(rng: Rng) -> tuple[int, int]:
    kind = rng.random()
    if kind < 0.55:
        return 3, 3
    if kind < 0.7:
        return 5, 5
    if kind < 0.83:
        return 7, 7
    if kind < 0.88:
        return 2, 2
    if kind < 0.94:
        return 1, int(rng.integers(2, 10))
    return int(rng.integers(2, 11)), int(rng.integers(1, 6))


def _plane(rng: Rng, largest: int = 224) -> tuple[int, int]:
    height = _side(rng, largest)
    return (height, height) if rng.random() < 0.8 else (height, _side(rng, largest))


def _draw_conv(rng: Rng, dtype: str) -> Layer:
    pointwise = rng.random() < 0.5
    kernel = (1, 1) if pointwise else _window(rng)
    height, width = _plane(rng)
    stem = not pointwise and rng.random() < 0.12
    in_channels = int(rng.choice([1, 2, 3, 4])) if stem else _channels(rng)
    out_channels = _channels(rng, 128 if stem else 2048)
    strided = rng.random() < (0.1 if pointwise else 0.25)
    stride = (2, 2) if strided else (1, 1)
    dilation = (2, 2) if not pointwise and not strided and rng.random() < 0.04 else (1, 1)
    padding = "same" if rng.random() < 0.75 else "valid"
    height, width = (
        max(height, (kernel[0] - 1) * dilation[0] + 1),
        max(width, (kernel[1] - 1) * dilation[1] + 1),
    )
    activation = str(rng.choice(ACTIVATIONS))
    return shapes.conv_2d(
        height, width, in_channels, out_channels, kernel, stride, dilation, padding, activation, dtype
    )


def _draw_depthwise(rng: Rng, dtype: str) -> Layer:
    kernel = _window(rng)
    height, width = _plane(rng, 160)
    stride = (2, 2) if rng.random() < 0.3 else (1, 1)
    padding = "same" if rng.random() < 0.75 else "valid"
    height, width = max(height, kernel[0]), max(width, kernel[1])
    activation = str(rng.choice(ACTIVATIONS))
    return shapes.depthwise_conv_2d(
        height, width, _channels(rng), kernel, stride, (1, 1), padding, activation, dtype
    )


def _draw_fully_connected(rng: Rng, dtype: str) -> Layer:
    rows = 1 if rng.random() < 0.7 else int(np.exp(rng.uniform(0, np.log(256))))
    activation = str(rng.choice(["none", "none", "relu"]))
    return shapes.fully_connected(_channels(rng, 4096), _channels(rng, 4096), rows, activation, dtype)


def _draw_map(rng: Rng) -> tuple[int, ...]:
    kind = rng.random()
    if kind < 0.12:
        return 1, _channels(rng, 4096)
    if kind < 0.2:
        return 1, int(np.exp(rng.uniform(0, np.log(512)))), _channels(rng, 1024)
    height, width = _plane(rng)
    return 1, height, width, _channels(rng)


def _draw_binary(op: str) -> Draw:
    def draw(rng: Rng, dtype: str) -> Layer:
        left = _draw_map(rng)
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
        elif len(left) == 4 and kind < 0.96:
            right = (1, 1, 1, channels)
        activation = "none"
        if op not in shapes.WITHOUT_ACTIVATION and rng.random() < 0.25:
            activation = str(rng.choice(["relu", "relu6"]))
        return shapes.binary(op, left, right, activation, dtype, constant)

    return draw


def _draw_unary(op: str) -> Draw:
    def draw(rng: Rng, dtype: str) -> Layer:
        return shapes.unary(op, _draw_map(rng), dtype)

    return draw


def _draw_softmax(rng: Rng, dtype: str) -> Layer:
    rows = 1 if rng.random() < 0.5 else int(np.exp(rng.uniform(0, np.log(2000))))
    columns = max(2, round(float(np.exp(rng.uniform(0.5, np.log(2000))))))
    return shapes.unary("softmax", (rows, columns), dtype)


def _draw_pool(op: str) -> Draw:
    def draw(rng: Rng, dtype: str) -> Layer:
        height, width = _plane(rng, 128)
        kind = rng.random()
        if op == "average_pool_2d" and kind < 0.35:  # the global pooling of many networks
            height, width = min(height, 32), min(width, 32)
            return shapes.pool_2d(
                op, height, width, _channels(rng), (height, width), (height, width), "valid", dtype
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
        height, width = max(height, kernel[0]), max(width, kernel[1])
        return shapes.pool_2d(op, height, width, _channels(rng, 1024), kernel, stride, padding, dtype)

    return draw


def _draw_mean(rng: Rng, dtype: str) -> Layer:
    kind = rng.random()
    if kind < 0.8:
        height, width = _plane(rng, 112)
        return shapes.reduce("mean", (1, height, width, _channels(rng)), (1, 2), rng.random() < 0.5, dtype)
    steps = max(2, int(np.exp(rng.uniform(0, np.log(256)))))
    axis = 1 if kind < 0.9 else 2
    return shapes.reduce("mean", (1, steps, _channels(rng, 1024)), (axis,), axis == 2, dtype)


def _draw_pad(rng: Rng, dtype: str) -> Layer:
    height, width = _plane(rng)
    before, after = (int(v) for v in rng.integers(0, 4, 2))
    after = max(after, 1 - before)
    return shapes.pad(
        (1, height, width, _channels(rng, 1024)), ((0, 0), (before, after), (before, after), (0, 0)), dtype
    )


def _draw_concatenation(rng: Rng, dtype: str) -> Layer:
    height, width = _plane(rng, 112)
    count = int(rng.choice([2, 2, 2, 3, 4, 4, 5, 6]))
    parts = [(1, height, width, _channels(rng, 512)) for _ in range(count)]
    return shapes.concatenation(parts, 3, dtype)


def _draw_reshape(rng: Rng, dtype: str) -> Layer:
    shape = _draw_map(rng)
    return shapes.reshape(shape, (1, int(np.prod(shape))), dtype)


def _draw_transpose(rng: Rng, dtype: str) -> Layer:
    if rng.random() < 0.5:
        height, width = _plane(rng, 64)
        return shapes.transpose((1, height, width, _channels(rng, 512)), (0, 3, 1, 2), dtype)
    steps, heads = int(np.exp(rng.uniform(1, np.log(256)))), int(rng.choice([1, 2, 4, 8]))
    return shapes.transpose((1, steps, heads, int(rng.choice([8, 16, 32, 64]))), (0, 2, 1, 3), dtype)


def _draw_resize(op: str) -> Draw:
    def draw(rng: Rng, dtype: str) -> Layer:
        height, width = _plane(rng, 80)
        scale = int(rng.choice([2, 2, 2, 3, 4]))
        if rng.random() < 0.25:
            return shapes.resize(
                op, height, width, _channels(rng, 512), _side(rng, 160), _side(rng, 160), dtype
            )
        return shapes.resize(op, height, width, _channels(rng, 512), height * scale, width * scale, dtype)

    return draw


def _draw_transpose_conv(rng: Rng, dtype: str) -> Layer:
    height, width = _plane(rng, 64)
    kernel = int(rng.choice([2, 3, 4]))
    return shapes.transpose_conv(
        height, width, _channels(rng, 512), _channels(rng, 512), (kernel, kernel), (2, 2), "same", dtype
    )


def _draw_batch_matmul(rng: Rng, dtype: str) -> Layer:
    heads = int(rng.choice([1, 2, 4, 8]))
    rows, columns = (int(np.exp(rng.uniform(1, np.log(256)))) for _ in range(2))
    inner = int(rng.choice([8, 16, 32, 64, 128]))
    return shapes.batch_matmul((1, heads), rows, inner, columns, bool(rng.random() < 0.5), dtype)


def _draw_lstm(rng: Rng, dtype: str) -> Layer:
    steps, features, units = (int(np.exp(rng.uniform(np.log(2), np.log(m)))) for m in (64, 160, 160))
    return shapes.lstm(steps, features, units)


def _draw_quantize(rng: Rng, dtype: str) -> Layer:
    return shapes.unary("quantize", _draw_map(rng), "float32", "int8")


def _draw_dequantize(rng: Rng, dtype: str) -> Layer:
    return shapes.unary("dequantize", _draw_map(rng), "int8", "float32")


_UNARY_FLOAT = (
    "relu",
    "relu6",
    "logistic",
    "tanh",
    "hard_swish",
    "elu",
    "gelu",
    "exp",
    "rsqrt",
    "square",
    "leaky_relu",
    "neg",
    "abs",
    "sqrt",
)
_UNARY_INT8 = ("relu", "relu6", "logistic", "tanh", "hard_swish", "leaky_relu")

# How many probes of each operator the full plan holds, by dtype. What networks spend their time in gets most.
CATALOGUE: dict[str, dict[str, tuple[int, Draw]]] = {
    "float32": {
        "conv_2d": (700, _draw_conv),
        "depthwise_conv_2d": (420, _draw_depthwise),
        "fully_connected": (260, _draw_fully_connected),
        "add": (150, _draw_binary("add")),
        "mul": (150, _draw_binary("mul")),
        "sub": (50, _draw_binary("sub")),
        "average_pool_2d": (100, _draw_pool("average_pool_2d")),
        "max_pool_2d": (80, _draw_pool("max_pool_2d")),
        "mean": (90, _draw_mean),
        "softmax": (60, _draw_softmax),
        "pad": (60, _draw_pad),
        "concatenation": (90, _draw_concatenation),
        "reshape": (30, _draw_reshape),
        "transpose": (50, _draw_transpose),
        "resize_bilinear": (60, _draw_resize("resize_bilinear")),
        "resize_nearest_neighbor": (30, _draw_resize("resize_nearest_neighbor")),
        "transpose_conv": (50, _draw_transpose_conv),
        "batch_matmul": (60, _draw_batch_matmul),
        "unidirectional_sequence_lstm": (40, _draw_lstm),
        **{op: (45 if op in ("relu", "relu6", "logistic", "hard_swish", "tanh") else 25, _draw_unary(op)) for op in _UNARY_FLOAT},
    },
    "int8": {
        "conv_2d": (520, _draw_conv),
        "depthwise_conv_2d": (360, _draw_depthwise),
        "fully_connected": (160, _draw_fully_connected),
        "add": (120, _draw_binary("add")),
        "mul": (110, _draw_binary("mul")),
        "average_pool_2d": (80, _draw_pool("average_pool_2d")),
        "max_pool_2d": (60, _draw_pool("max_pool_2d")),
        "mean": (70, _draw_mean),
        "softmax": (40, _draw_softmax),
        "pad": (50, _draw_pad),
        "concatenation": (70, _draw_concatenation),
        "reshape": (25, _draw_reshape),
        "resize_bilinear": (50, _draw_resize("resize_bilinear")),
        "quantize": (50, _draw_quantize),
        "dequantize": (50, _draw_dequantize),
        **{op: (35, _draw_unary(op)) for op in _UNARY_INT8},
    },
    "dynamic_int8": {
        "conv_2d": (160, _draw_conv),
        "depthwise_conv_2d": (60, _draw_depthwise),
        "fully_connected": (120, _draw_fully_connected),
    },
}  # fmt: skip

DTYPES = tuple(CATALOGUE)


def operators(dtype: str | None = None) -> list[str]:
    """Operators that can be probed, in `dtype` or in any."""
    chosen = [dtype] if dtype else DTYPES
    return sorted({op for name in chosen for op in CATALOGUE[name]})


def draw_layer(op: str, dtype: str, rng: Rng) -> Layer:
    """One random layer of `op`, small enough to be measured in milliseconds."""
    draw = CATALOGUE[dtype][op][1]
    while True:
        layer = draw(rng, dtype)
        sizes = [t.size for t in (*layer.activations, *layer.outputs)]
        fits = min(sizes) >= 1 and layer.outputs[0].size >= MIN_ELEMENTS and max(sizes) <= MAX_ELEMENTS
        if fits and layer.macs <= MAX_MACS and layer.parameters <= MAX_WEIGHTS:
            return layer
