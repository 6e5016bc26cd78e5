"""Which candidate is trained in full next, and which of those that were trained is handed over.

Under a budget the candidates that did best in the search are trained, and the best score wins. Where a score must be
kept, the cost is bisected along the Pareto front of the search:

1. A network keeps the score if the lower bound of its score does (95% confidence); the original keeps it too.
2. The first to be trained is the cheapest on the front that had the score in the search, else the best one.
3. The next is halfway between the dearest network that failed and the cheapest that keeps the score; before one has
   failed it is a step cheaper, and before one of ours keeps it at most a step dearer.
4. At that cost the nearest candidate on the front is taken, else a network in the proportions of one that was trained.
5. Where nothing lies between, the cheapest that keeps the score is handed over, if it keeps it with all seeds; where none does
   by its lower bound, of those that do by their mean the one of the best bound.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from compressor.search import Candidate, Goal, Trial
from profiler.tradeoff import halfway, pareto_front

STEP = 0.7
"""Cost of a step cheaper, before bisection begins."""

CLOSE = 1.1
"""Costs nearer to each other than this ratio are not told apart."""

_APART = math.sqrt(CLOSE)


@dataclass(frozen=True)
class Finalist:
    """A candidate that was trained in full, and its networks.

    Attributes
    ----------
    trial
        The candidate, with what its best seed reached.
    networks
        One ``.keras`` file per seed, the best on validation first.
    scores
        Validation score of each.
    met
        Whether the goal is reached.
    error
        By how much the mean score less the original's may be too high (`compressor.pipeline.prepare.tolerance.score_margin`).
    sure
        Whether it is reached even if the mean score is by that error too high.
    steps, epochs, seconds
        Of training the first of its networks in full; epochs are how often all rows were seen.
    """

    trial: Trial
    networks: tuple[Path, ...]
    scores: tuple[float, ...]
    met: bool
    error: float = 0.0
    sure: bool = True
    steps: int = 0
    epochs: float = 0.0
    seconds: float = 0.0

    @property
    def mean_score(self) -> float:
        """Validation score, mean over seeds."""
        return sum(self.scores) / len(self.scores)

    @property
    def low_score(self) -> float:
        """The lower bound of its score: the mean less its error."""
        return self.mean_score - self.error


@dataclass(frozen=True)
class Shortlist:
    """Decides by nothing but what the search and full training have shown so far.

    Parameters
    ----------
    trials
        What the search tried, the best by the goal first.
    original
        The network as it is.
    finalists
        How many are trained under a budget.
    in_proportion
        The widest network in a trial's proportions of at most so many times its cost; None where there is none.
    control
        Under a budget: takes part in any case (`compressor.pipeline.final.contest`).
    dropped
        Keys of candidates that cannot be trained.
    """

    goal: Goal
    trials: Sequence[Trial]
    original: Trial
    finalists: int
    in_proportion: Callable[[Trial, float], Trial | None] = lambda trial, ratio: None
    control: Candidate | None = None
    dropped: frozenset[str] = frozenset()

    def contenders(self) -> tuple[list[Trial], Trial | None]:
        """Under a budget: what is trained in full, the best first, and the control unless it is the only one."""
        able = [trial for trial in self.trials if trial.candidate.key not in self.dropped]
        within = [trial for trial in able if self.goal.met_by(trial)] or able
        control = next((trial for trial in within if trial.candidate == self.control), None)
        others = [trial for trial in within[: self.finalists] if trial is not control]
        return (others, control) if others or control is None else ([control], None)

    def next(self, known: Sequence[Finalist]) -> Trial | None:
        """The candidate to train next; None where the choice is made."""
        if self.goal.least_score is None:
            found, control = self.contenders()
            wanted = [*found, *([] if control is None else [control])]
            return next((trial for trial in wanted if not _is_among(trial, known)), None)
        return self._between(known, self.goal.least_score) if known else self._first(self.goal.least_score)

    def choice(self, known: Sequence[Finalist]) -> Finalist:
        """The one to hand over, of one or more that were trained."""
        if self.goal.least_score is not None:
            kept = [one for one in known if one.sure]
            if kept:
                return min(kept, key=lambda one: (self._cost(one), -one.low_score))
            perhaps = [one for one in known if one.met]
            if perhaps:
                return max(perhaps, key=lambda one: (one.low_score, -self._cost(one)))
        return max(
            known, key=lambda one: (one.met, *self.goal.rank(replace(one.trial, score=one.mean_score)))
        )

    def untrained(self, known: Sequence[Finalist]) -> Trial | None:
        """What the search found to reach the goal, where nothing that was trained does; None where there is none."""
        if any(one.met for one in known):
            return None
        left = (trial for trial in self.trials if not _is_among(trial, known))
        return next((trial for trial in left if self.goal.met_by(trial)), None)

    def _front(self, known: Sequence[Finalist] = ()) -> list[Trial]:
        """The Pareto front of what is within all limits on costs and not trained yet, cheapest first."""
        within = [t for t in self.trials if math.isfinite(t.score) and self.goal.excess(t) == 0]
        able = [t for t in within if not _is_among(t, known) and t.candidate.key not in self.dropped]
        return front(able, self.goal.cost)

    def _first(self, least: float) -> Trial | None:
        found = self._front()
        kept = [trial for trial in found if trial.score >= least]
        able = (trial for trial in self.trials if trial.candidate.key not in self.dropped)
        return next(iter([*kept[:1], *found[-1:], *able]), None)

    def _between(self, known: Sequence[Finalist], least: float) -> Trial | None:
        """A candidate between the dearest that failed and the cheapest that keeps the score."""
        keeping = [one for one in known if one.low_score >= least]
        high = min([self.goal.cost(self.original), *map(self._cost, keeping)])
        failed = [one for one in known if self._cost(one) < high]
        if not (keeping or failed) or any(self.goal.excess(one.trial) for one in known):
            return None
        low = max(map(self._cost, failed), default=0.0)
        model = min(keeping, key=self._cost) if keeping else max(failed, key=self._cost)
        below, above = low, high
        aim: float | None = STEP * high
        if failed:
            aim = halfway(low, high, CLOSE)
            aim = aim if keeping or aim is None else min(aim, low / STEP)
        between = [trial for trial in self._front(known) if self._is_between(trial, low, high)]
        while aim is not None:
            found = nearest(between, self.goal.cost, aim)
            if found is not None:
                return found
            made = self.in_proportion(model.trial, aim / self._cost(model))
            if made is not None and (_is_among(made, known) or made.candidate.key in self.dropped):
                made = None  # as the file that suits the goal it costs something else than was predicted
            if made is not None and self.goal.excess(made) > 0:
                above = aim
            elif made is not None and self._is_between(made, low, high):
                return made
            else:
                below = aim  # a step of the staircase: nothing lies between this and what failed
            aim = halfway(below, above, CLOSE)
        return max(between, key=lambda trial: trial.score, default=None)

    def _is_between(self, trial: Trial, low: float, high: float) -> bool:
        """Whether a candidate tells something new: it is neither about as cheap nor about as dear as these."""
        return low * _APART < self.goal.cost(trial) < high / _APART

    def _cost(self, one: Finalist) -> float:
        return self.goal.cost(one.trial)


def front(trials: Sequence[Trial], cost: Callable[[Trial], float]) -> list[Trial]:
    """The trials that no other one beats in score and cost, cheapest first."""
    marks = pareto_front([cost(trial) for trial in trials], [trial.score for trial in trials])
    return sorted((trial for trial, mark in zip(trials, marks, strict=True) if mark), key=cost)


def nearest(trials: Iterable[Trial], cost: Callable[[Trial], float], aim: float) -> Trial | None:
    """The trial whose cost is nearest to the one that is aimed at; None where none is close."""
    ratios = [(max(cost(trial) / aim, aim / cost(trial)), trial) for trial in trials]
    return min((r for r in ratios if r[0] <= CLOSE), key=lambda r: r[0], default=(0.0, None))[1]


def _is_among(trial: Trial, known: Sequence[Finalist]) -> bool:
    return any(trial.candidate == one.trial.candidate for one in known)
