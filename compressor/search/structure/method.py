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
from compressor.search.levels import first_level, search_levels
from compressor.search.structure.blocks import loss_of, structures_of, without_all
from compressor.search.structure.filling import Filled
from compressor.search.trial import Trial
from compressor.training import check_least
from profiler.errors import UsageError

_CLOSE = 1e-9
_COMPARING = 0.5
"""Of the time for searching, for comparing structures where the least cost is to be found, too."""
_UNBEATEN = 0.5
"""Of the time for searching, all that is spent where nothing does better than the control: training it longer is worth more."""
_SPARE = 0.8
"""A structure that takes less than this share of a cost with all its channels has lost more than it must."""


@dataclass(eq=False)
class StructureSearch(SearchMethod):
    """Trains structures shortly against one another, each filled up to the cost; then candidates near the best of them.

    The first one is the network with all its blocks and is the control; the others lack blocks or have other changes
    (`compressor.search.structure.blocks.structures_of`). Each is filled by one multiplier for all groups, snapped to the
    staircase. A structure that takes less than the cost with all its channels comes behind the others: it has lost more than
    it must. Where the control does better than all others the search ends halfway, so that it is trained the longer. The tries
    that are left go to the structure that did best, filled by importance, and to candidates near it: a
    block more or less, a group wider or narrower; of these the one goes first that loses least before any training. Under a
    limit on the score structures are compared at one cost, and the least cost is then found by halving.

    Parameters
    ----------
    structures
        How many there are at most, the network with all its blocks among them.
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
    compares: ClassVar[int] = 4

    structures: int = 12
    first: int = 7
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
        self._chain = structures_of(problem, method.structures, method.most_blocks)
        self._fills: dict[frozenset[str], Filled | None] = {}
        self._liked: list[frozenset[str]] = []
        self._rng = np.random.default_rng(problem.seed)

    def go(self) -> None:
        if self._problem.budget is None:
            self._halve()
            return
        budget = self._problem.budget
        if self._compare(budget):
            self._improve(budget)
        elif self._left() > 0:
            found = self._within(budget)
            self._try(
                found or min((fill.fastest for fill in self._able_ones()), key=self._problem.cost.exact)
            )

    def _halve(self) -> None:
        """Find the least cost that keeps the score: by structures that did best at one cost in between."""
        problem = self._problem
        least = min(map(self._least, self._able_ones()))
        level = first_level(problem, least)
        if level is not None:
            self._compare(level, self._started + _COMPARING * (problem.deadline - self._started))
        search_levels(problem, self._proposed, least, self._method.tries)
        met = [trial for trial in problem.trials if problem.goal.met_by(trial)]
        whole = self._fill(problem.full)
        control = whole.evenly(min(map(self._cost_of, met))) if whole is not None and met else None
        if control is not None and control != problem.full and (self._left() > 0 or control in self._tried):
            self._try(control)

    def _within(self, budget: float) -> Configuration | None:
        """Whatever structure comes to so little, however late it is: without it there is no network to hand over."""
        bare = without_all(self._problem.full, self._problem.blocks)
        fills = (self._fill(full, in_any_case=True) for full in [*self._chain, bare])
        found = (fill.evenly(budget) for fill in fills if fill is not None)
        return next((one for one in found if one is not None), None)

    def _compare(self, most: float, until: float = math.inf) -> bool:
        """Train structures at one cost until some time, the control first; False where none of them comes to so little."""
        problem, spare = self._problem, list[Configuration]()
        least_left = self._method.trials // 2 if problem.budget is None else 0
        ranks: dict[frozenset[str], tuple[float, ...]] = {}

        def is_over() -> bool:
            late = bool(ranks) and (time.monotonic() >= until or self._left() <= least_left)
            return late or self._left() <= 0 or len(ranks) > self._method.first or self._is_settled()

        def train(one: Configuration) -> None:
            trial = self._try(one)
            ranks[one.removed] = problem.goal.rank(trial) if problem.budget else (trial.score, -trial.loss)
            self._liked = sorted(ranks, key=ranks.__getitem__, reverse=True)
            if not one.removed and problem.budget is not None:
                problem.control = trial.candidate

        able = False
        for full in self._chain:
            if is_over():
                break
            fill = self._fill(full)
            one = None if fill is None else fill.evenly(most)
            able |= one is not None
            if one is not None and self._is_spare(one, most):
                spare.append(one)
            elif one is not None:
                train(one)
        for one in spare:
            if not is_over():
                train(one)
        return able

    def _is_spare(self, one: Configuration, most: float) -> bool:
        """Whether a structure takes much less with all its channels."""
        whole = one.widths == self._problem.full.widths
        return bool(one.removed) and whole and self._problem.cost.exact(one) < _SPARE * most

    def _improve(self, budget: float) -> None:
        """Try what loses least before training of what is near the best one, and of what else there is of its structure."""
        problem = self._problem
        while self._left() > 0 and not self._is_settled():
            best = problem.best()[0].configuration.with_precision("")
            tried = self._tried | {trial.configuration.with_precision("") for trial in problem.trials}
            fill = self._fill(problem.full.without(best.removed))
            able = [*(fill.all(budget) if fill else ()), *self._near(best, budget)]
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
            fill = self._fill(problem.full.without(removed))
            yield from fill.all(budget)[:2] if fill else ()
        fill = self._fill(problem.full.without(best.removed))
        made = fill.near(best, budget, self._rng) if fill else ()
        for _, found in zip(range(count - count // 4), made, strict=False):
            problem.check_time()
            yield found

    def _proposed(self, level: float, attempt: int) -> Configuration | None:
        """Under a limit on the score: what the structures that did best can be at a cost, then the other ways to fill the first.

        None once the candidates are used up but for the control's.
        """
        if self._left() <= bool(self._tried):
            return None
        liked = [self._problem.full.without(removed) for removed in self._liked] or self._chain
        fills = [fill for full in liked if (fill := self._fill(full)) is not None]
        evenly = [one for fill in fills if (one := fill.evenly(level)) is not None]
        if not evenly:  # cheaper than what was liked: whatever comes to so little
            evenly = [one for fill in self._able_ones() if (one := fill.evenly(level)) is not None]
        first = self._fill(self._problem.full.without(evenly[0].removed)) if evenly else None
        ways = first.all(level)[1:] if first else []
        order = list(dict.fromkeys([*evenly[:1], *ways[:1], *evenly[1:], *ways[1:]]))
        scores = {trial.configuration.with_precision(""): trial.score for trial in self._problem.trials}
        # A structure with all its channels is the same at every cost above its own.
        left = [one for one in order if scores.get(one, math.inf) >= self._problem.least_score]
        if not left:
            return None
        self._tried.add(left[0])
        return left[0]

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
                problem.progress(0.0, f"ranking candidates, {done} of {len(new)}")
                self._losses[one] = loss_of(problem, one)
                row["candidates"] = done + 1

    def _loss(self, configuration: Configuration) -> float:
        """Before any training; infinite where there was no time to find it out."""
        return self._losses.get(configuration, math.inf)

    def _is_settled(self) -> bool:
        """Whether half of the time is gone, and the control does best of all that was tried."""
        problem, now = self._problem, time.monotonic()
        is_half = now >= self._started + _UNBEATEN * (problem.deadline - self._started)
        return is_half and len(self._tried) > 1 and problem.best()[0].candidate == problem.control

    def _left(self) -> int:
        """How many candidates may still be trained."""
        return self._method.trials - self._before - len(self._tried)

    def _try(self, configuration: Configuration) -> Trial:
        self._tried.add(configuration)
        return self._problem.try_configuration(configuration)

    def _able_ones(self) -> Iterator[Filled]:
        """Structures of which there is a network."""
        return (fill for full in self._chain if (fill := self._fill(full)) is not None)

    def _fill(self, full: Configuration, in_any_case: bool = False) -> Filled | None:
        """One structure; None where there is no such network, or no time to see whether there is."""
        problem = self._problem
        if full.removed not in self._fills:
            problem.check_time()
            if full.removed and not in_any_case and problem.is_late(self._started):
                return None  # what time is left is for training the first candidate
            try:
                self._fills[full.removed] = Filled(problem, full, self._method.grid, self._method.options)
            except UsageError:
                self._fills[full.removed] = None
        return self._fills[full.removed]

    def _cost_of(self, trial: Trial) -> float:
        return self._problem.cost.exact(trial.configuration)

    def _least(self, fill: Filled) -> float:
        return self._problem.cost.exact(fill.fastest) * (1 + _CLOSE)
