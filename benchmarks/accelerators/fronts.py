"""What several methods need for the same accuracy, from a few networks of each."""

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
