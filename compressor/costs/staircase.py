"""Moving widths along the staircase of predicted time.

Predicted time is no smooth function of width: it jumps where a tile of channels is full and may even fall (a
wider layer can be faster). These moves find the widths at which a device gives most channels for the time.
The one to the least predicted time among wider ones is FastDeepIoT's (Yao et al., SenSys 2018).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from compressor.graph import Widths
from compressor.training import Importance

Ladders = Mapping[str, Sequence[int]]
"""Per group the widths that are worth having, ascending; the full width is the last."""

_SAME = 1e-9
_LEAST_KEPT = 1e-6
_GIVEN_UP = (0.95, 0.85, 0.7)
"""Shares of its time that a network is narrowed to before it is widened again."""


class Times(Protocol):
    """Predicted time of candidates (`compressor.costs.predicted_time.PredictedTime` has it)."""

    def __call__(self, widths: Widths) -> float:
        """In ms."""

    def moves(self, widths: Widths, group: str, options: Sequence[int]) -> NDArray[np.float64]:
        """In ms, where one group takes each of several widths [n]."""


class ExactTimes(Times, Protocol):
    """Times that are estimates, with the number that counts besides."""

    def exact(self, widths: Widths) -> float:
        """In ms."""


def scaled(full: Widths, shares: Mapping[str, float] | float) -> dict[str, int]:
    """Widths at these shares of the full ones, each at least 1 and at most full."""
    found = {}
    for name, width in full.items():
        share = shares if isinstance(shares, float) else shares[name]
        found[name] = min(width, max(1, round(width * share)))
    return found


def ladder(column_ms: NDArray[np.float64]) -> list[int]:
    """The widths that are worth having: no wider one is as fast. Ascending; the widest is always one.

    Parameters
    ----------
    column_ms
        Predicted time at width 1, 2, … [widths].

    >>> ladder(np.array([1.0, 1.0, 3.0, 2.0, 4.0]))
    [2, 4, 5]
    """
    rungs, least = [], np.inf
    for width in range(len(column_ms), 0, -1):
        if column_ms[width - 1] < least * (1 - _SAME):
            rungs.append(width)
            least = column_ms[width - 1]
    return rungs[::-1]


def thinned(rungs: Sequence[int], column_ms: NDArray[np.float64], most: int) -> list[int]:
    """At most about `most` rungs: those before the highest steps, and some spread evenly by ratio."""
    if len(rungs) <= most:
        return list(rungs)
    times = column_ms[np.array(rungs) - 1]
    rises = np.diff(times) / np.diff(rungs)
    high = {rungs[i] for i in np.argsort(-rises, kind="stable")[: most // 2]}
    wanted = np.geomspace(rungs[0], rungs[-1], most - len(high))
    even = {rungs[int(np.argmin(np.abs(np.log(rungs) - np.log(w))))] for w in wanted}
    return sorted(high | even | {rungs[-1]})


def ladders(times: Times, full: Widths, most: int = 24) -> dict[str, list[int]]:
    """Each group's ladder, where the others have their full widths."""
    found = {}
    for name, width in full.items():
        column_ms = times.moves(full, name, range(1, width + 1))
        found[name] = thinned(ladder(column_ms), column_ms, most)
    return found


def coarse_ladders(full: Widths, most: int = 6) -> dict[str, list[int]]:
    """Evenly spaced widths per group, for costs that are too expensive to find their steps.

    >>> coarse_ladders({"a": 12, "b": 2}, 4)
    {'a': [3, 6, 9, 12], 'b': [1, 2]}
    """
    return {
        name: sorted({max(1, round(width * step / most)) for step in range(1, most + 1)})
        for name, width in full.items()
    }


def lowered(widths: Widths, steps: Ladders) -> dict[str, int]:
    """Each group on its nearest rung at or below its width; on its lowest one where there is none below."""
    return {
        name: max((rung for rung in rungs if rung <= widths[name]), default=rungs[0])
        for name, rungs in steps.items()
    }


def exactly_within(
    cost: ExactTimes, budget_ms: float, propose: Callable[[float], Widths | None], tries: int = 5
) -> dict[str, int] | None:
    """What a method proposes by estimates, so that the number that counts is within a budget and uses it.

    Estimates may be off by a few percent. What they are off by where a proposal lies corrects the budget that
    the next one is made for.

    Parameters
    ----------
    propose
        From a budget by estimates to widths, or None where there are none.
    """
    aim_ms, best, best_ms = budget_ms, None, 0.0
    for _ in range(tries):
        widths = propose(aim_ms)
        if widths is None:
            break
        exact_ms = cost.exact(widths)
        if best_ms < exact_ms <= budget_ms:
            best, best_ms = dict(widths), exact_ms
        corrected_ms = budget_ms * cost(widths) / exact_ms
        if exact_ms > budget_ms:
            corrected_ms = min(corrected_ms, 0.98 * aim_ms)
        elif corrected_ms <= aim_ms * 1.005:
            break
        aim_ms = corrected_ms
    return best


def fitted(
    times: Times, full: Widths, shares: Mapping[str, float], budget_ms: float, halvings: int = 24
) -> dict[str, int] | None:
    """The widest widths in these proportions within a budget; None where even width 1 is over it."""
    low, high = 0.0, 1.0 / min(shares.values(), default=1.0)

    def at(factor: float) -> dict[str, int]:
        return scaled(full, {name: share * factor for name, share in shares.items()})

    if times(at(low)) > budget_ms:
        return None
    if times(at(high)) <= budget_ms:
        return at(high)
    for _ in range(halvings):
        middle = (low + high) / 2
        low, high = (middle, high) if times(at(middle)) <= budget_ms else (low, middle)
    return at(low)


def descended(times: Times, widths: Widths, steps: Ladders) -> dict[str, int]:
    """Widened to a local minimum of predicted time: no group can be wider and the network as fast or faster.

    Each round moves the group that gains most to the width of least time among those from its current one up
    to the full one (of equals the widest), until nothing changes.
    """
    current = dict(widths)
    now = times(current)
    while True:
        best: tuple[float, str, int] | None = None
        for name, rungs in steps.items():
            options = [rung for rung in rungs if rung > current[name]]
            if not options:
                continue
            found = times.moves(current, name, options)
            least = float(found.min())
            if least <= now * (1 + _SAME) and (best is None or least < best[0]):
                best = least, name, options[int(np.flatnonzero(found <= least * (1 + _SAME))[-1])]
        if best is None:
            return current
        now = best[0]
        current[best[1]] = best[2]


def filled(
    times: Times, widths: Widths, steps: Ladders, importance: Importance, budget_ms: float
) -> dict[str, int]:
    """Widened as far as a budget goes, always where a millisecond buys most importance.

    Parameters
    ----------
    importance
        Each group's channels sum to 1; its most important ones are taken first. See `kept_value`.
    """
    kept = {name: kept_values(values) for name, values in importance.items()}
    current = descended(times, widths, steps)
    while True:
        now = times(current)
        best: tuple[float, str, int] | None = None
        for name, rungs in steps.items():
            options = [rung for rung in rungs if rung > current[name]]
            if not options:
                continue
            found = times.moves(current, name, options)
            gain = kept[name][options] - kept[name][current[name]]
            rate = np.where(found <= budget_ms, gain / np.maximum(found - now, now * _SAME), -1.0)
            position = _last_of(rate, float(rate.max()))
            if rate[position] >= 0 and (best is None or rate[position] > best[0]):
                best = float(rate[position]), name, options[position]
        if best is None:
            return current
        current[best[1]] = best[2]


def narrowed(
    times: Times,
    steps: Ladders,
    importance: Importance,
    budget_ms: float,
    start: Widths | None = None,
) -> dict[str, int] | None:
    """From the full widths (or those of `start`) down to a budget, always where a millisecond costs least importance.

    Returns
    -------
    dict or None
        None where the narrowest rungs are over the budget.
    """
    kept = {name: kept_values(values) for name, values in importance.items()}
    current = {name: rungs[-1] for name, rungs in steps.items()} if start is None else dict(start)
    now = times(current)
    while now > budget_ms:
        best: tuple[float, str, int, float] | None = None
        for name, rungs in steps.items():
            options = [rung for rung in rungs if rung < current[name]]
            if not options:
                continue
            found = times.moves(current, name, options)
            # Enough is enough: time saved below the budget is worth nothing.
            saved = now - np.maximum(found, budget_ms)
            lost = kept[name][current[name]] - kept[name][options]
            price = np.where(saved > now * _SAME, lost / np.maximum(saved, now * _SAME), np.inf)
            position = _last_of(price, float(price.min()))
            if np.isfinite(price[position]) and (best is None or price[position] < best[0]):
                best = float(price[position]), name, options[position], float(found[position])
        if best is None:
            return None
        current[best[1]], now = best[2], best[3]
    return current


def exchanged(times: Times, widths: Widths, steps: Ladders, importance: Importance) -> dict[str, int]:
    """As fast or faster and worth more: moved to a local minimum, downwards as well as upwards.

    A group gives up what stands on a step that it hardly uses (the 17th channel of tiles of 16), and what that saves is
    spent where a millisecond buys most importance. What comes of it is taken where it keeps more of the network than
    moves upwards alone (`descended`) do.
    """
    best = descended(times, widths, steps)
    most = times(best) * (1 + _SAME)
    for share in _GIVEN_UP:
        down = narrowed(times, steps, importance, share * most, best)
        if down is None:
            continue
        found = filled(times, down, steps, importance, most)
        if times(found) <= most and kept_value(importance, found) > kept_value(importance, best):
            best = found
    return best


def fastest(times: Times, full: Widths, steps: Ladders) -> dict[str, int]:
    """The widths of least predicted time that can be reached from one channel per group."""
    return descended(times, dict.fromkeys(full, 1), steps)


def kept_value(importance: Importance, widths: Widths) -> float:
    """How much of a network is left: the mean over groups of the logarithm of what each keeps; 0 where all
    is.

    The logarithm, because groups stand in series: what one has lost no other can make up for.

    Parameters
    ----------
    importance
        Each group's channels sum to 1 (`compressor.training.importance.normalised`).
    """
    return float(np.mean([kept_values(values)[widths[name]] for name, values in importance.items()]))


def kept_values(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logarithm of the importance of the w most important channels, for w = 0, 1, … [width + 1]."""
    kept = np.concatenate([[0.0], np.cumsum(np.sort(values)[::-1])])
    return np.log(np.maximum(kept, _LEAST_KEPT))


def _last_of(values: NDArray[np.float64], wanted: float) -> int:
    """The last position of a value: of equals the widest."""
    return int(np.flatnonzero(values == wanted)[-1])
