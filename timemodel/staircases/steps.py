"""Arithmetic of staircases: a *step* is a run of widths of like time, its *end* the widest of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

SAME = 1e-9
"""Times that differ by less, relative, are equal."""

_STEEP = 3.0
"""A step ends where the next channel costs so many times what channels cost on average."""

_EDGE = 2.0
"""Going down, a step ends where one channel less saves so many times what a channel is worth on average."""

_EVERY_WIDTH_UP_TO = 64

PERIODS = (2, 4, 8, 12, 16, 24, 32, 48, 64)
"""Multiples at which the kernels of a device may end their steps."""

_MULTIPLES, _AT_LEAST = 4, 48
"""A period must show at so many of its multiples, and up to this width."""


def step_ends(times_ms: NDArray[np.float64]) -> list[int]:
    """The widths at which a step ends: one channel more costs as much as several do on average; times at 1, 2, … [n].

    >>> step_ends(np.array([1.0] * 8 + [2.0] * 8 + [3.0]))
    [8, 16]
    """
    widths = np.arange(1, len(times_ms))
    jumps = np.diff(times_ms) >= _STEEP * times_ms[1:] / (widths + 1)
    return [int(width) for width in widths[jumps & (times_ms[1:] > 0)]]


def step_around(ends: Collection[int], width: int, widest: int) -> tuple[int, int]:
    """The first and the last width of the step of `width`; the last is `widest` where no step ends beyond it.

    >>> step_around([16, 32], 20, 100), step_around([16, 32], 40, 100)
    ((17, 32), (33, 100))
    """
    first = max((end + 1 for end in ends if end < width), default=1)
    return first, min((end for end in ends if end >= width), default=widest)


def undominated_widths(times_ms: NDArray[np.float64]) -> list[int]:
    """The widths that are worth having, ascending: no wider one is as fast; times at 1, 2, … [n].

    >>> undominated_widths(np.array([1.0, 1.0, 3.0, 2.0, 4.0]))
    [2, 4, 5]
    """
    found, least = [], np.inf
    for width in range(len(times_ms), 0, -1):
        if times_ms[width - 1] < least * (1 - SAME):
            found.append(width)
            least = times_ms[width - 1]
    return found[::-1]


def thin_out(widths: Sequence[int], times_ms: NDArray[np.float64], most: int) -> list[int]:
    """About `most` of ascending `widths`: at the ends of the highest steps, and evenly by ratio; times at 1, 2, … [n]."""
    if len(widths) <= most:
        return list(widths)
    times = times_ms[np.array(widths) - 1]
    rises = np.diff(times) / np.diff(widths)
    highest = {widths[i] for i in np.argsort(-rises, kind="stable")[: most // 2]}
    spread = np.geomspace(widths[0], widths[-1], most - len(highest))
    even = {widths[int(np.argmin(np.abs(np.log(widths) - np.log(width))))] for width in spread}
    return sorted(highest | even | {widths[-1]})


def fastest_width(widths: Sequence[int], times_ms: ArrayLike) -> int:
    """Which of ascending `widths` takes least time; of equals the widest.

    >>> fastest_width([8, 16, 24], [2.0, 1.0, 1.0])
    24
    """
    times = np.asarray(times_ms, dtype=float)
    least = times.min()
    return widths[int(np.flatnonzero(times <= least + SAME * abs(least))[-1])]


def steps_down(width: int, extra_ms: Mapping[int, float], least_ms: float) -> list[int]:
    """Ends of steps below `width`, the widest first, each faster by `least_ms` than the one before; else any such widths.

    `extra_ms` says by how much longer than `width` each width takes; not every width need be there.

    >>> steps_down(5, {5: 0.0, 4: -0.1, 3: -2.0, 2: -2.1, 1: -4.0}, 0.5)
    [3, 1]
    """
    falling = sorted((w for w in extra_ms if w <= width), reverse=True)
    if len(falling) < 2:
        return []
    average = (extra_ms[falling[0]] - extra_ms[falling[-1]]) / (falling[0] - falling[-1])
    ends: list[int] = []
    even: list[int] = []
    for wider, narrower in pairwise(falling):
        extra = extra_ms[narrower]
        if extra <= (extra_ms[even[-1]] if even else 0.0) - least_ms:
            even.append(narrower)
        drop = (extra_ms[wider] - extra) / (wider - narrower)
        if extra <= (extra_ms[ends[-1]] if ends else 0.0) - least_ms and drop >= _EDGE * average:
            ends.append(narrower)
    return ends or even


def widths_to_try(width: int) -> list[int]:
    """Widths from 1 to twice `width` where a step may end; `width` itself is among them."""
    largest = 2 * width
    found = set(range(1, min(largest, _EVERY_WIDTH_UP_TO) + 1)) | {width - 1, width, width + 1}
    period, start = 8, _EVERY_WIDTH_UP_TO
    # Above that multiples, coarser as they grow, with both neighbours, and a geometric sequence in between.
    while start < largest:
        for multiple in range(start, min(4 * start, largest) + 1, period):
            found.update((multiple - 1, multiple, multiple + 1))
        period, start = 2 * period, 4 * start
    value = float(_EVERY_WIDTH_UP_TO)
    while value < largest:
        found.add(round(value))
        value *= 1.07
    return sorted(w for w in found if 1 <= w <= largest)


def main_period(ends: set[int], widest: int) -> int:
    """The least of `PERIODS` at all of whose first multiples (up to `widest`) a step ends; 0 where there is none."""
    for period in PERIODS:
        multiples = range(period, min(max(_MULTIPLES * period, _AT_LEAST), widest) + 1, period)
        if len(multiples) > 1 and ends.issuperset(multiples):
            return period
    return 0


def finer_period(ends: set[int], period: int) -> int:
    """The least period that divides `period` and shows below it only; 0 where there is none."""
    for finer in PERIODS:
        if finer < period and period % finer == 0 and ends.issuperset(range(finer, period, finer)):
            return finer
    return 0
