"""Which features a premodel looks at, and what they cost."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_CORRELATION = 0.75
MOST_FEATURES = 7
_MOST_ROWS = 2000
_TIMED_ROUNDS = 60


@dataclass(frozen=True)
class ChosenFeatures:
    """Columns of a table of features, and how they are normalised: ``(value - shift) / scale``."""

    columns: tuple[int, ...]
    shift: NDArray[np.float64]
    scale: NDArray[np.float64]

    def normalised(self, table: NDArray[Any]) -> NDArray[np.float64]:
        """The chosen columns [rows, chosen] of a table [rows, all]."""
        return (table[:, list(self.columns)].astype(np.float64) - self.shift) / self.scale


def choose_features(
    table: NDArray[Any],
    labels: NDArray[np.int64],
    most: int = MOST_FEATURES,
    most_correlation: float = MOST_CORRELATION,
    seed: int = 0,
) -> ChosenFeatures:
    """Choose columns of a table [rows, features]: of those that go together the most important, then the most important of all.

    Importance is how much a forest of trees gains by a feature where it tells the labels apart. Columns that never change are
    left out; where all do not, the first one stands alone.
    """
    values = table.astype(np.float64)
    spread = values.std(axis=0)
    alive = np.flatnonzero(spread > 1e-9 * np.maximum(1.0, np.abs(values).max(axis=0)))
    if not len(alive):
        return ChosenFeatures((0,), values[:, 0].mean(keepdims=True), np.ones(1))
    importance = _importance(values[:, alive], labels, seed)
    correlation = np.abs(np.atleast_2d(np.corrcoef(values[:, alive], rowvar=False)))
    kept: list[int] = []
    for one in np.argsort(-importance, kind="stable").tolist():
        if len(kept) < most and all(correlation[one, other] <= most_correlation for other in kept):
            kept.append(one)
    columns = tuple(sorted(int(alive[one]) for one in kept))
    chosen = values[:, list(columns)]
    return ChosenFeatures(columns, chosen.mean(axis=0), chosen.std(axis=0))


def _importance(values: NDArray[np.float64], labels: NDArray[np.int64], seed: int) -> NDArray[np.float64]:
    from sklearn.ensemble import ExtraTreesClassifier

    if len(np.unique(labels)) < 2:
        return np.ones(values.shape[1])
    rows = np.random.default_rng(seed).permutation(len(labels))[:_MOST_ROWS]
    forest = ExtraTreesClassifier(30, max_depth=8, random_state=seed, n_jobs=1)
    importance: NDArray[np.float64] = forest.fit(values[rows], labels[rows]).feature_importances_
    return importance


def cost_ms(function: Callable[[NDArray[Any]], Any], rows: NDArray[Any], at_once: int = 1) -> float:
    """Measured time of a function of rows, in ms of this machine for each row, where so many come at once.

    The lower quartile of some rounds, by the clock of this thread: what other processes take of its core is not the function's own.
    """
    batches: Sequence[NDArray[Any]] = [
        rows[start : start + at_once] for start in range(0, max(len(rows) - at_once + 1, 1), at_once)
    ]
    function(batches[0])  # tables that are made once
    times = []
    for number in range(_TIMED_ROUNDS):
        batch = batches[number % len(batches)]
        begin = time.thread_time()
        function(batch)
        times.append((time.thread_time() - begin) / len(batch))
    return 1e3 * float(np.percentile(times, 25))
