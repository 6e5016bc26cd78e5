"""``knapsack``: how many channels of each group, so that most importance fits into the time.

After HALP (Shen et al., NeurIPS 2022, "Structural Pruning via Latency-Saliency Knapsack"): channels come in
the steps in which time does, each step has a worth and a time, and a knapsack is filled with them. There the
time of a layer is looked up by its outputs, with its inputs as they are; here, where a layer's time depends
on the groups at both its ends, times are taken as linear around some widths, the knapsack is filled, and the
same is done again around what came out, in ever smaller surroundings. What is left is mended by exact times.

Worth is the logarithm of the importance that a group keeps (`compressor.costs.staircase.kept_value`), where HALP adds
up importances as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from compressor.costs import (
    CandidateCost,
    Ladders,
    coarse_ladders,
    exactly_within,
    fastest,
    filled,
    fitted,
    kept_values,
    ladders,
    narrowed,
    scaled,
)
from compressor.graph import Widths
from compressor.search.base import SearchMethod, SearchProblem
from compressor.search.levels import search_levels
from compressor.training import Importance, normalised
from profiler.errors import UsageError

_BETTER = 1e-12


def choose(
    worths: Sequence[NDArray[np.float64]], times: Sequence[NDArray[np.float64]], most: float, parts: int
) -> list[int] | None:
    """One option of each group, so that the sum of worths is largest and that of times within a limit.

    Dynamic programming over time in parts. Times are rounded up to parts, so that the limit holds.

    Parameters
    ----------
    worths, times
        Of each group's options, one array per group.
    most
        The sum of times may be so much.
    parts
        What is left of it when every group takes its quickest option is cut into so many.

    Returns
    -------
    list of int or None
        The option of each group; None where even the quickest ones take too long.
    """
    slack = most - sum(float(column.min()) for column in times)
    if slack < 0:
        return None
    best = np.zeros(parts + 1)
    choices = []
    for worth, column in zip(worths, times, strict=True):
        extra = column - column.min()
        costs = np.ceil(extra / slack * parts - 1e-9) if slack > 0 else np.where(extra > 0, parts + 1, 0)
        reached = np.full(parts + 1, -np.inf)
        choice = np.zeros(parts + 1, dtype=np.int64)
        for option in range(len(worth)):
            if costs[option] > parts:
                continue
            start = int(costs[option])
            found = best[: parts + 1 - start] + worth[option]
            better = found >= reached[start:]
            reached[start:][better] = found[better]
            choice[start:][better] = option
        best = reached
        choices.append((choice, costs))
    left, picked = parts, []
    for choice, costs in reversed(choices):
        option = int(choice[left])
        picked.append(option)
        left -= int(costs[option])
    return picked[::-1]


class Knapsack(SearchMethod):
    """Fills the time with the channels of most importance.

    Parameters
    ----------
    rungs
        Widths per group that are looked at.
    parts
        Into how many parts time is cut.
    exchanges
        How often, at the end, it is looked up what narrowing one group by any number of steps saves, to
        widen another one with it.
    """

    name: ClassVar[str] = "knapsack"

    def __init__(self, rungs: int = 24, parts: int = 2000, exchanges: int = 4000) -> None:
        for key, value, least in (("rungs", rungs, 1), ("parts", parts, 10), ("exchanges", exchanges, 0)):
            if value < least:
                raise UsageError(f"{key} must be {least} or more, not {value}.")
        self.rungs = rungs
        self.parts = parts
        self.exchanges = exchanges

    def search(self, problem: SearchProblem) -> None:
        """See `SearchMethod.search`."""
        cost, full = problem.cost, problem.full
        steps = ladders(cost, full, self.rungs) if cost.cheap else coarse_ladders(full)
        least = fastest(cost, full, steps if cost.cheap else {})
        filler = Filler(cost, full, steps, problem.importance, self.parts, self.exchanges)

        def propose(level: float, attempt: int) -> dict[str, int] | None:
            problem.check_time()
            return exactly_within(cost, level, filler.within)

        search_levels(problem, propose, cost.exact(least))


class Filler:
    """Finds the widths of most kept importance within a cost, for one network.

    Parameters
    ----------
    steps
        The widths that are looked at, per group.
    """

    def __init__(
        self,
        cost: CandidateCost,
        full: Widths,
        steps: Ladders,
        importance: Importance,
        parts: int = 2000,
        exchanges: int = 4000,
    ) -> None:
        self._cost, self._full, self._steps = cost, dict(full), steps
        self._importance = normalised({name: np.asarray(importance[name]) for name in full})
        self._worth = {name: kept_values(values) for name, values in self._importance.items()}
        self._parts, self._exchanges = parts, exchanges

    def worth(self, widths: Widths) -> float:
        """Sum over groups of the logarithm of what each keeps."""
        return sum(float(self._worth[name][width]) for name, width in widths.items())

    def within(self, most: float) -> dict[str, int] | None:
        """The best widths by estimates within a cost; None where there are none."""
        if not self._cost.cheap:
            start = fitted(self._cost, self._full, dict.fromkeys(self._full, 1.0), most, 6)
            return None if start is None else self._refilled(start, most, turns=2)
        found = [self._refilled(start, most) for start in self._starts(most)]
        if not found:
            least = fastest(self._cost, self._full, self._steps)
            return least if self._cost(least) <= most else None
        return self._exchanged(max(found, key=self.worth), most)

    def _starts(self, most: float) -> list[dict[str, int]]:
        """Widths to take times around, all within the cost: greedy ones, even ones, and what the times around
        the whole and around the half-wide network give."""
        found = [
            narrowed(self._cost, self._steps, self._importance, most),
            fitted(self._cost, self._full, dict.fromkeys(self._full, 1.0), most),
        ]
        for share in (1.0, 0.5):
            linear = self._linear(scaled(self._full, share), most, len(self._full) + max(self._full.values()))
            found.append(None if linear is None else self._mended(linear, most))
        starts = [start for start in found if start is not None]
        return list({tuple(start.values()): start for start in starts}.values())

    def _refilled(self, start: dict[str, int], most: float, turns: int = 40) -> dict[str, int]:
        """Fill the knapsack with times around what it holds, until that changes nothing for the better."""
        current, reach = start, max((len(rungs) for rungs in self._steps.values()), default=1)
        aim = most
        for _ in range(turns):
            linear = self._linear(current, aim, reach)
            better = None if linear is None else self._mended(linear, most)
            if better is not None and self.worth(better) > self.worth(current) + _BETTER:
                current = better
            elif not self._cost.cheap and linear is not None:
                aim *= min(0.98, most / self._cost(linear))
            elif reach == 1:
                break
            else:
                reach = max(1, reach // 2)
        return current

    def _linear(self, around: Widths, most: float, reach: int) -> dict[str, int] | None:
        """The best widths, if times were linear around these; each group at most `reach` steps away."""
        now = self._cost(around)
        options, times = [], []
        for name, rungs in self._steps.items():
            place = int(np.searchsorted(rungs, around[name]))
            near = sorted({*rungs[max(0, place - reach) : place + reach + 1], around[name]})
            options.append(near)
            times.append(self._cost.moves(around, name, near) - now)
        worths = [self._worth[name][near] for name, near in zip(self._steps, options, strict=True)]
        picked = choose(worths, times, most - now, self._parts)
        if picked is None:
            return None
        return {
            name: options[i][option] for i, (name, option) in enumerate(zip(self._steps, picked, strict=True))
        }

    def _mended(self, widths: dict[str, int], most: float) -> dict[str, int] | None:
        """Within the cost, and using what is left of it."""
        if not self._cost.cheap:
            return widths if self._cost(widths) <= most else None
        if self._cost(widths) > most:
            below = {
                name: sorted({widths[name], *(rung for rung in rungs if rung < widths[name])})
                for name, rungs in self._steps.items()
            }
            within = narrowed(self._cost, below, self._importance, most)
            if within is None:
                return None
            widths = within
        return filled(self._cost, widths, self._steps, self._importance, most)

    def _exchanged(self, widths: dict[str, int], most: float) -> dict[str, int]:
        """Widen one group with what narrowing another one saves, as long as that is for the better."""
        left = self._exchanges
        current = widths
        while left > 0:
            best: tuple[float, dict[str, int]] | None = None
            for wider, rungs in self._steps.items():
                for rung in [r for r in rungs if r > current[wider]][: 4 if len(self._steps) < 12 else 1]:
                    gain = self._worth[wider][rung] - self._worth[wider][current[wider]]
                    raised = {**current, wider: rung}
                    for other in self._steps:
                        left -= 1
                        found = self._paid(raised, other, float(gain), most) if other != wider else None
                        if found is not None and (best is None or found[0] > best[0]):
                            best = found
            if best is None or best[0] <= _BETTER:
                return current
            current = filled(self._cost, best[1], self._steps, self._importance, most)
        return current

    def _paid(
        self, raised: Widths, other: str, gain: float, most: float
    ) -> tuple[float, dict[str, int]] | None:
        """The best width of another group at which widths are within the cost; what is gained in all."""
        worth, now = self._worth[other], raised[other]
        options = [r for r in self._steps[other] if r < now and gain > worth[now] - worth[r] + _BETTER]
        if not options:
            return None
        within = np.flatnonzero(self._cost.moves(raised, other, options) <= most)
        if not len(within):
            return None
        option = options[int(within[-1])]
        return gain - float(worth[now] - worth[option]), {**raised, other: option}
