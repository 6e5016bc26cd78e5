"""A loss or a metric of the user's own is bounded by bootstrap, which is approximate: how often is its bound broken?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compressor.data import Data
from compressor.pipeline.result import loss_bound
from compressor.training import Task


@dataclass(frozen=True)
class Case:
    """Errors of two regressions on `units` rows, or groups of 20 rows each; `tail` degrees of freedom of Student's t."""

    name: str
    unit: str
    units: int
    tail: float


CASES = (
    Case("normal errors", "rows", 100, 1e6),
    Case("normal errors", "rows", 1000, 1e6),
    Case("errors with tails", "rows", 100, 5.0),
    Case("errors with tails", "rows", 1000, 5.0),
    Case("normal errors", "groups", 20, 1e6),
    Case("errors with tails", "groups", 20, 5.0),
)

_GROUP = 20
_WORSE = 1.1
"""Errors of the second regression beside those of the first, which they share half of their variance with."""


def _mean_square(model: Any, rows: tuple[NDArray[Any], NDArray[Any]]) -> float:
    return -float(np.mean((model.predict(rows[0]) - rows[1]) ** 2))


def _errors(
    case: Case, units: int, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rows = units * (_GROUP if case.unit == "groups" else 1)
    common, first, second = (rng.standard_t(case.tail, rows) for _ in range(3))
    scale = np.ones(rows)
    if case.unit == "groups":
        scale = np.repeat(np.exp(0.3 * rng.standard_normal(units)), _GROUP)
    return scale * (common + first), _WORSE * scale * (common + second)


def broken_share(case: Case, draws: int) -> float:
    """Share of draws in which more is lost in truth than the bound says."""
    rng = np.random.default_rng(case.units)
    task = Task("values", Data(np.zeros(2), np.zeros(2), loss="mse", metric=_mean_square))
    variance = 1.0 if case.tail > 1e5 else case.tail / (case.tail - 2)
    wider = np.exp(2 * 0.3**2) if case.unit == "groups" else 1.0
    truth = (_WORSE**2 - 1) * 2 * variance * wider
    broken = 0
    for _ in range(draws):
        before, after = _errors(case, case.units, rng)
        y = np.zeros(len(before))
        groups = np.repeat(np.arange(case.units), _GROUP) if case.unit == "groups" else None
        bound = loss_bound(task, before, after, y, y, groups)
        broken += bound is not None and truth > bound
    return broken / draws
