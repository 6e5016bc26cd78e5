"""A suite that every search method must pass: `check_method`. It needs neither TensorFlow nor a device."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from compressor.graph import Group, Widths
from compressor.methods.base import Candidate, Costs, Goal, SearchMethod, SearchProblem, Trial

WIDTHS = {"a": 24, "b": 48, "c": 40}
TILE = 16


class StaircaseTimes:
    """A device whose layers work in tiles: 17 output channels cost as much as 32, each input channel its
    share.

    The three groups of `WIDTHS` stand one behind the other.
    """

    cheap = True

    def __call__(self, widths: Widths) -> float:
        """In ms."""
        total, before = 0.0, 1
        for name in WIDTHS:
            total += 0.001 + 1e-5 * before * TILE * math.ceil(widths[name] / TILE)
            before = widths[name]
        return total

    def exact(self, widths: Widths) -> float:
        """In ms."""
        return self(widths)

    def moves(self, widths: Widths, group: str, options: Sequence[int]) -> NDArray[np.float64]:
        """In ms, where one group takes each of several widths [n]."""
        return np.array([self({**widths, group: option}) for option in options])

    def many(self, candidates: Sequence[Widths]) -> NDArray[np.float64]:
        """In ms, of several at once [n]."""
        return np.array([self(widths) for widths in candidates])


class CoarseTimes(StaircaseTimes):
    """The same device where looking at a candidate is expensive
    (`compressor.lowering.ConvertingLowering`)."""

    cheap = False


def smooth_score(widths: Widths) -> tuple[float, float]:
    """Score and loss of a task on which every group matters, the first one most."""
    loss = sum(
        weight * (1 - widths[name] / full) ** 2
        for (name, full), weight in zip(WIDTHS.items(), (0.5, 0.3, 0.2), strict=True)
    )
    return 1 - loss, loss


class Counting:
    """A judge that remembers what it was asked."""

    def __init__(self, judge: Callable[[Widths], tuple[float, float]] = smooth_score) -> None:
        self._judge = judge
        self.asked: list[tuple[int, ...]] = []

    def __call__(self, candidate: Candidate) -> tuple[float, float]:
        """Judge, and remember."""
        self.asked.append(tuple(candidate.widths.values()))
        return self._judge(candidate.widths)


def make_problem(
    goal: Goal, folder: Path | None = None, known: Sequence[Trial] = (), seed: int = 0
) -> SearchProblem:
    """A search on the synthetic device and task; `SearchProblem.evaluate` is a `Counting`."""
    times = StaircaseTimes()
    groups = {name: Group(name, width, (name,), (name,)) for name, width in WIDTHS.items()}
    importance = {name: np.linspace(2, 1, width) / (1.5 * width) for name, width in WIDTHS.items()}
    return SearchProblem(
        groups=groups,
        importance=importance,
        cost=times,
        budget=goal.budget_ms,
        costs=lambda widths: Costs(times.exact(widths)),
        evaluate=Counting(),
        goal=goal,
        original=Trial(dict(WIDTHS), times(WIDTHS), 1.0, 0.0),
        seed=seed,
        folder=folder,
        known=list(known),
    )


def check_method(make: Callable[[], SearchMethod], folder: Path) -> None:
    """Put a method through everything that is asked of one; an AssertionError says what it does wrong.

    Parameters
    ----------
    make
        Makes the method anew.
    folder
        An empty folder for its records.
    """
    whole = StaircaseTimes()(WIDTHS)
    budget = Goal(budget_ms=0.4 * whole)
    for name, goal in (("budget", budget), ("score", Goal(least_score=0.9))):
        check_search(make, goal, folder / name)
        check_deadline(make, goal)
        check_same_seed(make, goal)
    check_out_of_reach(make)


def check_search(make: Callable[[], SearchMethod], goal: Goal, folder: Path) -> None:
    """It meets the goal, with widths that exist, without asking twice, and goes on from what is known."""
    folder.mkdir(parents=True)
    problem = make_problem(goal, folder)
    best = make().run(problem)
    asked = _asked(problem)
    assert best, "nothing was tried"
    assert goal.met_by(best[0]), f"the goal was not met: {best[0]}"
    assert best[0].predicted_ms < problem.original.predicted_ms, "no faster than the original"
    assert best == sorted(best, key=goal.rank, reverse=True), "not best first"
    assert len(set(asked)) == len(asked), "the same widths were fine-tuned twice"
    for trial in best:
        assert list(trial.widths) == list(WIDTHS), "a group is missing"
        assert all(1 <= trial.widths[name] <= full for name, full in WIDTHS.items()), (
            f"impossible: {trial.widths}"
        )
    again = make_problem(goal, folder, known=best)
    rerun = make().run(again)
    assert goal.rank(rerun[0]) >= goal.rank(best[0]), "a finished search forgot its best"
    assert len(_asked(again)) < max(2, len(asked)), "a finished search was done again"


def check_deadline(make: Callable[[], SearchMethod], goal: Goal) -> None:
    """It keeps what it has when the time is up."""
    problem = make_problem(goal)
    counting = problem.evaluate

    def slow(candidate: Candidate) -> tuple[float, float]:
        problem.deadline = time.monotonic() - 1
        return counting(candidate)

    problem.evaluate = slow
    assert len(make().run(problem)) == 1, "it went on after the deadline, or lost what it had"


def check_same_seed(make: Callable[[], SearchMethod], goal: Goal) -> None:
    """The same seed gives the same search."""
    runs = [make_problem(goal, seed=3) for _ in range(2)]
    for problem in runs:
        make().run(problem)
    assert _asked(runs[0]) == _asked(runs[1]), "two runs with the same seed differ"


def check_out_of_reach(make: Callable[[], SearchMethod]) -> None:
    """Where nothing meets the goal, something near is tried all the same."""
    problem = make_problem(Goal(budget_ms=1e-6))
    best = make().run(problem)
    assert best, "nothing was tried"
    assert best[0].predicted_ms < 0.2 * problem.original.predicted_ms, "far from the nearest there is"
    problem = make_problem(Goal(least_score=2.0))
    assert make().run(problem), "nothing was tried"
    diverging = replace(make_problem(Goal(budget_ms=1.0)), evaluate=lambda candidate: (-math.inf, math.inf))
    assert make().run(diverging), "diverging candidates are no reason to give up"


def _asked(problem: SearchProblem) -> list[tuple[int, ...]]:
    counting = problem.evaluate
    assert isinstance(counting, Counting)
    return counting.asked
