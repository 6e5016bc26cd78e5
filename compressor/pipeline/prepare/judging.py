"""What judges the candidates of a search: a short fine-tuning, and the file that becomes of it."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from compressor.costs import Configuration
from compressor.data import row_count
from compressor.pipeline.prepare.effort import effort_of
from compressor.pipeline.prepare.preparation import Prepared
from compressor.pipeline.prepare.quick import QuickLoss
from compressor.pipeline.prepare.workspace import read_json
from compressor.search import Candidate, Effort, Goal, SearchOverError, SearchProblem, Trial, rows_of_helpers
from compressor.training import Outcome, Schedule, TrainingError, let_go
from profiler.errors import UsageError
from profiler.files import write_json

_SHORTENED = "shortened.json"
"""In the folder of a search: the schedule of candidates where time was too short for all of it."""


class Evaluator:
    """Judges candidates by a short fine-tuning, each of the whole schedule; `last` is the network that was trained last.

    What it spends goes to `effort`; by default that of the search in `folder`, which one process writes to.

    A candidate is not begun that, by the time of the last one, would not be finished before `deadline`: trained, and judged as
    files of each precision where these are chosen. What is cut by it all the same does not count. With `judges_first` the first
    one is begun whatever the time: where its schedule would take more than its share of what is left, of so many that the method
    `compares`, it is fitted to that, and all others are trained as long as it was: those of other processes, and of a run that
    goes on, too (`follow`).

    `epoch_seconds` is what an epoch over all training rows takes, by the last candidate, of an earlier run too. `share` is what
    candidates get of their schedule; `on_shortened` is called with it where that is not all.
    """

    def __init__(
        self,
        prepared: Prepared,
        schedule: Schedule,
        seed: int,
        folder: Path | None = None,
        effort: Effort | None = None,
    ) -> None:
        self._prepared, self._schedule, self._seed, self._folder = prepared, schedule, seed, folder
        self._first = True
        self.last: Any = None
        self.effort = effort or Effort(None if folder is None else folder / "effort.jsonl")
        self.deadline = math.inf
        self.judges_first = True
        self.compares = 2
        self.epoch_seconds = self._seconds_before()
        self._needed_s = 0.0
        self.share = 1.0
        self.on_shortened: Callable[[float], None] = lambda share: None
        self.on_epoch: Callable[[int, int, float], None] = lambda epoch, epochs, score: None
        self.goal: Goal | None = None
        self._chosen: dict[Configuration, str] = {}

    def settled(self, configuration: Configuration) -> Configuration:
        """The same with the precision in which its network, judged before, suits the goal best."""
        return configuration.with_precision(self._chosen.get(configuration, ""))

    def __call__(self, candidate: Candidate) -> tuple[float, float]:
        """Validation score and loss after a short fine-tuning; -inf and inf where it diverged.

        A network that the candidate brings along (`Candidate.model`) is trained on, as it is. Where there is no time to
        train it to its end, `SearchOverError` is raised.
        """
        always = self._first and self.judges_first
        if always and self._folder is not None:
            (self._folder / _SHORTENED).unlink(missing_ok=True)
        self.follow()
        deadline = math.inf if always else self.deadline
        if time.monotonic() + self._needed_s > deadline:
            raise SearchOverError
        self.last = None
        started = time.monotonic()
        let_go()
        self.last = candidate.model or self._prepared.network_of(candidate, self._folder)
        beside_s = time.monotonic() - started
        outcome, seen = None, 0

        def on_epoch(epoch: int, score: float) -> None:
            nonlocal seen
            seen = epoch
            self.on_epoch(epoch, self._schedule.epochs, score)

        seconds = (self.deadline - time.monotonic()) / self.compares if always else math.inf
        try:
            outcome = self._prepared.tuner.fit(
                self.last,
                self._schedule,
                self._seed,
                deadline=deadline,
                on_epoch=on_epoch,
                seconds=seconds,
            )
        except TrainingError:
            return -math.inf, math.inf
        finally:
            # What diverged or was stopped early was trained all the same, for so many epochs.
            self._log(
                candidate, outcome.steps if outcome else seen * self._schedule.steps(self._rows), started
            )
        if outcome.epochs:
            self.epoch_seconds = outcome.epoch_s or outcome.seconds / outcome.epochs * self._part()
            self._needed_s = outcome.seconds / outcome.epochs * self._schedule.epochs + beside_s
        if not outcome.complete:
            raise SearchOverError
        if outcome.share < 1:
            self._shorten(outcome)
            self._needed_s = outcome.seconds + beside_s
        self._first = False
        if self.goal is None or self._prepared.precisions is None:
            return outcome.score, outcome.loss
        configuration = candidate.configuration
        trained = time.monotonic()
        trial = Trial(configuration, self._prepared.costs(configuration), outcome.score, outcome.loss)
        best = max(self._prepared.in_precisions(trial, self.last).values(), key=self.goal.rank)
        self._chosen[configuration] = best.configuration.precision
        self._needed_s += time.monotonic() - trained
        return best.score, best.loss

    def follow(self) -> None:
        """Train for as many steps as the process that judged the first candidate left to each."""
        found = None if self.judges_first or self._folder is None else read_json(self._folder / _SHORTENED)
        if found is not None:
            with contextlib.suppress(
                KeyError, TypeError, ValueError, UsageError
            ):  # a damaged file says nothing
                share, epochs, rows = (found[name] for name in ("share", "epochs", "most_rows"))
                self._schedule = replace(self._schedule, epochs=int(epochs), most_rows=int(rows))
                self.share = float(share)

    def searched_of(self, final: Schedule) -> float:
        """What candidates get, in parts of another schedule."""
        rows = self._rows
        return self._schedule.epochs * self._schedule.steps(rows) / (final.epochs * final.steps(rows))

    def spent(
        self, finished: Mapping[str, Mapping[str, Any]], minutes: float | None, trials: Sequence[Trial]
    ) -> dict[str, Any]:
        """Where the time of a compression went (`effort_of`)."""
        helpers = [] if self._folder is None else rows_of_helpers(self._folder)
        return effort_of(
            [*self.effort.rows, *helpers],
            finished,
            60 * minutes if minutes else None,
            len({trial.configuration.removed for trial in trials}),
        )

    def _log(self, candidate: Candidate, steps: int, started: float) -> None:
        seconds = time.monotonic() - started
        self.effort.add("fine-tuning", seconds, candidate=candidate.key, steps=steps)

    def _shorten(self, outcome: Outcome) -> None:
        """From now on train for as many steps as time left to the first one."""
        rows = outcome.steps // outcome.epochs * self._schedule.batch_size
        shortened = {"epochs": outcome.epochs, "most_rows": max(self._schedule.batch_size, rows)}
        self._schedule = replace(self._schedule, **shortened)
        if self._folder is not None:
            write_json(self._folder / _SHORTENED, {**shortened, "share": outcome.share})
        self.share = outcome.share
        self.on_shortened(outcome.share)

    def _seconds_before(self) -> float:
        """What an epoch over all rows took, by the last candidate of an earlier run; 0 where there is none."""
        trained = [row for row in self.effort.rows if row["phase"] == "fine-tuning" and row.get("steps")]
        if not trained:
            return 0.0
        return (
            float(trained[-1]["seconds"])
            / trained[-1]["steps"]
            * replace(self._schedule, most_rows=None).steps(self._rows)
        )

    @property
    def _rows(self) -> int:
        return row_count(self._prepared.task.data.x)

    def _part(self) -> float:
        """How many times as many rows an epoch over all of them has."""
        return self._rows / min(self._rows, self._schedule.most_rows or self._rows)


def search_problem(
    prepared: Prepared,
    goal: Goal,
    evaluator: Evaluator,
    seed: int,
    folder: Path | None,
    known: Sequence[Trial] = (),
) -> SearchProblem:
    """What a method searches, judged by `evaluator` until its deadline; epochs are reported to the problem."""
    evaluator.follow()
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
        needs_one=evaluator.judges_first,
        folder=folder,
        known=list(known),
        blocks=prepared.structures.blocks,
        quick_loss=QuickLoss(prepared),
        effort=evaluator.effort,
        context=prepared,
    )
    evaluator.on_epoch = lambda epoch, epochs, score: problem.on_epoch(epoch, epochs, score)
    if prepared.precisions is not None:
        evaluator.goal, problem.settled = goal, evaluator.settled
    return problem
