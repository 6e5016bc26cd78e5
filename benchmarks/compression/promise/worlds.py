"""Where rows are drawn from: pools of real answers, and made-up networks whose true loss is known exactly."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from benchmarks.compression.promise.answers import Pool
from benchmarks.compression.promise.resampling import Drawn


class World(Protocol):
    """What networks lose in truth [networks], their cost [networks], and independent draws."""

    name: str
    cost: NDArray[np.float64]

    def truth(self, groups: bool) -> NDArray[np.float64]:
        """What each network loses on average, over rows, or over groups that each count the same."""

    def draw(self, units: int, groups: bool, rng: np.random.Generator) -> Drawn:
        """So many rows, or all rows of so many groups."""


class Resampled:
    """The subjects or voices of a pool are all there are: rows and groups are drawn from it with repetition."""

    def __init__(self, pool: Pool) -> None:
        self.name, self.cost, self._right = pool.name, pool.cost, pool.right
        names, member = np.unique(pool.groups, return_inverse=True)
        self._members = [np.flatnonzero(member == place) for place in range(len(names))]

    def truth(self, groups: bool) -> NDArray[np.float64]:
        """As of `World`."""
        scores = self._right.mean(axis=1)
        if groups:
            scores = np.mean([self._right[:, members].mean(axis=1) for members in self._members], axis=0)
        lost: NDArray[np.float64] = scores[0] - scores
        return lost

    def draw(self, units: int, groups: bool, rng: np.random.Generator) -> Drawn:
        """As of `World`."""
        if not groups:
            return Drawn(self._right[:, rng.integers(self._right.shape[1], size=units)])
        chosen = [self._members[place] for place in rng.integers(len(self._members), size=units)]
        numbers = np.repeat(np.arange(units), [len(members) for members in chosen])
        return Drawn(self._right[:, np.concatenate(chosen)], numbers)


class MadeUp:
    """Networks that are right where how easy a row is, and who said it, is beyond what each of them can; all normal.

    `shared` is the part of the variance that all networks have in common, of which `grouped` belongs to the group.
    """

    ROWS = 30
    """Of each group."""

    def __init__(self, shared: float = 0.9, grouped: float = 0.3) -> None:
        self.name = "made up"
        accuracy = np.array([0.90, 0.902, 0.899, 0.897, 0.893, 0.888, 0.88, 0.86, 0.82])
        self.cost = np.array([1.0, 0.7, 0.55, 0.42, 0.33, 0.25, 0.18, 0.13, 0.08])
        self._accuracy, self._limits = accuracy, ndtri(accuracy)
        self._shared, self._grouped = shared, grouped

    def truth(self, groups: bool) -> NDArray[np.float64]:
        """As of `World`: all groups have as many rows."""
        found: NDArray[np.float64] = ndtr(self._limits[0]) - ndtr(self._limits)
        return found

    def draw(self, units: int, groups: bool, rng: np.random.Generator) -> Drawn:
        """As of `World`."""
        rows = units * self.ROWS if groups else units
        common = rng.standard_normal(rows)
        numbers = np.repeat(np.arange(units), self.ROWS) if groups else None
        own = rng.standard_normal((len(self.cost), rows))
        if numbers is not None:
            # Who speaks makes all of it harder, and for each network in a way of its own.
            common = _mixed(common, rng.standard_normal(units)[numbers], self._grouped)
            own = _mixed(own, rng.standard_normal((len(self.cost), units))[:, numbers], self._grouped)
        return Drawn(_mixed(own, common[None], self._shared) < self._limits[:, None], numbers)


def _mixed(one: NDArray[np.float64], other: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    """Both, of variance 1, so that `share` of the variance is the other's."""
    mixed: NDArray[np.float64] = np.sqrt(1 - share) * one + np.sqrt(share) * other
    return mixed
