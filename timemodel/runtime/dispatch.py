"""What going from one operator to an unlike one costs: processors foresee short rows of operators, and lose track of long ones."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from timemodel.tree import nonnegative

KNOTS = (8, 32, 128, 512)
"""Numbers of operators at which the price of each begins to rise; it has risen at four times the number."""

_NOISE = 1e-2


def _climbed(count: int, knot: int) -> float:
    """How far the step of price at `knot` is climbed in a network of `count` operators: from 0 to 1."""
    return min(math.log(count / knot, 4.0), 1.0) if count > knot else 0.0


@dataclass(frozen=True)
class Dispatch:
    """A rising price of one operator by the number of operators in the network: what each of `KNOTS` adds, in ms."""

    steps_ms: tuple[float, ...] = (0.0,) * len(KNOTS)

    def each_ms(self, count: int) -> float:
        """What each of `count` operators of a network costs beyond its time alone.

        Examples
        --------
        >>> Dispatch((0.0, 2e-5, 0.0, 0.0)).each_ms(128)
        2e-05
        """
        steps = zip(KNOTS, self.steps_ms, strict=True)
        return sum(step * _climbed(count, knot) for knot, step in steps if step)

    @classmethod
    def fit(cls, counts: Sequence[int], each_ms: Sequence[float]) -> Dispatch:
        """Learn from rows of `counts` unlike operators, of which each took `each_ms` beyond its time alone."""
        if not counts:
            return cls()
        rows = np.array([[_climbed(count, knot) for knot in KNOTS] for count in counts])
        goal = np.array(each_ms)
        size = max(float(np.abs(goal).max()), 1e-12)
        gram = rows.T @ rows + _NOISE * np.eye(len(KNOTS))
        solved = nonnegative.solve(gram, rows.T @ goal / size) * size
        return cls(tuple(float(step) for step in solved))

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {"operators": list(KNOTS), "steps_ms": list(self.steps_ms)}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Dispatch:
        """Read what `to_dict` wrote."""
        steps = tuple(float(step) for step in value["steps_ms"])
        if list(value["operators"]) != list(KNOTS) or len(steps) != len(KNOTS):
            raise ValueError("prices of operators in a row belong to other numbers than this edgetime knows")
        if not all(np.isfinite(step) and step >= 0 for step in steps):
            raise ValueError("prices of operators in a row must be 0 or more")
        return cls(steps)
