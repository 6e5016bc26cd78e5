"""Moving the widths of several groups at once along the staircase of their cost.

Predicted time jumps where a tile of channels is full and may even fall (a wider layer can be faster). The move to the
least predicted time among wider widths is FastDeepIoT's (Yao et al., SenSys 2018).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from compressor.costs.configuration import Configuration
from compressor.costs.network_cost import CandidateCost
from compressor.training import Importance
from timemodel.staircases import fastest_width, thin_out, undominated_widths

CandidateWidths = Mapping[str, Sequence[int]]
"""Per group the widths that are worth having, ascending; the full width is the last."""

_SAME = 1e-9
_LEAST_KEPT = 1e-6
_HALVINGS, _FEW_HALVINGS = 24, 6
_SHRUNK_SHARES = (0.95, 0.85, 0.7)
"""Shares of its time that a network is shrunk to before it is widened again."""


def scaled(full: Configuration, shares: Mapping[str, float] | float) -> Configuration:
    """Widths at these shares of the full ones, each at least 1 and at most full."""
    found = {}
    for name, width in full.widths.items():
        share = shares if isinstance(shares, float) else shares[name]
        found[name] = min(width, max(1, round(width * share)))
    return full.with_widths(found)


def narrowest(full: Configuration) -> Configuration:
    """One channel per group."""
    return full.with_widths(dict.fromkeys(full.widths, 1))


def candidate_widths(cost: CandidateCost, full: Configuration, most: int = 24) -> dict[str, list[int]]:
    """Each group's widths that are worth having, where the others have their full widths."""
    found = {}
    for name, width in full.widths.items():
        column_ms = cost.by_width(full, name, range(1, width + 1))
        found[name] = thin_out(undominated_widths(column_ms), column_ms, most)
    return found


def even_widths(full: Configuration, most: int = 6) -> dict[str, list[int]]:
    """Evenly spaced widths per group, for costs that are too expensive to find their steps.

    >>> even_widths(Configuration({"a": 12, "b": 2}), 4)
    {'a': [3, 6, 9, 12], 'b': [1, 2]}
    """
    return {
        name: sorted({max(1, round(width * step / most)) for step in range(1, most + 1)})
        for name, width in full.widths.items()
    }


def round_down(configuration: Configuration, candidates: CandidateWidths) -> Configuration:
    """Each group on its widest candidate up to its width; on its narrowest one where all are wider."""
    return configuration.with_widths(
        {
            name: max((w for w in widths if w <= configuration.widths[name]), default=widths[0])
            for name, widths in candidates.items()
        }
    )


def fit_exactly(
    cost: CandidateCost,
    budget_ms: float,
    propose: Callable[[float], Configuration | None],
    tries: int = 5,
) -> Configuration | None:
    """What a method proposes by estimates, so that the number that counts is within a budget and uses it.

    What estimates are off by where a proposal lies corrects the budget that the next one is made for.
    """
    aim_ms, best, best_ms = budget_ms, None, 0.0
    for _ in range(tries):
        proposed = propose(aim_ms)
        if proposed is None:
            break
        exact_ms = cost.exact(proposed)
        if best_ms < exact_ms <= budget_ms:
            best, best_ms = proposed, exact_ms
        corrected_ms = budget_ms * cost(proposed) / exact_ms
        if exact_ms > budget_ms:
            corrected_ms = min(corrected_ms, 0.98 * aim_ms)
        elif corrected_ms <= aim_ms * 1.005:
            break
        aim_ms = corrected_ms
    return best


def scale_to(
    cost: CandidateCost,
    full: Configuration,
    shares: Mapping[str, float],
    budget_ms: float,
) -> Configuration | None:
    """The widest widths in these proportions within a budget; None where even width 1 is over it."""
    low, high = 0.0, 1.0 / min(shares.values(), default=1.0)

    def at(factor: float) -> Configuration:
        return scaled(full, {name: share * factor for name, share in shares.items()})

    if cost(at(low)) > budget_ms:
        return None
    if cost(at(high)) <= budget_ms:
        return at(high)
    for _ in range(_HALVINGS if cost.cheap else _FEW_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if cost(at(middle)) <= budget_ms else (low, middle)
    return at(low)


def widen_free(
    cost: CandidateCost, configuration: Configuration, candidates: CandidateWidths
) -> Configuration:
    """Widen to a local minimum of predicted time: no group can be wider and the network as fast or faster."""
    current = configuration
    now = cost(current)
    while True:
        best: tuple[float, str, int] | None = None
        for name, wider, times in _moves(cost, current, candidates, wider=True):
            least = float(times.min())
            if least <= now * (1 + _SAME) and (best is None or least < best[0]):
                best = least, name, fastest_width(wider, times)
        if best is None:
            return current
        now = best[0]
        current = current.with_widths({best[1]: best[2]})


def fill_budget(
    cost: CandidateCost,
    configuration: Configuration,
    candidates: CandidateWidths,
    importance: Importance,
    budget_ms: float,
) -> Configuration:
    """Widen as far as a budget goes, always where a millisecond buys most importance (see `kept_value`)."""
    kept = {name: kept_values(values) for name, values in importance.items()}
    current = widen_free(cost, configuration, candidates)
    while True:
        now = cost(current)
        best: tuple[float, str, int] | None = None
        for name, wider, times in _moves(cost, current, candidates, wider=True):
            gain = kept[name][wider] - kept[name][current.widths[name]]
            rate = np.where(times <= budget_ms, gain / np.maximum(times - now, now * _SAME), -1.0)
            position = _last_of(rate, float(rate.max()))
            if rate[position] >= 0 and (best is None or rate[position] > best[0]):
                best = float(rate[position]), name, wider[position]
        if best is None:
            return current
        current = current.with_widths({best[1]: best[2]})


def shrink_to(
    cost: CandidateCost,
    configuration: Configuration,
    candidates: CandidateWidths,
    importance: Importance,
    budget_ms: float,
) -> Configuration | None:
    """Narrow down to a budget, always where a millisecond costs least importance; None where that is not enough."""
    kept = {name: kept_values(values) for name, values in importance.items()}
    current = configuration
    now = cost(current)
    while now > budget_ms:
        best: tuple[float, str, int, float] | None = None
        for name, narrower, times in _moves(cost, current, candidates, wider=False):
            # Enough is enough: time saved below the budget is worth nothing.
            saved = now - np.maximum(times, budget_ms)
            lost = kept[name][current.widths[name]] - kept[name][narrower]
            price = np.where(saved > now * _SAME, lost / np.maximum(saved, now * _SAME), np.inf)
            position = _last_of(price, float(price.min()))
            if np.isfinite(price[position]) and (best is None or price[position] < best[0]):
                best = float(price[position]), name, narrower[position], float(times[position])
        if best is None:
            return None
        current, now = current.with_widths({best[1]: best[2]}), best[3]
    return current


def exchange_widths(
    cost: CandidateCost, configuration: Configuration, candidates: CandidateWidths, importance: Importance
) -> Configuration:
    """As fast or faster and worth more: move to a local minimum, downwards as well as upwards.

    A group gives up what stands on a step that it hardly uses (the 17th channel of tiles of 16), and what that saves is
    spent where a millisecond buys most importance.
    """
    best = widen_free(cost, configuration, candidates)
    most = cost(best) * (1 + _SAME)
    for share in _SHRUNK_SHARES:
        small = shrink_to(cost, best, candidates, importance, share * most)
        if small is None:
            continue
        found = fill_budget(cost, small, candidates, importance, most)
        if cost(found) <= most and kept_value(importance, found) > kept_value(importance, best):
            best = found
    return best


def fastest(cost: CandidateCost, full: Configuration, candidates: CandidateWidths) -> Configuration:
    """The widths of least predicted time that can be reached from one channel per group."""
    return widen_free(cost, narrowest(full), candidates)


def kept_value(importance: Importance, configuration: Configuration) -> float:
    """How much of a network is left: the mean over groups of the logarithm of what each keeps; 0 where all is.

    Groups stand in series: what one has lost no other can make up for. Each group's importance sums to 1.
    """
    widths = configuration.widths
    return float(np.mean([kept_values(values)[widths[name]] for name, values in importance.items()]))


def kept_values(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logarithm of the importance of the w most important channels, for w = 0, 1, … [width + 1]."""
    kept = np.concatenate([[0.0], np.cumsum(np.sort(values)[::-1])])
    return np.log(np.maximum(kept, _LEAST_KEPT))


def _moves(
    cost: CandidateCost, current: Configuration, candidates: CandidateWidths, wider: bool
) -> Iterator[tuple[str, list[int], NDArray[np.float64]]]:
    """Per group its candidates that are wider (or narrower) than now, and the cost with each of them."""
    for name, widths in candidates.items():
        now = current.widths[name]
        options = [width for width in widths if (width > now if wider else width < now)]
        if options:
            yield name, options, cost.by_width(current, name, options)


def _last_of(values: NDArray[np.float64], wanted: float) -> int:
    """The last position of a value: of equals the widest."""
    return int(np.flatnonzero(values == wanted)[-1])
