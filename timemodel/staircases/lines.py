"""Time over the width of one layer: as a model predicts it, and as it was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from profiler.network import Layer
from profiler.operators import operator
from profiler.widths import with_width
from timemodel.features import geometry

if TYPE_CHECKING:
    from timemodel.model import OperatorModel, Sweep

_MOST_POINTS = 600


@dataclass(frozen=True)
class Staircase:
    """Measured points of one layer over its width, and the model's line with its interval; times in ms."""

    layer: str  # without its width, such as ``3x3, stride 1, on 32x32x32``
    widths: tuple[int, ...]
    measured_ms: tuple[float, ...]
    line_widths: tuple[int, ...]
    predicted_ms: tuple[float, ...]
    low_ms: tuple[float, ...]
    high_ms: tuple[float, ...]


def staircases(model: OperatorModel) -> list[Staircase]:
    """Every measured sweep of `model`, the one with most points first."""
    found = []
    for sweep in model.sweeps:
        line = _line(sweep.widths)
        predicted = model.predict_ms(geometry([with_width(sweep.layer, width) for width in line]))
        low, middle, high = (tuple((predicted * factor).tolist()) for factor in (model.low, 1.0, model.high))
        points = _describe(sweep), sweep.widths, sweep.times_ms
        found.append(Staircase(*points, tuple(line), middle, low, high))
    return found


def _line(widths: Sequence[int]) -> Sequence[int]:
    """Every width up to the widest, or as many as a plot can show and all of `widths`."""
    widest = max(widths)
    if widest <= _MOST_POINTS:
        return range(1, widest + 1)
    spread = np.linspace(1, widest, _MOST_POINTS).astype(int).tolist()
    return sorted({*spread, *widths})


def time_over_width(model: OperatorModel, layer: Layer, widest: int, call_ms: float = 0.0) -> np.ndarray:
    """Predicted time ``[widest]`` in ms of `layer` with 1, 2, … output channels, without what a call costs."""
    layers = [with_width(layer, width) for width in range(1, widest + 1)]
    return np.maximum(model.predict_ms(geometry(layers)) - call_ms, 0.0)


def _describe(sweep: Sweep) -> str:
    layer = sweep.layer
    shape = layer.activations[0].shape[1:]
    width = operator(layer.op).output_width
    if width and width.follows_input:
        shape = shape[:-1]
    text = "x".join(map(str, shape))
    kernel = layer.params.get("kernel_height")
    if kernel is None:
        return f"{text} inputs"
    return f"{kernel}x{layer.params['kernel_width']}, stride {layer.params['stride_height']}, on {text}"
