"""A suite that every search method must pass, those of this package and your own.

A method that only chooses widths is put through it without TensorFlow and without a device, on synthetic
tasks; one that trains the network (`SearchMethod.trains`) on a tiny real Keras task
(`compressor.testing.keras_task`), where the whole suite takes a minute: give it few steps.

>>> from compressor.search import SearchMethod
>>> from compressor.costs import scaled
>>> class Shrinking(SearchMethod):
...     name = "shrinking"
...
...     def search(self, problem):
...         for step in range(1, 32):
...             smaller = scaled(problem.full, 1 - step / 32)
...             if problem.budget is None:
...                 if problem.try_configuration(smaller).score < problem.least_score:
...                     return
...             elif problem.cost.exact(smaller) <= problem.budget or step == 31:
...                 problem.try_configuration(smaller)
...                 return
>>> import tempfile, pathlib
>>> check_method(Shrinking, pathlib.Path(tempfile.mkdtemp()))

In a project of your own this is one test::

    def test_my_method_passes_the_suite(tmp_path):
        check_method(lambda: MyMethod(steps=10), tmp_path)

Where something is wrong, the AssertionError says what, and a note says in which of `CHECKS`. To pass, a
method must: ask about nothing but widths from 1 to the full one of each group; meet goals that can be met,
and try the nearest where none can; steer by `SearchProblem.cost` alone, whatever that is made of; end; keep
what it has when time is up; give the same search for the same seed; and after being killed anywhere go on
from `SearchProblem.known` and its own files without trying anything twice, to an end that is as good.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from compressor.graph import build_graph
from compressor.search import Candidate, Goal, SearchMethod, SearchProblem, Trial
from compressor.testing.workbench import TWELVE, Counting, Judge, Workbench, synthetic

_SCORE_SLACK = 0.02
_COST_SLACK = 1.05
_SHORT_S = 20.0


@dataclass
class Case:
    """A method, made anew by `make`, on a bench, with an empty folder where its searches may write."""

    make: Callable[[], SearchMethod]
    folder: Path
    bench: Workbench
    _finished: dict[str, SearchProblem] = field(default_factory=dict)

    @property
    def trains(self) -> bool:
        """Whether the method trains: then fewer searches must do."""
        return self.make().trains

    @property
    def goals(self) -> dict[str, Goal]:
        """A budget that can be met, and a score that can be kept."""
        return {"budget": Goal(budget_ms=self.bench.between(0.4)), "score": Goal(least_score=0.9)}

    def run(self, problem: SearchProblem) -> list[Trial]:
        """A search by a new method."""
        return self.make().run(problem)

    def finished(self, name: str) -> SearchProblem:
        """A finished search for one of `goals`, made once; its records are in ``folder/name``."""
        if name not in self._finished:
            problem = self.bench.problem(self.goals[name], self.folder / name)
            self.run(problem)
            self._finished[name] = problem
        return self._finished[name]


def check_method(
    make: Callable[[], SearchMethod],
    folder: Path,
    bench: Workbench | None = None,
    leave_out: tuple[str, ...] = (),
) -> None:
    """Put a method through everything that is asked of one.

    Parameters
    ----------
    make
        Makes the method anew; for one that trains, with few steps.
    folder
        A folder for its records, empty or missing.
    bench
        What it is tried on; default: the synthetic one, or the tiny Keras task where the method trains.
    leave_out
        Names of `CHECKS` that are not made.

    Raises
    ------
    AssertionError
        It does something wrong; the message says what, a note in which check.
    """
    if bench is None:
        if make().trains:
            from compressor.testing.keras_task import keras_bench

            bench = keras_bench()
        else:
            bench = synthetic()
    case = Case(make, folder, bench)
    for name, check in CHECKS.items():
        if name in leave_out:
            continue
        try:
            check(case)
        except Exception as error:
            text = f"in the check {name!r} of the suite for search methods"
            if hasattr(error, "add_note"):
                error.add_note(text)
            raise


def check_search(case: Case) -> None:
    """It meets the goal, with widths that exist, without trying anything twice; run again, it knows."""
    for name, goal in case.goals.items():
        problem = case.finished(name)
        best = problem.best()
        assert best, "nothing was tried"
        assert goal.met_by(best[0]), f"the goal was not met: {best[0]}"
        assert best[0].predicted_ms < problem.original.predicted_ms, "no faster than the original"
        asked = _judge(problem).keys
        assert len(set(asked)) == len(asked), "the same candidate was fine-tuned twice"
        for trial in best:
            assert list(trial.widths) == list(problem.full.widths), "a group is missing"
        again = case.bench.problem(goal, case.folder / name, known=best)
        rerun = case.run(again)
        assert rerun, "a finished search forgot everything"
        assert goal.rank(rerun[0]) >= goal.rank(best[0]), "a finished search forgot its best"
        assert len(_judge(again).keys) < max(2, len(asked)), "a finished search was done again"


def check_resume(case: Case) -> None:
    """Killed while a candidate is judged, it goes on where it was."""
    for name, goal in case.goals.items():
        whole = case.finished(name)
        trials = len(_judge(whole).keys)
        middle = trials // 2 + 1
        for kill in sorted(({middle} if case.trains else {1, 2, middle, trials}) & {*range(1, trials + 1)}):
            folder = case.folder / f"{name}_killed_{kill}"
            first = case.bench.problem(goal, folder)
            first.evaluate = _killed(first.evaluate, kill)
            try:
                case.run(first)
            except KeyboardInterrupt:
                pass
            else:
                raise AssertionError("the same search took fewer candidates the second time")
            second = case.bench.problem(goal, folder, known=list(first.trials))
            ranked = case.run(second)
            again = {trial.candidate.key for trial in first.trials} & set(_judge(second).keys)
            assert not again, f"killed at candidate {kill}, it tried again what was finished"
            assert ranked, "after being killed it tried nothing"
            assert _as_good(goal, ranked[0], whole.best()[0]), (
                f"killed at candidate {kill}, it ended with {ranked[0]}, not with {whole.best()[0]}"
            )
            limit = trials + 2 + trials // 2
            assert len(first.trials) + len(_judge(second).keys) <= limit, (
                "after being killed it took far longer"
            )


def check_deadline(case: Case) -> None:
    """It keeps what it has when the time is up, and tries a single candidate where none is left at the start."""
    for goal in _some(case):
        problem = case.bench.problem(goal)
        judge = problem.evaluate

        def slow(
            candidate: Candidate, problem: SearchProblem = problem, judge: Judge = judge
        ) -> tuple[float, float]:
            problem.deadline = time.monotonic() - 1
            return judge(candidate)

        problem.evaluate = slow
        assert len(case.run(problem)) == 1, "it went on after the deadline, or lost what it had"
        late = case.bench.problem(goal)
        late.deadline = time.monotonic() - 1
        assert len(case.run(late)) == 1, "without any time it tried none, or more than one"
        assert time.monotonic() < late.deadline + 1 + _SHORT_S, "it went on after the deadline"


def check_same_seed(case: Case) -> None:
    """The same seed gives the same search."""
    for goal in _some(case):
        runs = [case.bench.problem(goal, seed=3) for _ in range(2)]
        for problem in runs:
            case.run(problem)
        assert _judge(runs[0]).asked == _judge(runs[1]).asked, "two runs with the same seed differ"


def check_out_of_reach(case: Case) -> None:
    """Where nothing meets the goal, something near is tried all the same."""
    bench = case.bench
    problem = bench.problem(Goal(budget_ms=1e-6 * bench.times.exact(bench.full)))
    best = case.run(problem)
    assert best, "nothing was tried"
    assert best[0].predicted_ms < bench.between(0.2), "far from the nearest there is"
    problem = bench.problem(Goal(least_score=2.0))
    assert case.run(problem), "nothing was tried"


def check_diverging(case: Case) -> None:
    """Candidates on which training diverges are no reason to give up, and none to go on for ever."""
    for goal in _some(case):
        problem = case.bench.problem(goal, judge=lambda candidate: (-math.inf, math.inf))
        assert case.run(problem), "diverging candidates are no reason to give up"


def check_limits(case: Case) -> None:
    """Limits on time, size, memory and energy are met, together too, whichever is the narrow one."""
    bench = case.bench
    wanted = [Goal(budget_ms=bench.between(0.7), most_bytes=bench.between(0.35, "size"))]
    if not case.trains:
        wanted += [
            Goal(budget_ms=bench.between(0.4), most_bytes=bench.between(0.9, "size")),
            Goal(most_memory_bytes=bench.between(0.5, "memory")),
            Goal(least_score=0.9, most_bytes=bench.between(0.75, "size")),
            Goal(least_score=0.9, minimize="size"),
        ]
        if "energy" in bench.others:
            wanted.append(
                Goal(least_score=0.9, most_energy_mj=bench.between(0.75, "energy"), minimize="energy")
            )
    for goal in wanted:
        best = case.run(bench.problem(goal))[0]
        assert goal.met_by(best), f"{goal} was not met: {best}"


def check_steering(case: Case) -> None:
    """It looks at the cost that it is given and at no other one: here one without steps."""
    bench = case.bench
    goals = [Goal(budget_ms=bench.between(0.4, "flops"))]
    if not case.trains:
        goals.append(Goal(least_score=0.9))
    for goal in goals:
        problem = bench.problem(goal, steer="flops")
        best = case.run(problem)[0]
        assert goal.met_by(best), f"{goal} was not met: {best}"
        share = problem.cost.exact(best.configuration) / problem.cost.exact(problem.full)
        assert share < 0.9, "the cost that steers hardly fell"


def check_sizes(case: Case) -> None:
    """One group or twelve, some of them one channel wide."""
    if case.trains:
        return
    for full in ({"only": 40}, {"narrow": 1, "wide": 33}, TWELVE):
        bench = synthetic(full)
        for goal in (Goal(budget_ms=bench.between(0.5)), Goal(least_score=0.9)):
            problem = bench.problem(goal)
            best = case.run(problem)
            assert best, f"nothing was tried with {len(full)} groups"
            assert goal.met_by(best[0]), f"{goal} was not met with {len(full)} groups: {best[0]}"


def check_training(case: Case) -> None:
    """A search with real fine-tuning: the networks of its candidates are there to go on with."""
    if case.bench.real is None:
        return
    folder = case.folder / "real"
    goal = case.goals["budget"]
    problem = case.bench.problem(goal, folder, judge=case.bench.real(folder))
    best = case.run(problem)[0]
    assert goal.met_by(best), f"the goal was not met: {best}"
    network = case.bench.context.network_of(best.candidate, folder)
    found = build_graph(network).widths
    assert found == best.widths, f"the best candidate's network has widths {found}"


CHECKS: Mapping[str, Callable[[Case], None]] = {
    "search": check_search,
    "resume": check_resume,
    "deadline": check_deadline,
    "same seed": check_same_seed,
    "out of reach": check_out_of_reach,
    "diverging": check_diverging,
    "limits": check_limits,
    "steering": check_steering,
    "sizes": check_sizes,
    "training": check_training,
}
"""By name, in the order in which they are made."""


def _some(case: Case) -> list[Goal]:
    """Both goals; for a method that trains only the first."""
    goals = list(case.goals.values())
    return goals[:1] if case.trains else goals


def _killed(judge: Judge, at: int) -> Judge:
    """The judge, interrupted from the keyboard when it is asked for the n-th time."""
    asked = 0

    def judging(candidate: Candidate) -> tuple[float, float]:
        nonlocal asked
        asked += 1
        if asked == at:
            raise KeyboardInterrupt
        return judge(candidate)

    return judging


def _as_good(goal: Goal, trial: Trial, reference: Trial) -> bool:
    """Whether a search ended about as well as another one."""
    if goal.rank(trial) >= goal.rank(reference):
        return True
    if goal.met_by(reference):
        if not goal.met_by(trial):
            return False
        if goal.objective == "score":
            return trial.score >= reference.score - _SCORE_SLACK
        return trial.costs.time_ms <= reference.costs.time_ms * _COST_SLACK
    return goal.excess(trial) <= goal.excess(reference) + _SCORE_SLACK


def _judge(problem: SearchProblem) -> Counting:
    assert isinstance(problem.evaluate, Counting)
    return problem.evaluate
