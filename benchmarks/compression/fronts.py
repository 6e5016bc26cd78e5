"""What several methods need for the same accuracy, from a few networks of each.

Networks of different methods take different times at different accuracies, so that neither can be compared by itself. Each
method's few networks and the original make a curve, and its cost at the accuracy that another method's network has is read off.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from benchmarks.compression.statistics import Ratio, time_ratio

_APART, _SAME = 1e-9, 1e-6
"""Between scores that count as one, so that a level lies between two of them."""


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
    costs, accuracies = np.array(points, float).T
    logs, curve = _curve(costs, accuracies)
    if level > curve[-1] + _APART:
        return None
    if level <= curve[0] + _APART:
        return Reading(float(costs.min()), most=True)
    return Reading(math.exp(float(np.interp(level, curve, logs))))


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


_LEVELS, _DRAWS = 200, 1000


def over_all_scores(
    ones: Sequence[tuple[float, float]],
    others: Sequence[tuple[float, float]],
    deviations: tuple[Sequence[float], Sequence[float]],
    seed: int = 0,
) -> EqualScore:
    """What a method takes over what another one takes, in the mean over all scores that both have.

    Parameters
    ----------
    ones, others
        Time and score of each network of both, the original among them.
    deviations
        Standard deviation of each score, in the same order; 0 for the original's, which both share.

    Notes
    -----
    Bjontegaard's difference of rates (VCEG-M33, 2001), with time for rate: the mean of the difference of the logarithms of
    both times, over the scores between the worst and the best that both have. The interval is that of curves through scores
    that are drawn anew.

    Examples
    --------
    >>> quick, slow = [(0.1, 80.0), (1.0, 90.0)], [(0.2, 80.0), (1.0, 90.0)]
    >>> over_all_scores(quick, slow, ([0.0, 0.0], [0.0, 0.0])).text()
    '-29% [-29%, -29%]'
    """
    (times, scores), (other_times, other_scores) = np.array(ones, float).T, np.array(others, float).T
    log, least = _mean_log_ratio(times, scores, other_times, other_scores)
    low = high = None
    if all(np.isfinite(some).all() for some in deviations):
        generator = np.random.default_rng(seed)
        logs = [
            _mean_log_ratio(
                times, generator.normal(scores, deviations[0]), other_times, generator.normal(other_scores, deviations[1])
            )[0]
            for _ in range(_DRAWS)
        ]  # fmt: skip
        low, high = map(_ratio_of, np.quantile(logs, [0.025, 0.975], method="nearest").tolist())
    return EqualScore(_ratio_of(log), least, low, high)


def _ratio_of(log: float) -> float | None:
    """None where it is infinite."""
    return math.exp(log) if math.isfinite(log) else None


_Values = NDArray[np.float64]


def _mean_log_ratio(
    times: _Values, scores: _Values, other_times: _Values, other_scores: _Values
) -> tuple[float, bool]:
    """The mean over common scores, and whether it is only known that it is no more; infinite where none is reached."""
    (logs, curve), (other_logs, other_curve) = _curve(times, scores), _curve(other_times, other_scores)
    low, high = max(curve[0], other_curve[0]), min(curve[-1], other_curve[-1])
    if high <= low:
        if curve[-1] <= other_curve[0]:
            return np.inf, False
        best = int(np.argmax(other_curve >= other_curve[-1] - _SAME))
        return float(logs[0] - other_logs[best]), True
    levels = low + (high - low) * (np.arange(_LEVELS) + 0.5) / _LEVELS
    return float(np.mean(np.interp(levels, curve, logs) - np.interp(levels, other_curve, other_logs))), False


def _curve(times: _Values, scores: _Values) -> tuple[_Values, _Values]:
    """Logarithms of times, ascending, and the scores there, which may only rise."""
    order = np.argsort(times)
    rising = isotonic_regression(scores[order]).x + _APART * np.arange(len(times))
    return np.log(times[order]), rising
