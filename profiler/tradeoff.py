"""Cost against value: what is worth considering, and at which cost to look next."""

from __future__ import annotations

import math
from collections.abc import Sequence


def pareto_front(costs: Sequence[float], values: Sequence[float]) -> list[bool]:
    """Mark the options that no other option dominates.

    One option dominates another where it costs no more and is worth no less, and one of the two is strict. So
    equal options stand or fall together.

    Parameters
    ----------
    costs
        Less is better [n].
    values
        More is better [n].

    Returns
    -------
    list of bool
        In the order given [n].

    Raises
    ------
    ValueError
        Different lengths, or a number that is NaN.
    """
    if len(costs) != len(values):
        raise ValueError(f"{len(costs)} costs and {len(values)} values: give one of each per option.")
    if any(math.isnan(number) for number in (*costs, *values)):
        raise ValueError("NaN cannot be compared: leave such options out.")
    order = sorted(range(len(costs)), key=lambda index: (costs[index], -values[index]))
    marks = [False] * len(costs)
    best_cost, best_value = math.nan, -math.inf
    for index in order:
        # Cheapest first: what comes later must be worth more, or be the equal of the last one kept.
        equal = costs[index] == best_cost and values[index] == best_value
        if equal or values[index] > best_value or index == order[0]:
            marks[index] = True
            best_cost, best_value = costs[index], values[index]
    return marks


def halfway(low: float, high: float, close: float) -> float | None:
    """The cost to look at next between one that is too low and one that is enough.

    Bisection is on the scale of ratios: the middle is as many times `low` as `high` is times the middle.

    Parameters
    ----------
    low, high
        Above 0.
    close
        Bisection ends where `high` is no more than so many times `low`.

    Returns
    -------
    float or None
        None at the end.

    >>> halfway(1.0, 4.0, close=1.1)
    2.0
    """
    return math.sqrt(low * high) if high / low > close else None
