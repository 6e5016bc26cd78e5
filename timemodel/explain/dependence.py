"""What each size does to an operator's time, all else equal: lines for plots, read off the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from profiler.operators import operator
from timemodel.features import geometry
from timemodel.model import OperatorModel


@dataclass(frozen=True)
class Dependence:
    """How the time of reference layers depends on one size: median, least and largest, relative to its `usual` value."""

    axis: str
    values: tuple[Any, ...]
    middle: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    usual: Any
    layers: int


def dependences(model: OperatorModel) -> list[Dependence]:
    """One line per size of the reference layers; values of which no layer lies within the measured sizes are left out."""
    reference = operator(model.op).reference
    if reference is None:
        return []
    found = []
    for axis, values in reference.axes.items():
        usual = _usual(axis, values, reference.bases)
        rows = []
        for base in reference.bases:
            layers = [reference.build(model.op, model.dtype, {**base, axis: v}) for v in (usual, *values)]
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
        middle, low, high = (tuple(over(table, axis=0).tolist()) for over in (np.median, np.min, np.max))
        shown = tuple(values[int(i)] for i in kept)
        found.append(Dependence(axis, shown, middle, low, high, usual, len(rows)))
    return found


def _usual(axis: str, values: Sequence[Any], bases: Sequence[Any]) -> Any:
    """A value to compare with: 32 of what is counted in channels, else what most layers have, else the first."""
    if axis in ("stride", "activation", "operand"):
        return values[0]
    if 32 in values and "channels" in axis:
        return 32
    own = [base[axis] for base in bases if axis in base]
    common = max(set(own), key=own.count) if own else values[0]
    return common if common in values else min(values, key=lambda value: abs(value - common))
