"""The best thresholds of one chain of stages, for many prices of time at once.

A policy is worth ``loss + price * time``, on average over rows. Given what earlier and later stages do, the best threshold of one
stage is found exactly: the rows that reach it are sorted by confidence, and prefix sums say what stopping the surest ones is worth.
Stages take turns until nothing changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NEVER = 2.0
"""A threshold that no confidence reaches."""

BARRED = -1.0
"""Confidence of a row that may not stop."""

_SWEEPS = 8


@dataclass(frozen=True)
class StageRows:
    """What one stage does to each row that stops there.

    Parameters
    ----------
    confidence
        Of the combined answer [rows]; `BARRED` where the row may not stop.
    loss
        Error of the answer [rows], 0 to 1: from labels, or smoothed.
    named
        The class that the answer names [rows].
    total_ms
        Predicted time of this stage and all before it.
    """

    confidence: NDArray[np.float32]
    loss: NDArray[np.float64]
    named: NDArray[np.int64]
    total_ms: float

    def at(self, rows: NDArray[np.bool_]) -> StageRows:
        """The same on some of the rows."""
        return StageRows(self.confidence[rows], self.loss[rows], self.named[rows], self.total_ms)


def stops_at(stages: Sequence[StageRows], thresholds: NDArray[np.float64]) -> NDArray[np.int64]:
    """The stage where each row stops.

    Thresholds [stages - 1] give [rows]; one for each class [stages - 1, classes] too.
    """
    stopped = np.full(len(stages[0].confidence), len(stages) - 1)
    for place in range(len(stages) - 2, -1, -1):
        stage, threshold = stages[place], thresholds[place]
        stopped[stage.confidence >= (threshold[stage.named] if threshold.ndim else threshold)] = place
    return stopped


def best_thresholds(
    stages: Sequence[StageRows],
    prices: NDArray[np.float64],
    row_weights: NDArray[np.float64] | None = None,
    starts: int = 4,
) -> NDArray[np.float64]:
    """The best thresholds [prices, stages - 1] that were found, for each price of a ms.

    Each stage's are exact given the others'. The first of up to four starts is that nothing stops early; then each stage as if the
    last one came next; then for each price what was found for the neighbouring ones.
    """
    if len(stages) == 1:
        return np.empty((len(prices), 0))
    problem = _Problem(stages, prices, row_weights)
    found, worth = problem.settle(np.full((len(prices), len(stages) - 1), NEVER))
    if len(stages) == 2:  # a single threshold is exact at once
        return found
    others = [
        problem.greedy,
        lambda: np.concatenate([found[:1], found[:-1]]),
        lambda: np.concatenate([found[1:], found[-1:]]),
    ]
    for start in others[: starts - 1]:
        other, other_worth = problem.settle(start())
        better = other_worth < worth
        found[better], worth[better] = other[better], other_worth[better]
    return found


class _Problem:
    """One chain on its rows: costs of stopping [prices, rows], and rows in the order of each stage's confidence."""

    def __init__(
        self,
        stages: Sequence[StageRows],
        prices: NDArray[np.float64],
        row_weights: NDArray[np.float64] | None,
    ) -> None:
        self.stages = stages
        self.prices = prices
        self.costs = [stage.loss + (prices * stage.total_ms)[:, None] for stage in stages]
        rows = len(stages[0].loss)
        self.counts = np.full(rows, 1 / rows) if row_weights is None else row_weights / row_weights.sum()
        self.orders = [np.argsort(-stage.confidence, kind="stable") for stage in stages[:-1]]
        self.cuts = [
            _cuts(stage.confidence[order]) for stage, order in zip(stages, self.orders, strict=False)
        ]

    def settle(self, thresholds: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Stages in turns, the last one first, until nothing changes; the thresholds and their mean cost [prices]."""
        thresholds = thresholds.copy()
        early = len(self.stages) - 1
        # A stage's threshold is looked at again where another one has changed since.
        stale = np.ones(thresholds.shape, bool)
        for place in list(range(early - 1, -1, -1)) * _SWEEPS:
            prices = np.flatnonzero(stale[:, place])
            if len(prices):
                found = self._best(place, prices, self._gain(place, prices, thresholds[prices]))
                stale[prices[found != thresholds[prices, place]]] = True
                stale[prices, place] = False
                thresholds[prices, place] = found
            elif not stale.any():
                break
        costs = self._later(-1, np.arange(len(self.prices)), thresholds)
        return thresholds, costs @ self.counts

    def greedy(self) -> NDArray[np.float64]:
        """Each stage from the first on, as if the last one came next."""
        thresholds = np.full((len(self.prices), len(self.stages) - 1), NEVER)
        everything = np.arange(len(self.prices))
        for place in range(len(self.stages) - 1):
            thresholds[:, place] = self._best(place, everything, self._gain(place, everything, thresholds))
        return thresholds

    def _gain(
        self, place: int, prices: NDArray[np.int64], thresholds: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """What stopping a row at a stage changes [prices, rows]: nothing where an earlier stage stops it."""
        gain = self.costs[place][prices] - self._later(place, prices, thresholds)
        gain *= self.counts
        for earlier in range(place):
            gain *= self.stages[earlier].confidence < thresholds[:, earlier, None]
        return gain

    def _later(
        self, place: int, prices: NDArray[np.int64], thresholds: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Cost of the rows that go on after a stage [prices, rows]; -1 for all rows."""
        later = self.costs[-1][prices]
        for after in range(len(self.stages) - 2, place, -1):
            stops = self.stages[after].confidence >= thresholds[:, after, None]
            np.copyto(later, self.costs[after][prices], where=stops)
        return later

    def _best(self, place: int, prices: NDArray[np.int64], gain: NDArray[np.float64]) -> NDArray[np.float64]:
        """The exact threshold [prices] where stopping a row changes the cost by its gain [prices, rows]."""
        positions, values = self.cuts[place]
        if not len(positions):
            return np.full(len(prices), NEVER)
        sums = np.take(gain, self.orders[place], axis=1)
        np.cumsum(sums, axis=1, out=sums)
        sums = sums[:, positions]
        best = sums.argmin(axis=1)
        # Rounding in the sums is no reason to let more rows stop.
        return np.where(sums[np.arange(len(sums)), best] + 1e-12 < 0, values[1 + best], NEVER)


def _cuts(falling: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Row numbers after which a threshold can cut, and the thresholds: `NEVER` first, then one for each of them.

    Rows that are as sure as each other stop together. A threshold lies half-way between two rows, so that rounding on
    another machine moves no row.
    """
    allowed = int((falling > BARRED).sum())
    ends = np.flatnonzero(np.diff(falling[:allowed]) < 0)
    between = (falling[ends].astype(np.float64) + falling[ends + 1]) / 2
    positions, values = ends, np.concatenate([[NEVER], between])
    if allowed:
        positions, values = np.append(ends, allowed - 1), np.append(values, 0.0)
    return positions, values


def class_thresholds(
    stages: Sequence[StageRows],
    thresholds: NDArray[np.float64],
    price: float,
    classes: int,
    *,
    row_weights: NDArray[np.float64] | None = None,
    strength: float = 200.0,
    least_rows: int = 50,
) -> NDArray[np.float64]:
    """Thresholds [stages - 1, classes] for the class that a stage's answer names, from common ones [stages - 1].

    A class's own threshold is the best for its own rows and `strength` rows of all classes together; a class with fewer than
    `least_rows` rows at a stage keeps the common one.
    """
    problem = _Problem(stages, np.array([price]), row_weights)
    costs = [cost[0] for cost in problem.costs]
    found = np.repeat(thresholds[:, None], classes, axis=1)
    for _ in range(_SWEEPS):
        before = found.copy()
        later = costs[-1]
        for place in range(len(stages) - 2, -1, -1):
            reached = np.ones(len(later), bool)
            for earlier in range(place):
                reached &= stages[earlier].confidence < found[earlier, stages[earlier].named]
            gain = np.where(reached, (costs[place] - later) * problem.counts, 0.0)
            order = problem.orders[place]
            positions, values = problem.cuts[place]
            sorted_gain, named = gain[order], stages[place].named[order]
            common = np.cumsum(sorted_gain) / max(int(reached.sum()), 1)
            for one in range(classes):
                own = named == one
                if int((reached & (stages[place].named == one)).sum()) < least_rows:
                    found[place, one] = thresholds[place]
                    continue
                sums = np.cumsum(np.where(own, sorted_gain, 0.0)) + strength * common
                found[place, one] = values[np.concatenate([[0.0], sums[positions] + 1e-12]).argmin()]
            later = np.where(
                stages[place].confidence >= found[place, stages[place].named], costs[place], later
            )
        if np.array_equal(before, found):
            break
    return found
