"""``knapsack``: how many channels of each group, so that most importance fits into the time.

After HALP (Shen et al., NeurIPS 2022); docs/how-compression-works.md says what differs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from compressor.costs import CandidateCost, CandidateWidths, Configuration, scaled, staircase
from compressor.search.base import SearchMethod, SearchProblem
from compressor.search.levels import search_levels
from compressor.training import Importance, check_least, normalised

_BETTER = 1e-12


def choose(
    worths: Sequence[NDArray[np.float64]], times: Sequence[NDArray[np.float64]], most: float, parts: int
) -> list[int] | None:
    """One option of each group, so that the sum of worths is largest and that of times within `most`; None for none.

    Dynamic programming over time in `parts`, to which times are rounded up. Worths and times are one array per group.
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


@dataclass(eq=False)
class Knapsack(SearchMethod):
    """Fills the time with the channels of most importance.

    Parameters
    ----------
    options
        Widths per group that are looked at.
    parts
        Into how many parts time is cut.
    exchanges
        How often, at the end, it is looked up what narrowing one group by any number of steps saves, to
        widen another one with it.
    """

    name: ClassVar[str] = "knapsack"

    options: int = 24
    parts: int = 2000
    exchanges: int = 4000

    def __post_init__(self) -> None:
        check_least("options", self.options)
        check_least("parts", self.parts, 10)
        check_least("exchanges", self.exchanges, 0)

    def search(self, problem: SearchProblem) -> None:
        """See `SearchMethod.search`."""
        cost, full = problem.cost, problem.full
        candidates = (
            staircase.candidate_widths(cost, full, self.options)
            if cost.cheap
            else staircase.even_widths(full)
        )
        least = staircase.fastest(cost, full, candidates if cost.cheap else {})
        filler = Filler(cost, full, candidates, problem.importance, self.parts, self.exchanges)

        def propose(level: float, attempt: int) -> Configuration | None:
            problem.check_time()
            return staircase.fit_exactly(cost, level, filler.within)

        search_levels(problem, propose, cost.exact(least))


class Filler:
    """Finds the widths of most kept importance within a cost, for one network."""

    def __init__(
        self,
        cost: CandidateCost,
        full: Configuration,
        candidates: CandidateWidths,
        importance: Importance,
        parts: int = 2000,
        exchanges: int = 4000,
    ) -> None:
        self._cost, self._full, self._candidates = cost, full, candidates
        self._importance = normalised({name: np.asarray(importance[name]) for name in full.widths})
        self._worth = {name: staircase.kept_values(values) for name, values in self._importance.items()}
        self._parts, self._exchanges = parts, exchanges

    def worth(self, configuration: Configuration) -> float:
        """Sum over groups of the logarithm of what each keeps."""
        return sum(float(self._worth[name][width]) for name, width in configuration.widths.items())

    def within(self, most: float) -> Configuration | None:
        """The best widths by estimates within a cost; None where there are none."""
        if not self._cost.cheap:
            start = self._even(most)
            return None if start is None else self._refill(start, most, turns=2)
        found = [self._refill(start, most) for start in self._starts(most)]
        if not found:
            least = staircase.fastest(self._cost, self._full, self._candidates)
            return least if self._cost(least) <= most else None
        return self._exchange(max(found, key=self.worth), most)

    def _starts(self, most: float) -> list[Configuration]:
        """Widths within the cost to take times around: greedy, even, and what the whole and half-wide networks' times give."""
        found = [
            staircase.shrink_to(self._cost, self._full, self._candidates, self._importance, most),
            self._even(most),
        ]
        reach = len(self._full.widths) + max(self._full.widths.values())
        for share in (1.0, 0.5):
            linear = self._linear(scaled(self._full, share), most, reach)
            found.append(None if linear is None else self._mend(linear, most))
        return list(dict.fromkeys(start for start in found if start is not None))

    def _even(self, most: float) -> Configuration | None:
        """The widest network within the cost of which all groups have the same share."""
        return staircase.scale_to(self._cost, self._full, dict.fromkeys(self._full.widths, 1.0), most)

    def _refill(self, start: Configuration, most: float, turns: int = 40) -> Configuration:
        """Fill the knapsack with times around what it holds, until that changes nothing for the better."""
        current, reach = start, max((len(widths) for widths in self._candidates.values()), default=1)
        aim = most
        for _ in range(turns):
            linear = self._linear(current, aim, reach)
            better = None if linear is None else self._mend(linear, most)
            if better is not None and self.worth(better) > self.worth(current) + _BETTER:
                current = better
            elif not self._cost.cheap and linear is not None:
                aim *= min(0.98, most / self._cost(linear))
            elif reach == 1:
                break
            else:
                reach = max(1, reach // 2)
        return current

    def _linear(self, around: Configuration, most: float, reach: int) -> Configuration | None:
        """The best widths, if times were linear around these; each group at most `reach` steps away."""
        now = self._cost(around)
        options: dict[str, list[int]] = {}
        times = []
        for name, widths in self._candidates.items():
            width = around.widths[name]
            place = int(np.searchsorted(widths, width))
            options[name] = sorted({*widths[max(0, place - reach) : place + reach + 1], width})
            times.append(self._cost.by_width(around, name, options[name]) - now)
        worths = [self._worth[name][near] for name, near in options.items()]
        picked = choose(worths, times, most - now, self._parts)
        if picked is None:
            return None
        return around.with_widths(
            {name: near[option] for (name, near), option in zip(options.items(), picked, strict=True)}
        )

    def _mend(self, proposed: Configuration, most: float) -> Configuration | None:
        """Within the cost, and using what is left of it."""
        if not self._cost.cheap:
            return proposed if self._cost(proposed) <= most else None
        if self._cost(proposed) > most:
            shrunk = staircase.shrink_to(self._cost, proposed, self._candidates, self._importance, most)
            if shrunk is None:
                return None
            proposed = shrunk
        return staircase.fill_budget(self._cost, proposed, self._candidates, self._importance, most)

    def _exchange(self, start: Configuration, most: float) -> Configuration:
        """Widen one group with what narrowing another one saves, as long as that is for the better."""
        left = self._exchanges
        current = start
        steps = 4 if len(self._candidates) < 12 else 1
        while left > 0:
            best: tuple[float, Configuration] | None = None
            for name, widths in self._candidates.items():
                now = current.widths[name]
                for width in [w for w in widths if w > now][:steps]:
                    gain = float(self._worth[name][width] - self._worth[name][now])
                    wider = current.with_widths({name: width})
                    for other in self._candidates:
                        left -= 1
                        found = self._pay(wider, other, gain, most) if other != name else None
                        if found is not None and (best is None or found[0] > best[0]):
                            best = found
            if best is None or best[0] <= _BETTER:
                return current
            current = staircase.fill_budget(self._cost, best[1], self._candidates, self._importance, most)
        return current

    def _pay(
        self, wider: Configuration, other: str, gain: float, most: float
    ) -> tuple[float, Configuration] | None:
        """Narrow another group just so far that the cost is met; what is gained in all, and the configuration."""
        worth, now = self._worth[other], wider.widths[other]
        options = [w for w in self._candidates[other] if w < now and gain > worth[now] - worth[w] + _BETTER]
        if not options:
            return None
        within = np.flatnonzero(self._cost.by_width(wider, other, options) <= most)
        if not len(within):
            return None
        width = options[int(within[-1])]
        return gain - float(worth[now] - worth[width]), wider.with_widths({other: width})
