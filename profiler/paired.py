"""Tests of whether one answer loses more than so much accuracy against another on the same rows, exact for any number of rows."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, betaincinv, gammaln, ndtri, stdtrit

_SHARE_OF_RANGE = 0.02
"""Part of the level that is spent on the range of the unknown share of gains (Berger and Boos, 1994)."""

_COARSE, _FINE = 24, 240

_STAKES = np.concatenate([np.geomspace(0.01, 0.1, 4), np.linspace(0.2, 0.99, 8)])
"""Shares of the highest stake: the high ones where hardly anything is lost, the low ones where losses and gains are large."""


def paired_p_value(losses: int, gains: int, rows: int, most: float, level: float = 0.05) -> float:
    """Probability of such a good result, or a better one, of a policy that loses more than it may: exact, never too low.

    Of `rows` independent rows, `losses` are right by the reference alone and `gains` by the policy alone; the hypothesis is that
    the share of losses exceeds that of gains by at least `most`. Results are ordered by the score statistic of paired
    non-inferiority (Tango 1998), and the probability is the highest over all shares of gains that the rows allow (Sidik 2003),
    bounded from above on each piece of their range. Rows on which both answers are right or wrong keep the variance small, so
    the test is far sharper than bounds that know only the range of a loss.

    Parameters
    ----------
    losses, gains
        Rows on which only the reference, or only the policy, is right.
    rows
        All rows.
    most
        Share of all rows that may be lost, 0 to 1.
    level
        The level that it is compared with: how finely the range is cut depends on it.

    Examples
    --------
    >>> round(paired_p_value(0, 0, 600, 0.005), 3)
    0.05
    """
    if (losses - gains) >= rows * most:
        return 1.0
    outside = level * _SHARE_OF_RANGE
    low, high = _share_interval(gains, rows, outside)
    high = min(high, (1 - most) / 2)
    found = 1.0
    for pieces in (_COARSE, _FINE):
        found = min(
            1.0, _highest(losses, gains, rows, most, np.linspace(min(low, high), high, pieces + 1)) + outside
        )
        if found < level / 2 or found > 4 * level:
            break
    return found


def _share_interval(count: int, rows: int, level: float) -> tuple[float, float]:
    """The exact interval of a binomial share (Clopper and Pearson)."""
    low = 0.0 if count == 0 else float(betaincinv(count, rows - count + 1, level / 2))
    high = 1.0 if count == rows else float(betaincinv(count + 1, rows - count, 1 - level / 2))
    return low, high


def _highest(losses: int, gains: int, rows: int, most: float, edges: NDArray[np.float64]) -> float:
    """An upper bound of the probability of a result as good as this, over shares of gains between the edges."""
    observed = float(_score(np.array(losses), np.array(gains), rows, most))
    # Fewer losses and more gains are better: on a piece, the lower end bounds the losses, the upper end the gains.
    lost, gained = edges[:-1] + most, edges[1:]
    widest = float(lost[-1])
    reach = int(widest * rows + 10 * math.sqrt(max(rows * widest, 1.0)) + 20)
    seen = np.arange(min(rows, reach) + 1)
    least = _least_gains(seen, observed, rows, most)
    least[losses] = min(least[losses], gains)
    least = np.maximum.accumulate(least)
    chances = np.exp(
        gammaln(rows + 1) - gammaln(seen + 1) - gammaln(rows - seen + 1)
        + seen * np.log(lost)[:, None] + (rows - seen) * np.log1p(-lost)[:, None]
    )  # fmt: skip
    others = np.maximum(rows - seen, 0)
    share = np.minimum(gained / (1 - lost), 1.0)[:, None]
    possible = least <= others
    fewer = np.where(least > 0, bdtr(np.maximum(least - 1, 0), np.maximum(others, 1), share), 0.0)
    as_good = np.where(possible, 1 - fewer, 0.0)
    tail = np.maximum(1 - chances.sum(axis=1), 0.0)
    return float(((chances * as_good).sum(axis=1) + tail).max())


def _least_gains(losses: NDArray[np.int64], observed: float, rows: int, most: float) -> NDArray[np.int64]:
    """For each number of losses the least number of gains whose score is as good as the observed one; `rows + 1` for none."""
    low = np.zeros(len(losses), np.int64)
    high = np.full(len(losses), rows + 1)
    while (low < high).any():
        middle = (low + high) // 2
        inside = np.minimum(middle, rows - losses)
        good = (_score(losses, inside, rows, most) <= observed + 1e-9) & (middle <= rows - losses)
        beyond = middle > rows - losses
        high = np.where(good | beyond, middle, high)
        low = np.where(good | beyond, low, middle + 1)
    return np.where(low > rows - losses, rows + 1, low)


def _score(
    losses: NDArray[np.int64], gains: NDArray[np.int64], rows: int, most: float
) -> NDArray[np.float64]:
    """Standardised excess of losses over gains, its variance where the hypothesis holds just so; less is better."""
    # The likeliest share of gains g where the share of losses is g + most: 2 n g^2 + b g + c = 0.
    b = -(losses + gains) + (2 * rows - losses + gains) * most
    c = -gains * most * (1 - most)
    root = np.sqrt(np.maximum(b * b - 8 * rows * c, 0.0))
    share = np.clip((root - b) / (4 * rows), 0.0, (1 - most) / 2)
    variance = rows * np.maximum(2 * share + most * (1 - most), 1e-12)
    result: NDArray[np.float64] = (losses - gains - rows * most) / np.sqrt(variance)
    return result


def betting_p_value(lost: NDArray[np.float64], most: float, worst: float = 1.0) -> float:
    """Probability of such a good result of a policy that loses more than it may, for losses of any size: never too low.

    Capital is bet against the hypothesis that the mean loss is at least `most` (Waudby-Smith and Ramdas 2024): a mixture of stakes
    that were fixed beforehand, so that 1 / capital is a p-value by Markov's inequality.

    Parameters
    ----------
    lost
        Loss of each independent unit [units], a row or a group, at most `worst`.
    most
        What may be lost on average.

    Examples
    --------
    >>> betting_p_value(np.zeros(10), 0.05) > 0.5
    True
    """
    highest = 1 / (worst - most)
    stakes = highest * _STAKES
    capital = np.log1p(stakes[:, None] * (most - lost)).sum(axis=1)
    top = float(capital.max())
    mean = top + math.log(float(np.exp(capital - top).mean()))
    return float(min(1.0, math.exp(min(-mean, 0.0))))


def fewest_units(most: float, level: float, *, groups: bool = False) -> int:
    """So many rows, or groups, are needed to show that less than `most` is lost, above 0, where nothing is lost at all."""

    def suffice(units: int) -> bool:
        chance = (
            betting_p_value(np.zeros(units), most) if groups else paired_p_value(0, 0, units, most, level)
        )
        return chance <= level

    high = 1
    while not suffice(high):
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if suffice(middle) else (middle, high)
    return high


def group_means(values: NDArray[np.float64], groups: NDArray[np.generic] | None) -> NDArray[np.float64]:
    """The mean of each group, in the order of their names; the values as they are where there are no groups."""
    if groups is None:
        return values
    member = np.unique(groups, return_inverse=True)[1].ravel()
    found: NDArray[np.float64] = np.bincount(member, values) / np.bincount(member)
    return found


def loss_p_value(
    lost: NDArray[np.float64],
    most: float,
    groups: NDArray[np.generic] | None = None,
    level: float = 0.05,
) -> float:
    """Probability of so small a loss of a network that loses `most` or more on new data: exact, never too low.

    Parameters
    ----------
    lost
        What each row loses [rows], -1 to 1: 1 where only the reference is right, -1 where only the other one.
    most
        Share that may be lost, 0 to 1.
    groups
        Of each row [rows]: then groups are what is independent, and each counts the same.
    level
        The level that it is compared with.

    Examples
    --------
    >>> loss_p_value(np.zeros(640), 0.005) <= 0.05
    True
    """
    if groups is not None:
        return betting_p_value(group_means(lost, groups), most)
    if np.isin(lost, (-1.0, 0.0, 1.0)).all():
        return paired_p_value(int((lost > 0).sum()), int((lost < 0).sum()), len(lost), most, level)
    return betting_p_value(lost, most)


_HALVINGS = 30


def loss_interval(
    lost: NDArray[np.float64], groups: NDArray[np.generic] | None = None, confidence: float = 0.95
) -> tuple[float, float] | None:
    """Between which shares the loss on new data lies: approximate, to be shown and not promised by; None for a single unit.

    Rows by the score interval (Tango 1998); groups, and rows of which a part can be right, by Student's t. `lost` and `groups`
    as of `loss_p_value`.
    """
    units = group_means(lost, groups)
    count = len(units)
    if count < 2:
        return None
    if groups is None and np.isin(lost, (-1.0, 0.0, 1.0)).all():
        worse, better = int((lost > 0).sum()), int((lost < 0).sum())
        z = float(ndtri(0.5 + confidence / 2))
        return _crossing(worse, better, count, z), _crossing(worse, better, count, -z)
    # That no unit differs, on so few, does not mean that none ever would.
    error = max(float(units.std(ddof=1)) / math.sqrt(count), 1 / len(lost))
    half = float(stdtrit(count - 1, 0.5 + confidence / 2)) * error
    mean = float(units.mean())
    return max(-1.0, mean - half), min(1.0, mean + half)


def _crossing(worse: int, better: int, rows: int, z: float) -> float:
    """The loss from which the observed one lies `z` standard deviations away."""

    def signed(loss: float) -> float:
        if loss >= 0:
            return float(_score(np.array(worse), np.array(better), rows, loss))
        return -float(_score(np.array(better), np.array(worse), rows, -loss))

    low, high = -1.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if signed(middle) > z else (low, middle)
    return (low + high) / 2
