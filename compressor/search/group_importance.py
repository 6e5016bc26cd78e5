"""``importance``: all channels of all groups in one ranking, whatever the device; the least important ones go.

As DepGraph does it (Fang et al., CVPR 2023): channels that hang together are ranked as one, by an importance that is
divided by the mean of its group.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from compressor.costs import Configuration, narrowest
from compressor.graph import build_graph, cut
from compressor.search.base import SearchMethod, SearchProblem
from compressor.search.levels import first_holding, search_levels
from compressor.search.trial import Candidate
from compressor.training import Importance, check_least

Ranking = list[tuple[str, int]]
"""Group and position of channels in the original, the least important first."""


def ranking(importance: Importance) -> Ranking:
    """The channels that may go, in that order: each group's most important one stays.

    >>> ranking({"a": np.array([1.0, 3.0]), "b": np.array([5.0, 4.0, 0.0])})
    [('b', 2), ('a', 0), ('b', 1)]
    """
    rows = []
    for place, (name, values) in enumerate(importance.items()):
        mean = float(np.mean(values))
        scaled = values / mean if mean > 0 else np.ones(len(values))
        # Of equals the later channel goes first, as `compressor.training.importance.strongest` keeps the earlier one.
        order = np.lexsort((-np.arange(len(values)), values))[:-1]
        rows += [(float(scaled[p]), rank, place, name, int(p)) for rank, p in enumerate(order)]
    return [(name, position) for _, _, _, name, position in sorted(rows)]


@dataclass(eq=False)
class GroupImportance(SearchMethod):
    """Removes channels in the order of their importance over the whole network, until the cost is met.

    Parameters
    ----------
    rounds
        1 ranks once. More: the cost falls in so many equal ratios, and after each the importance of what is
        left is measured anew (where the problem has the network: `SearchProblem.context`).
    """

    name: ClassVar[str] = "importance"
    on_edges: ClassVar[bool] = False

    rounds: int = 1

    def __post_init__(self) -> None:
        check_least("rounds", self.rounds)

    def search(self, problem: SearchProblem) -> None:
        """See `SearchMethod.search`."""
        rounds = self.rounds if problem.context is not None else 1
        order = ranking(problem.importance)
        least = problem.cost.exact(narrowest(problem.full))

        def propose(cost: float, attempt: int) -> Candidate | Configuration | None:
            if rounds > 1:
                return _in_rounds(problem, cost, rounds)
            gone = removed(problem, problem.full, order, cost)
            return None if gone is None else remaining(problem.full, order[:gone])

        search_levels(problem, propose, least)


def remaining(configuration: Configuration, gone: Ranking) -> Configuration:
    """A configuration without some channels."""
    left = dict(configuration.widths)
    for name, _ in gone:
        left[name] -= 1
    return configuration.with_widths(left)


def removed(problem: SearchProblem, configuration: Configuration, order: Ranking, cost: float) -> int | None:
    """How many of the least important channels must go for a cost; None where all of them are not enough.

    Where the cost falls in steps or even rises, the first crossing that halving meets counts.
    """
    if problem.cost.exact(remaining(configuration, order)) > cost:
        return None
    count = first_holding(
        -1, len(order), lambda count: problem.cost(remaining(configuration, order[:count])) <= cost
    )
    step = max(1, len(order) // 200)
    while problem.cost.exact(remaining(configuration, order[:count])) > cost:
        count = min(len(order), count + step)
    return count


def _in_rounds(problem: SearchProblem, cost: float, rounds: int) -> Candidate | None:
    """Prune little by little, with the importance of what is left."""
    prepared = problem.context
    keep = {name: list(range(width)) for name, width in problem.full.widths.items()}
    importance: dict[str, Any] = {name: np.asarray(values) for name, values in problem.importance.items()}
    whole = problem.cost.exact(problem.full)
    for turn in range(1, rounds + 1):
        problem.check_time()
        level = cost if turn == rounds else whole * math.exp(turn / rounds * math.log(cost / whole))
        order = ranking(importance)
        gone = removed(problem, problem.full.with_kept(keep), order, level)
        if gone is None:
            return None
        out = set(order[:gone])
        keep = {
            name: [p for i, p in enumerate(positions) if (name, i) not in out]
            for name, positions in keep.items()
        }
        if turn < rounds:
            model = cut(prepared.model, keep, prepared.graph)
            importance = prepared.importance_of(model, build_graph(model), problem.seed)
    return Candidate(problem.full.with_kept(keep), keep)
