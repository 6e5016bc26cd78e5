"""A few layers, for devices that take seconds to say what one of them costs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from profiler import operators
from profiler.network import Layer
from profiler.operators import Rng
from profiler.probes.probe import Probe

_COUNTS = {
    "pointwise": 400,
    "conv_2d": 180,
    "row": 70,
    "patches": 30,
    "depthwise_conv_2d": 120,
    "fully_connected": 180,
    "batch_matmul": 50,
}
"""Layers of each kind; convolutions with larger kernels have more loops to order, and take longest."""
_WIDE = 0.6
"""Share of widths that are at least an eighth of the widest: networks spend their time in these."""
_SIDES = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160)
_MOST = 400_000_000


def plan_few(dtypes: Sequence[str], ops: Sequence[str] | None = None, seed: int = 0) -> list[Probe]:
    """Layers that multiply by weights, each alone, in an order in which every prefix is a fair sample.

    Parameters
    ----------
    dtypes, ops, seed
        As for `profiler.probes.plan_probes`.
    """
    placed: list[tuple[float, int, Probe]] = []
    for dtype in dtypes:
        for number, (kind, count) in enumerate(_COUNTS.items()):
            rng = np.random.default_rng([seed, 88, number])
            layers = [_draw(kind, dtype, rng) for _ in range(count)]
            kept = [layer for layer in layers if layer.macs <= _MOST and (not ops or layer.op in ops)]
            placed += [
                ((i + 0.5) / len(kept), number, Probe("layer", (layer,))) for i, layer in enumerate(kept)
            ]
    placed.sort(key=lambda row: row[:2])
    return list(dict.fromkeys(probe for _, _, probe in placed))


def _draw(kind: str, dtype: str, rng: Rng) -> Layer:
    """One layer as networks have them: many channels on small maps, few on large ones."""
    side = int(rng.choice(_SIDES))
    widest = int(np.clip(60_000 / side, 32, 2048))
    if kind == "depthwise_conv_2d":
        kernel, stride = int(rng.choice([3, 3, 5, 7])), int(rng.choice([1, 1, 2]))
        return operators.depthwise_conv_2d(
            side, side, _width(rng, min(widest, 1280)), (kernel, kernel), (stride, stride), dtype=dtype
        )
    if kind == "fully_connected":
        if rng.random() < 0.4:
            return operators.fully_connected(_width(rng, 4096), _width(rng, 4096), dtype=dtype)
        rows = int(rng.choice([9, 16, 37, 64, 101, 128, 197, 784, 3136]))
        widest = int(np.clip(400_000 / rows, 128, 3072))
        return operators.fully_connected(_width(rng, widest), _width(rng, widest), rows, dtype=dtype)
    if kind == "batch_matmul":
        rows, inner, heads = (
            int(rng.choice([16, 37, 64, 101, 128])),
            int(rng.choice([16, 32, 64])),
            int(rng.choice([1, 2, 3, 4, 8])),
        )
        return operators.batch_matmul((1, heads), rows, inner, rows, True, dtype)
    if kind == "row":
        long, taps = int(rng.choice([32, 49, 64, 128, 256])), int(rng.choice([1, 3, 3, 5]))
        inside, outside = _width(rng, 256), _width(rng, 256)
        return operators.conv_2d(1, long + taps - 1, inside, outside, (1, taps), padding="valid", dtype=dtype)
    if kind == "patches":
        size, outside = int(rng.choice([4, 8, 12, 14, 16])), int(rng.choice([96, 128, 192, 256]))
        side, inside = size * int(rng.choice([6, 8, 10, 14])), int(rng.choice([1, 3, 3]))
        square = (size, size)
        return operators.conv_2d(side, side, inside, outside, square, square, padding="valid", dtype=dtype)
    inside = int(rng.choice([1, 3, 3])) if rng.random() < 0.12 else _width(rng, widest)
    outside = _width(rng, widest)
    kernel = 1 if kind == "pointwise" else int(rng.choice([3, 3, 3, 5, 7]))
    stride = int(rng.choice([1, 1, 1, 2]))
    return operators.conv_2d(side, side, inside, outside, (kernel, kernel), (stride, stride), dtype=dtype)


def _width(rng: Rng, widest: int) -> int:
    """A number of channels: multiples of 8 mostly, large ones more often than small ones."""
    narrowest = max(8, widest / 8) if rng.random() < _WIDE else 8
    width = float(np.exp(rng.uniform(np.log(narrowest), np.log(widest))))
    return max(1, 8 * round(width / 8) if rng.random() < 0.8 else round(width))
