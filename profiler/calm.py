"""What calm is on a device: told from the times of its canary, a fixed small network that is timed beside everything else.

A machine has states, not just noise: calm, beside a busy neighbour, throttled. Within one, the canary repeats; so calm is the
lowest time at which it repeats, not the least time ever seen. All that measures asks this module.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

WITHIN = 1.05
"""A canary of at most so many times its calm time was calm."""

_WIDTH = math.log(1.03) + 1e-9  # more than rounding: 1.03 times is within it in any unit
"""A state's times lie about so close together, in logarithms."""
_LEAST, _LEAST_SHARE = 5, 0.01
"""A state was met at least so often, and for this share of the time: less is an outlier."""
_APART = math.log(1.06) + 1e-9
"""States whose times are closer than this are one."""
_REPEATS = 0.05
"""Where no state holds this share of the canaries, the canary does not repeat."""


@dataclass(frozen=True)
class State:
    """A state that the device was in: how many times as long as in calm its canary took, and for what share of the time."""

    factor: float
    share: float


@dataclass(frozen=True)
class Calm:
    """What the canary tells of all measurements together.

    Parameters
    ----------
    calm_us
        Its time in calm; NaN where there is no canary.
    share
        Share of the time that was calm; 1 where there is no canary.
    states
        The states that were met, the calm one first. What lies between them belongs to none.
    repeats
        Whether the canary repeats at all: where it does not, `calm_us` is the low end of its times.

    Examples
    --------
    >>> calm = calm_of([10.0] * 30 + [14.0] * 70)
    >>> round(calm.calm_us, 6), calm.share, [state.factor for state in calm.states]
    (10.0, 0.3, [1.0, 1.4])
    """

    calm_us: float
    share: float
    states: tuple[State, ...] = ()
    repeats: bool = True

    def slowness(self, canary_us: np.ndarray) -> np.ndarray:
        """How many times as long as in calm the canary took, at least 1; NaN where there was none."""
        return np.maximum(np.asarray(canary_us, float) / self.calm_us, 1.0)

    def is_calm(self, canaries_us: Iterable[float]) -> bool:
        """Whether all of these were calm; what has no canary cannot be told apart and counts as calm."""
        return not any(canary > WITHIN * self.calm_us for canary in canaries_us)


def calm_of(
    canaries_us: Sequence[float] | np.ndarray, spent_s: Sequence[float] | np.ndarray | None = None
) -> Calm:
    """Find calm in the times of a canary.

    Parameters
    ----------
    canaries_us
        In any order; NaN and 0 where there was none.
    spent_s
        How much time went by with each: shares are of that. What is measured in calm is done sooner, so that of all canaries more
        are calm than of the time. None where all stand for as much.
    """
    times = np.asarray(canaries_us, float)
    spent = np.ones(times.shape) if spent_s is None else np.asarray(spent_s, float)
    known = np.isfinite(times) & (times > 0)
    times, spent = times[known], spent[known]
    if not times.size:
        return Calm(math.nan, 1.0)
    order = np.argsort(times, kind="stable")
    times, spent = times[order], spent[order] / spent.sum()
    modes = _modes(np.log(times), spent)
    repeats = bool(modes) and max(share for _, share in modes) >= _REPEATS
    calm_us = math.exp(modes[0][0]) if modes else float(np.quantile(times, _LEAST_SHARE, method="higher"))
    states = tuple(State(round(max(math.exp(at) / calm_us, 1.0), 6), share) for at, share in modes)
    return Calm(calm_us, 1.0 - float(spent[times > WITHIN * calm_us].sum()), states, repeats)


def in_words(share: float, states: Sequence[State] = (), repeats: bool = True) -> str:
    """A sentence on how calm a device was.

    Examples
    --------
    >>> in_words(0.3, [State(1.0, 0.3), State(1.4, 0.5)])
    'The device was calm 30% of the time; other states: 1.40x as slow 50% of the time.'
    """
    if not repeats:
        return "The device's speed never repeated: no calm was found, times are those of its fastest moments."
    others = ", ".join(f"{state.factor:.2f}x as slow {state.share:.0%} of the time" for state in states[1:])
    return f"The device was calm {share:.0%} of the time{f'; other states: {others}' if others else ''}."


def _modes(logs: np.ndarray, shares: np.ndarray) -> list[tuple[float, float]]:
    """Middle and share of the lowest crowd in ascending `logs`, and of every denser place above it, the lowest first."""
    ends = np.searchsorted(logs, logs + _WIDTH, side="right")
    counts = ends - np.arange(len(logs))
    least = max(_LEAST if len(logs) > _LEAST else 1, _LEAST_SHARE * len(logs))
    modes: list[tuple[float, float]] = []
    floor = -math.inf
    for at in np.flatnonzero(counts >= least):
        if logs[at] < floor:
            continue
        if not modes:
            # The densest place in the neighbourhood of the lowest one that is dense enough.
            at += int(np.argmax(counts[at : np.searchsorted(logs, logs[at] + _APART, side="right")]))
        else:
            left, right = np.searchsorted(logs, [logs[at] - _APART, logs[at] + _APART])
            if counts[at] < counts[left:right].max():
                continue
        members = logs[at : ends[at]]
        modes.append((float(np.median(members)), float(shares[at : ends[at]].sum())))
        floor = max(members[-1], modes[-1][0] + _APART)
    return modes
