"""What judges a search's candidates."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from compressor.data import row_count
from compressor.pipeline.prepare.preparation import Prepared
from compressor.search import Candidate, Goal, SearchOverError, SearchProblem, Trial
from compressor.training import Schedule, TrainingError, let_go


class Evaluator:
    """Judges candidates by a short fine-tuning that ends at `deadline`; `last` is the network that was trained last.

    `epoch_seconds` is what an epoch over all training rows takes, by the last candidate. With `judges_first` the first
    candidate is judged even where the time was used up, so that a search has something to go on with.
    """

    def __init__(self, prepared: Prepared, schedule: Schedule, seed: int, folder: Path | None = None) -> None:
        self._prepared, self._schedule, self._seed, self._folder = prepared, schedule, seed, folder
        self._first = True
        self.last: Any = None
        self.deadline = math.inf
        self.judges_first = True
        self.epoch_seconds = 0.0
        self.on_epoch: Callable[[int, int, float], None] = lambda epoch, epochs, score: None

    def __call__(self, candidate: Candidate) -> tuple[float, float]:
        """Validation score and loss after a short fine-tuning; -inf and inf where it diverged.

        A network that the candidate brings along (`Candidate.model`) is trained on, as it is. Where the time was used up
        before it was done, `SearchOverError` is raised.
        """
        self.last = None
        let_go()
        self.last = candidate.model or self._prepared.network_of(candidate, self._folder)
        try:
            outcome = self._prepared.tuner.fit(
                self.last, self._schedule, self._seed, deadline=self.deadline,
                on_epoch=lambda epoch, score: self.on_epoch(epoch, self._schedule.epochs, score),
            )  # fmt: skip
        except TrainingError:
            return -math.inf, math.inf
        if outcome.epochs:
            rows = row_count(self._prepared.task.data.x)
            seen = min(rows, self._schedule.most_rows or rows)
            self.epoch_seconds = outcome.seconds / outcome.epochs * rows / seen
        if not outcome.complete and not (self._first and self.judges_first):
            raise SearchOverError
        self._first = False
        return outcome.score, outcome.loss


def search_problem(
    prepared: Prepared,
    goal: Goal,
    evaluator: Evaluator,
    seed: int,
    folder: Path | None,
    known: Sequence[Trial] = (),
) -> SearchProblem:
    """What a method searches, judged by `evaluator` until its deadline; epochs are reported to the problem."""
    cost, budget = prepared.cost_of(goal)
    problem = SearchProblem(
        groups=prepared.graph.groups,
        importance=prepared.importance,
        cost=cost,
        budget=budget,
        costs=prepared.costs,
        evaluate=evaluator,
        goal=goal,
        original=prepared.original,
        seed=seed,
        deadline=evaluator.deadline,
        folder=folder,
        known=list(known),
        context=prepared,
    )
    evaluator.on_epoch = lambda epoch, epochs, score: problem.on_epoch(epoch, epochs, score)
    return problem
