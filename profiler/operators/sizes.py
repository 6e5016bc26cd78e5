"""Sizes of layers: random ones to draw (those of real networks, odd ones between them), and ordinary ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from profiler.network import Layer, Param, Shape, Tensor
from profiler.operators.registry import Draws, Rng, Sizes, operator, operators

MAX_MACS = 400_000_000
MAX_WEIGHTS = 6_000_000
MAX_ELEMENTS = 1_700_000
MIN_ELEMENTS = 8
_INDICES = ("int32", "int64", "bool")

SIDES = (4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 224)
CHANNELS = (
    8, 16, 24, 32, 40, 48, 64, 80, 96, 112, 128, 144, 160, 192, 240, 256, 320, 384, 480, 512, 640, 768, 960, 1024, 1280, 2048,
)  # fmt: skip


def activation(rng: Rng) -> str:
    """An activation that is part of a layer."""
    return str(rng.choice(["none", "relu", "relu6"]))


def side(rng: Rng, largest: int = 224) -> int:
    """Height or width of a feature map."""
    if rng.random() < 0.65:
        return int(rng.choice([s for s in SIDES if s <= largest]))
    return round(float(np.exp(rng.uniform(0.0, np.log(largest)))))


def channels(rng: Rng, largest: int = 2048) -> int:
    """Number of channels or units."""
    kind = rng.random()
    if kind < 0.45:
        return int(rng.choice([c for c in CHANNELS if c <= largest]))
    smallest = 1 if kind > 0.94 else min(6, largest)
    value = float(np.exp(rng.uniform(np.log(smallest), np.log(largest))))
    if kind < 0.65:  # next to a multiple of eight, where steps are
        return int(np.clip(8 * round(value / 8) + rng.integers(-1, 2), 1, largest))
    return max(1, round(value))


def window(rng: Rng) -> tuple[int, int]:
    """Kernel sizes (height, width) of what is larger than 1x1."""
    kind = rng.random()
    for below, size in ((0.55, 3), (0.7, 5), (0.83, 7), (0.88, 2)):
        if kind < below:
            return size, size
    if kind < 0.94:
        return 1, int(rng.integers(2, 10))
    return int(rng.integers(2, 11)), int(rng.integers(1, 6))


def plane(rng: Rng, largest: int = 224) -> tuple[int, int]:
    """Height and width of a feature map, mostly square."""
    height = side(rng, largest)
    return (height, height) if rng.random() < 0.8 else (height, side(rng, largest))


def feature_map(rng: Rng) -> Shape:
    """Shape of what flows between layers: maps, sequences and vectors, batch 1."""
    kind = rng.random()
    if kind < 0.12:
        return 1, channels(rng, 4096)
    if kind < 0.2:
        return 1, int(np.exp(rng.uniform(0, np.log(512)))), channels(rng, 1024)
    height, width = plane(rng)
    return 1, height, width, channels(rng)


def scaled(rng: Rng, smallest: int, largest: int) -> int:
    """A whole number between both, small ones as often as large ones by factor."""
    return round(float(np.exp(rng.uniform(np.log(smallest), np.log(largest)))))


def sequence(rng: Rng, largest: int = 512) -> tuple[int, int, int]:
    """Shape [1, steps, features] of what sequence models pass on."""
    return 1, scaled(rng, 2, largest), channels(rng, 1024)


def index_shape(rng: Rng) -> Shape:
    """Shape of indices and masks: a single one, a sequence, or a square of two sequences."""
    kind = rng.random()
    if kind < 0.3:
        return ()
    if kind < 0.7:
        return 1, scaled(rng, 2, 4096)
    steps = scaled(rng, 4, 256)
    return 1, 1, steps, steps


def indices(*shape: int) -> Tensor:
    """A stored operand of integers."""
    return Tensor(shape, "int32", True)


def single_layer(
    op: str, shape: Shape, out: Shape, dtype: str, params: Mapping[str, Param], *stored: Shape
) -> Layer:
    """A layer from one tensor to one of the same type; integers of the shapes `stored` say how."""
    operands = (Tensor(shape, dtype), *(indices(*own) for own in stored))
    return Layer(op, operands, (Tensor(out, dtype),), params)


def dense_macs(layer: Layer, channels_axis: int = 0) -> int:
    """Multiply-accumulates where each result meets all weights of its output channel."""
    weights = layer.inputs[1] if len(layer.inputs) > 1 else Tensor(())
    channels = weights.shape[channels_axis] if weights.shape else 0
    return layer.outputs[0].size * (weights.size // channels) if channels else 0


def dilation(rng: Rng) -> tuple[int, int]:
    """A dilation, the same in height and width."""
    rate = int(rng.choice([2, 2, 2, 3, 4, 6]))
    return rate, rate


def at_least(
    height: int, width: int, kernel: tuple[int, int], dilation: tuple[int, int] = (1, 1)
) -> tuple[int, int]:
    """A plane that the kernel fits in."""
    return max(height, (kernel[0] - 1) * dilation[0] + 1), max(width, (kernel[1] - 1) * dilation[1] + 1)


def window_size(size: int, kernel: int, stride: int, dilation: int, padding: str) -> int:
    """Output positions along one axis, as TFLite counts them."""
    if padding == "same":
        return -(-size // stride)
    reach = (kernel - 1) * dilation + 1
    return max(0, -(-(size - reach + 1) // stride))


def window_params(
    kernel: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int] | None,
    padding: str,
    activation: str,
) -> dict[str, Param]:
    """The parameters of a window."""
    params: dict[str, Param] = {
        "kernel_height": kernel[0], "kernel_width": kernel[1], "stride_height": stride[0], "stride_width": stride[1],
        "padding": padding, "activation": activation,
    }  # fmt: skip
    if dilation is not None:
        params |= {"dilation_height": dilation[0], "dilation_width": dilation[1]}
    return params


def window_output(height: int, width: int, params: Mapping[str, Any]) -> tuple[int, int]:
    """Height and width of what a window of these parameters makes of a plane."""
    high, wide = (
        window_size(
            size, params[f"kernel_{way}"], params[f"stride_{way}"], params.get(f"dilation_{way}", 1), params["padding"]
        )
        for way, size in (("height", height), ("width", width))
    )  # fmt: skip
    return high, wide


def catalogue(dtype: str) -> dict[str, Draws]:
    """Operators that can be probed in `dtype`, by name, in the order of their streams."""
    found = [(entry.name, entry.draws[dtype]) for entry in operators() if dtype in entry.draws]
    return dict(sorted(found, key=lambda row: row[1].stream))


def drawn_operators(dtype: str | None = None) -> list[str]:
    """Names of operators that can be probed, in `dtype` or in any."""
    return sorted(entry.name for entry in operators() if (dtype in entry.draws if dtype else entry.draws))


def draw_layer(op: str, dtype: str, rng: Rng) -> Layer:
    """One random layer of `op`, small enough to be measured in milliseconds."""
    draw = operator(op).draws[dtype].draw
    while True:
        layer = draw(op, rng, dtype)
        sizes = [t.size for t in (*layer.activations, *layer.outputs)]
        least = 1 if dtype in _INDICES or layer.outputs[0].dtype in _INDICES else MIN_ELEMENTS
        fits = min(sizes) >= 1 and layer.outputs[0].size >= least and max(sizes) <= MAX_ELEMENTS
        if fits and layer.macs <= MAX_MACS and layer.parameters <= MAX_WEIGHTS:
            return layer


REFERENCE_WIDTHS = (
    1, 2, 3, 4, 6, 8, 12, 15, 16, 17, 20, 24, 28, 31, 32, 33, 40, 48, 49, 56, 63, 64, 65, 80, 96, 97, 112, 128, 129, 160, 192,
    224, 256,
)  # fmt: skip
REFERENCE_SIDES = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64)


def reference_maps(*pairs: tuple[int, int], **more: Any) -> list[Sizes]:
    """Ordinary feature maps by side and channels."""
    return [{"side": side, "channels": channels, **more} for side, channels in pairs]


REFERENCE_MAPS = reference_maps((8, 128), (14, 96), (28, 64), (32, 32), (56, 24))
ON_MAPS = {"side": REFERENCE_SIDES, "channels": REFERENCE_WIDTHS}


def map_shape(s: Sizes) -> tuple[int, int, int, int]:
    """Shape of a feature map of ordinary sizes."""
    return 1, s["side"], s["side"], s["channels"]


def on_plane(s: Sizes) -> dict[str, Any]:
    """Arguments of a constructor: a side is the height and the width, and a window's sizes go both ways."""
    windows = {name: s[name] for name in ("kernel", "stride", "dilation") if name in s}
    pairs = {name: (size, size) if isinstance(size, int) else tuple(size) for name, size in windows.items()}
    others = {name: value for name, value in s.items() if name != "side"}
    return {"height": s["side"], "width": s["side"], **others, **pairs}
