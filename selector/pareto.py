"""Which of several options are worth considering, by cost and value."""

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
