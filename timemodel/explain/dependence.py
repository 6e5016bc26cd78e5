"""What each size does to an operator's time, all else equal: lines for plots, read off the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from profiler.operators import operator
from timemodel.features import geometry
from timemodel.model import OperatorModel, Sweep

_MOST_POINTS = 600


@dataclass(frozen=True)
class Dependence:
    """How the time of ordinary layers depends on one size.

    Parameters
    ----------
    axis
        The size, such as ``in_channels``.
    values
        Numbers, or words such as ``per channel``.
    middle, low, high
        Time relative to the time at `usual`: median, least and largest over the layers that were varied.
    usual
        The value at which each layer's time counts as 1.
    layers
        How many were varied.
    """

    axis: str
    values: tuple[Any, ...]
    middle: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    usual: Any
    layers: int


@dataclass(frozen=True)
class Staircase:
    """Measured points of one sweep and the model's line with its interval, times in ms."""

    layer: str
    x: tuple[int, ...]
    measured_ms: tuple[float, ...]
    x_line: tuple[int, ...]
    predicted_ms: tuple[float, ...]
    low_ms: tuple[float, ...]
    high_ms: tuple[float, ...]


def dependences(model: OperatorModel) -> list[Dependence]:
    """One line per size of the reference layers; values of which no layer lies within the measured sizes are left out."""
    recipe = operator(model.op).reference
    if recipe is None:
        return []
    found = []
    for axis, values in recipe.axes.items():
        usual = _usual(axis, values, recipe.bases)
        rows = []
        for base in recipe.bases:
            layers = [recipe.build(model.op, model.dtype, {**base, axis: v}) for v in (usual, *values)]
            array = geometry(layers)
            times = model.predict_ms(array)
            times[model.stretch(array) > 1.0] = np.nan
            if np.isfinite(times[0]) and times[0] > 0:
                rows.append(times[1:] / times[0])
        if not rows:
            continue
        table = np.array(rows)
        kept = np.flatnonzero(np.isfinite(table).all(axis=0))
        if len(kept) < 2:
            continue
        table = table[:, kept]
        found.append(
            Dependence(
                axis, tuple(values[int(i)] for i in kept), _tuple(np.median(table, axis=0)), _tuple(table.min(axis=0)),
                _tuple(table.max(axis=0)), usual, len(rows),
            )
        )  # fmt: skip
    return found


def staircases(model: OperatorModel) -> list[Staircase]:
    """Every measured sweep of `model`, the one with most points first."""
    found = []
    for sweep in model.sweeps:
        line = list(range(1, max(sweep.widths) + 1))
        if len(line) > _MOST_POINTS:
            spread = np.linspace(1, max(sweep.widths), _MOST_POINTS).astype(int).tolist()
            line = sorted({*spread, *sweep.widths})
        predicted = model.predict_ms(geometry(sweep.at(line)))
        found.append(
            Staircase(
                describe(sweep), sweep.widths, sweep.times_ms, tuple(line), _tuple(predicted),
                _tuple(predicted * model.low), _tuple(predicted * model.high),
            )
        )  # fmt: skip
    return found


def describe(sweep: Sweep) -> str:
    """The layer that a sweep varies, without its width: ``3x3, stride 1, on 32x32x32``."""
    layer = sweep.layer
    shape = layer.activations[0].shape[1:]
    if layer.op == "depthwise_conv_2d":
        shape = shape[:-1]
    text = "x".join(map(str, shape))
    kernel = layer.params.get("kernel_height")
    if kernel is None:
        return f"{text} inputs"
    return f"{kernel}x{layer.params['kernel_width']}, stride {layer.params['stride_height']}, on {text}"


def _usual(axis: str, values: Sequence[Any], bases: Sequence[Any]) -> Any:
    """A value to compare with: 32 of what is counted in channels, else what most layers have, else the first."""
    if axis in ("stride", "activation", "operand"):
        return values[0]
    if 32 in values and "channels" in axis:
        return 32
    own = [base[axis] for base in bases if axis in base]
    common = max(set(own), key=own.count) if own else values[0]
    return common if common in values else min(values, key=lambda value: abs(value - common))


def _tuple(values: np.ndarray) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
