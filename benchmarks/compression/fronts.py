"""What several methods need for the same accuracy, from a few networks of each.

Networks of different methods take different times at different accuracies, so that neither can be compared by itself. Each
method's few networks and the original make a curve, and its cost at the accuracy that another method's network has is read off.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import isotonic_regression

from benchmarks.compression.statistics import Ratio, time_ratio


@dataclass(frozen=True)
class Reading:
    """The cost at which an accuracy is reached; `most` where the cheapest network reaches it already, so that less may do."""

    cost: float
    most: bool = False


def cost_at(points: Sequence[tuple[float, float]], level: float) -> Reading | None:
    """The cost of reaching an accuracy along a front; None where it is not reached.

    Parameters
    ----------
    points
        Cost and accuracy of each network.

    Notes
    -----
    Accuracy may only rise with cost: the nearest such curve in least squares is read, straight between networks in the
    logarithm of cost. (The front of the best networks would take chance for skill.)

    Examples
    --------
    >>> cost_at([(1.0, 0.90), (4.0, 0.94), (16.0, 0.96)], 0.92).cost
    2.0
    """
    costs, accuracies = np.array(sorted(points)).T
    curve = isotonic_regression(accuracies).x
    reached = np.flatnonzero(curve >= level - 1e-9)
    if not len(reached):
        return None
    first = int(reached[0])
    if first == 0:
        return Reading(float(costs[0]), most=True)
    part = (level - curve[first - 1]) / (curve[first] - curve[first - 1])
    logs = np.log(costs[first - 1 : first + 1])
    return Reading(float(np.exp(logs[0] + min(1.0, part) * (logs[1] - logs[0]))))


def ratio_of(ones: Sequence[Reading | None], others: Sequence[Reading | None]) -> Ratio | None:
    """How many times the cost of `others` the `ones` need, one pair for each seed; None where no seed tells.

    A cost that is only known to be at most so much counts among `ones`, where it understates what is saved, and not among
    `others`, where it would overstate it.
    """
    pairs = [
        [one.cost / other.cost]
        for one, other in zip(ones, others, strict=True)
        if one is not None and other is not None and not other.most
    ]
    return time_ratio(pairs) if pairs else None


@dataclass(frozen=True)
class EqualScore:
    """Time of one method over that of another where both have the same score, with its 95% interval.

    Attributes
    ----------
    ratio
        None where the score is not reached below the original's time.
    least
        Whether the fastest network has that score already, so that even less time may do.
    low, high
        None where chance leaves no bound.
    """

    ratio: float | None
    least: bool
    low: float | None
    high: float | None

    def text(self) -> str:
        """As ``-35% [-48%, -19%]``: how much less time; with ``≤`` where less may do."""
        if self.ratio is None:
            return "not reached"
        bounds = ", ".join("?" if bound is None else f"{bound - 1:+.0%}" for bound in (self.low, self.high))
        return f"{'≤ ' if self.least else ''}{self.ratio - 1:+.0%} [{bounds}]"


def at_equal_score(
    points: Sequence[tuple[float, float]], time: float, score: float, half_width: float
) -> EqualScore:
    """What a method takes for the score that another one has in `time`.

    Parameters
    ----------
    points
        Time and score of each of the method's networks, the original among them.
    half_width
        Half of the interval of a difference of two scores. The interval of the ratio is all times at which the difference of
        scores may be 0: of a flat curve it is wide, as it should be.

    Examples
    --------
    >>> at_equal_score([(0.1, 80.0), (0.4, 84.0), (1.0, 90.0)], 0.4, 82.0, 1.0).text()
    '-50% [-65%, -29%]'
    """

    def at(level: float) -> Reading | None:
        return cost_at(points, level) if np.isfinite(level) else None

    found, below, above = at(score), at(score - half_width), at(score + half_width)
    return EqualScore(
        ratio=found.cost / time if found else None,
        least=bool(found and found.most),
        low=below.cost / time if below and not below.most else None,
        high=above.cost / time if above else None,
    )
