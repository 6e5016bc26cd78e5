"""The method: structures, ranked and shortly trained; then candidates near the best of them."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from compressor.changes import names_in_effect
from compressor.costs import Configuration
from compressor.search.base import SearchMethod, SearchProblem
from compressor.search.levels import search_levels
from compressor.search.structure.blocks import loss_of, structures_of
from compressor.search.structure.filling import Filled
from compressor.search.trial import Trial
from compressor.training import check_least
from profiler.errors import UsageError

_CLOSE = 1e-9


@dataclass(eq=False)
class StructureSearch(SearchMethod):
    """Removes more and more blocks, those first that cost least loss for the time that they take, and fills each structure.

    A structure is filled up to the cost by one multiplier for all groups, snapped to the staircase, and by importance. What
    is made so is ranked by its loss before any training; the best of each structure are trained shortly. The network with all
    its blocks, filled evenly, is trained first of all and is the control. The tries that are left go to candidates near the
    best one: a block more or less, a group wider or narrower. Under a limit on the score the least cost is found by halving.

    Parameters
    ----------
    structures
        How many are looked at, the network with all its blocks among them.
    first
        How many of them are trained shortly beside the control.
    trials
        Candidates that are trained shortly in all, the control among them.
    tries
        Under a limit on the score: candidates that may fail before a cost is given up.
    near
        How many candidates near the best one are ranked before the next is trained.
    grid, options
        As of `SnappedWidths`.
    most_blocks
        Blocks whose removal is looked at on its own: those first that are no part of another, then those that take longest.
    """

    name: ClassVar[str] = "structure"
    share_of_time: ClassVar[float] = 0.3
    removes_blocks: ClassVar[bool] = True

    structures: int = 8
    first: int = 4
    trials: int = 16
    tries: int = 2
    near: int = 16
    grid: int = 64
    options: int = 24
    most_blocks: int = 24

    def __post_init__(self) -> None:
        check_least("grid", self.grid, 2)
        for name in ("structures", "trials", "tries", "near", "options", "most_blocks"):
            check_least(name, getattr(self, name))
        check_least("first", self.first, 0)

    def search(self, problem: SearchProblem) -> None:
        """See `SearchMethod.search`."""
        _Search(self, problem).go()


class _Search:
    """One search by the method."""

    def __init__(self, method: StructureSearch, problem: SearchProblem) -> None:
        self._method, self._problem = method, problem
        self._started = time.monotonic()
        self._losses: dict[Configuration, float] = {}
        self._tried: set[Configuration] = set()
        self._before = len(problem.trials)
        chain = structures_of(problem, method.structures, method.most_blocks)
        self._fills: dict[frozenset[str], Filled] = {}
        self._chain = [fill for full in chain if (fill := self._able(full)) is not None]
        self._rng = np.random.default_rng(problem.seed)

    def go(self) -> None:
        problem = self._problem
        if problem.budget is None:
            search_levels(problem, self._proposed, min(map(self._least, self._chain)), self._method.tries)
            met = [trial for trial in problem.trials if problem.goal.met_by(trial)]
            if met:
                cost = min(problem.cost.exact(trial.configuration) for trial in met)
                self._try(self._chain[0].evenly(cost))
            return
        budget = problem.budget
        first = [fill.all(budget) for fill in self._chain]
        if not any(first):
            self._try(min((fill.fastest for fill in self._chain), key=problem.cost.exact))
            return
        self._rank(one for row in first for one in row)
        if first[0] and self._left() > 0:
            self._tried.add(first[0][0])
            problem.control = problem.try_configuration(first[0][0]).candidate
        best = [min(row, key=self._loss) for row in first if row]
        for one in sorted(best, key=self._loss)[: self._method.first]:
            self._try(one)
        others = [one for row in first for one in row if one not in best]
        self._improve(budget, others)

    def _improve(self, budget: float, others: list[Configuration]) -> None:
        """Try what was ranked first of what is near the best one, and of what else there is of its structure."""
        problem = self._problem
        while self._left() > 0:
            best = problem.best()[0].configuration
            tried = self._tried | {trial.configuration.with_precision("") for trial in problem.trials}
            able = [one for one in others if one.removed == best.removed]
            able += list(self._near(best.with_precision(""), budget))
            able = [one for one in dict.fromkeys(able) if one not in tried]
            if not able:
                return
            self._rank(able)
            self._try(min(able, key=self._loss))

    def _near(self, best: Configuration, budget: float) -> Iterator[Configuration]:
        """What is near a configuration, at most so many as the method ranks."""
        problem, count = self._problem, self._method.near
        if not problem.cost.cheap:
            return
        names = self._rng.permutation(list(problem.blocks)).tolist() if problem.blocks else []
        for name in names[: count // 4]:
            removed = frozenset(names_in_effect(problem.blocks, best.removed ^ {name}))
            fill = self._able(problem.full.without(removed))
            yield from fill.all(budget)[:2] if fill else ()
        made = self._fill(problem.full.without(best.removed)).near(best, budget, self._rng)
        for _, found in zip(range(count - count // 4), made, strict=False):
            problem.check_time()
            yield found

    def _proposed(self, level: float, attempt: int) -> Configuration | None:
        """Under a limit on the score: what the structure that did best so far can be at a cost, then the others in their rank.

        None once the candidates are used up but for the control's.
        """
        if self._left() <= bool(self._tried):
            return None
        loss = self._loss
        evenly = [(fill, one) for fill in self._chain if (one := fill.evenly(level)) is not None]
        if not evenly:
            return None
        self._rank(one for _, one in evenly)
        liked = self._best_removed()
        evenly.sort(key=lambda pair: (pair[1].removed != liked, loss(pair[1])))
        ways = evenly[0][0].all(level)
        self._rank(ways)
        order = list(dict.fromkeys([min(ways, key=loss), *(one for _, one in evenly[1:]), *ways]))
        if attempt >= len(order):
            return None
        self._tried.add(order[attempt])
        return order[attempt]

    def _best_removed(self) -> frozenset[str] | None:
        problem = self._problem
        kept: list[Trial] = [t for t in problem.trials if t.score >= problem.least_score] or problem.trials
        cheapest = min(kept, key=lambda t: problem.cost.exact(t.configuration), default=None)
        return None if cheapest is None else cheapest.configuration.removed

    def _rank(self, configurations: Iterable[Configuration]) -> None:
        """Find out what each loses before any training."""
        problem = self._problem
        new = [one for one in dict.fromkeys(configurations) if one not in self._losses]
        if not new:
            return
        with problem.effort.during("ranking", structures=len({one.removed for one in new})) as row:
            row["candidates"] = 0
            for done, one in enumerate(new):
                problem.check_time()
                if problem.is_late(self._started):
                    break  # what time is left is for training the first candidate
                problem.progress(0.0, f"ranking candidates, {done} of {len(new)}")
                self._losses[one] = loss_of(problem, one)
                row["candidates"] = done + 1

    def _loss(self, configuration: Configuration) -> float:
        """Before any training; infinite where there was no time to find it out."""
        return self._losses.get(configuration, math.inf)

    def _left(self) -> int:
        """How many candidates may still be trained."""
        return self._method.trials - self._before - len(self._tried)

    def _try(self, configuration: Configuration | None) -> None:
        if configuration is None or not (self._left() > 0 or configuration in self._tried):
            return
        self._tried.add(configuration)
        if configuration != self._problem.full:
            self._problem.try_configuration(configuration)

    def _able(self, full: Configuration) -> Filled | None:
        """One structure; None where there is no such network, or no time to see whether there is."""
        try:
            if full.removed and full.removed not in self._fills:
                if self._problem.is_late(self._started):
                    return None
                self._problem.quick_loss(full)
            return self._fill(full)
        except UsageError:
            return None

    def _fill(self, full: Configuration) -> Filled:
        if full.removed not in self._fills:
            self._problem.check_time()
            self._fills[full.removed] = Filled(self._problem, full, self._method.grid, self._method.options)
        return self._fills[full.removed]

    def _least(self, fill: Filled) -> float:
        return self._problem.cost.exact(fill.fastest) * (1 + _CLOSE)
