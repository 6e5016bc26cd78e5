"""NetAdapt's way down, with a tuner that only looks at widths."""

from types import SimpleNamespace

import numpy as np
import pytest

from compressor.costs import CandidateCost, Configuration
from compressor.graph import build_graph
from compressor.search import Goal
from compressor.search.netadapt import NetAdapt
from compressor.testing.keras_task import keras_bench
from compressor.training import Outcome, TrainingError
from profiler.errors import UsageError


class Tuner:
    """A network scores what is left of its groups, weighted."""

    def __init__(self, **weights):
        self.weights = weights
        self.trained = []

    def fit(self, model, schedule, seed):
        widths = build_graph(model).widths
        self.trained.append(widths)
        score = sum(self.weights[name] * width for name, width in widths.items())
        return Outcome(score, -score, 1, 0.0)


def problem_with(tuner, goal, folder=None, known=(), steer="time"):
    bench = keras_bench()
    problem = bench.problem(goal, folder, known, steer=steer)
    problem.context = SimpleNamespace(
        model=bench.context.model,
        tuner=tuner,
        importance_of=lambda model, graph, seed: {
            name: np.arange(1.0, width + 1) for name, width in graph.widths.items()
        },
    )
    return problem


def budget(share, cost="flops"):
    return Goal(budget_ms=keras_bench().between(share, cost))


def test_the_best_scoring_group_goes_by_the_widest_width_that_saves_enough():
    tuner = Tuner(first=1.0, second=0.0, third=1.0)
    problem = problem_with(tuner, budget(0.85), steer="flops")
    method = NetAdapt(share=0.05, decay=1.0)
    (trial,) = method.run(problem)
    full = problem.full.widths
    assert (trial.widths["first"], trial.widths["third"]) == (full["first"], full["third"])
    first_step = next(w for w in tuner.trained if w["second"] < full["second"])
    whole = problem.cost.exact(problem.full)

    def cost(widths):
        return problem.cost.exact(Configuration(widths))

    assert cost(first_step) <= 0.95 * whole + 1e-12
    assert cost({**first_step, "second": first_step["second"] + 1}) > 0.95 * whole
    # The channels that matter least are the first ones here; names are those of the original.
    gone = full["second"] - trial.widths["second"]
    assert trial.keep["second"] == list(range(gone, full["second"]))
    assert trial.keep["first"] == list(range(full["first"]))


def test_each_step_lowers_the_cost_by_a_decaying_share(tmp_path):
    problem = problem_with(Tuner(first=1, second=1, third=1), budget(0.3), tmp_path, steer="flops")
    method = NetAdapt(share=0.2, decay=0.5, candidates=3)
    method.run(problem)
    whole = problem.cost.exact(problem.full)
    steps = [problem.cost.exact(Configuration(w)) for w in problem.context.tuner.trained]
    assert whole - steps[0] >= 0.2 * whole
    assert len(list((tmp_path / "netadapt").iterdir())) > 2


def test_only_so_many_candidates_are_trained_in_a_step():
    tuner = Tuner(first=1.0, second=1.0, third=1.0)
    problem = problem_with(tuner, budget(0.93), steer="flops")
    NetAdapt(share=0.05, decay=1.0, candidates=1).run(problem)
    assert len(tuner.trained) <= 2


def test_an_interrupted_way_down_goes_on_from_its_last_network(tmp_path):
    class Killed(Tuner):
        def fit(self, model, schedule, seed):
            if len(self.trained) == 5:
                raise KeyboardInterrupt
            return super().fit(model, schedule, seed)

    weights = {"first": 1.0, "second": 2.0, "third": 3.0}
    method = NetAdapt(share=0.1, candidates=2)
    whole = problem_with(Tuner(**weights), budget(0.3), tmp_path / "whole")
    expected = method.run(whole)
    first = problem_with(Killed(**weights), budget(0.3), tmp_path / "killed")
    with pytest.raises(KeyboardInterrupt):
        method.run(first)
    assert first.trials == []
    second = problem_with(Tuner(**weights), budget(0.3), tmp_path / "killed")
    assert method.run(second) == expected
    done = len(first.context.tuner.trained) // 2 * 2
    assert len(second.context.tuner.trained) == len(whole.context.tuner.trained) - done


def test_records_of_other_parameters_are_not_gone_on_with(tmp_path):
    tuner = Tuner(first=1, second=1, third=1)
    NetAdapt(share=0.3).run(problem_with(tuner, budget(0.4), tmp_path))
    before = len(tuner.trained)
    NetAdapt(share=0.25).run(problem_with(tuner, budget(0.4), tmp_path))
    assert len(tuner.trained) > before


def test_training_that_diverges_is_not_chosen():
    class Diverging(Tuner):
        def fit(self, model, schedule, seed):
            outcome = super().fit(model, schedule, seed)
            if self.trained[-1]["first"] < 12:
                raise TrainingError("diverged")
            return outcome

    problem = problem_with(Diverging(first=0, second=1, third=1), budget(0.7), steer="flops")
    (trial,) = NetAdapt(candidates=3).run(problem)
    assert trial.widths["first"] == 12


def test_a_score_to_keep_is_looked_for_between_what_keeps_it_and_what_does_not(tmp_path):
    problem = problem_with(Tuner(first=1, second=1, third=1), Goal(least_score=0.9), tmp_path)
    trials = NetAdapt(share=0.05, decay=1.0, close=1.3).run(problem)
    met = [t for t in trials if t.score >= 0.9]
    missed = [t for t in trials if t.score < 0.9]
    assert met
    assert missed
    assert trials[0] == min(met, key=lambda trial: trial.predicted_ms)
    assert all((tmp_path / trial.network).exists() for trial in trials)


def test_expensive_costs_are_looked_at_rarely():
    bench = keras_bench()

    class Expensive(CandidateCost):
        cheap = False

        def __init__(self):
            self.looks = set()

        def exact(self, configuration):
            self.looks.add(configuration)
            return bench.times(configuration)

    tuner = Tuner(first=1, second=1, third=1)
    problem = problem_with(tuner, budget(0.5, "time"))
    problem.cost = Expensive()
    (trial,) = NetAdapt(share=0.1).run(problem)
    assert problem.goal.met_by(trial)
    assert len(problem.cost.looks) <= 10 * (1 + len(tuner.trained))


class Clock:
    """Time passes only in training: a second for each network."""

    def __init__(self, monkeypatch):
        self.now = 100.0
        for module in ("base", "netadapt"):
            monkeypatch.setattr(
                f"compressor.search.{module}.time", SimpleNamespace(monotonic=lambda: self.now)
            )

    def tuner(self):
        clock = self

        class Slow(Tuner):
            def fit(self, model, schedule, seed):
                clock.now += 1
                return super().fit(model, schedule, seed)

        return Slow(first=1, second=1, third=1)


@pytest.mark.parametrize("share", [0.3, None])
@pytest.mark.parametrize("seconds", [2.5, 10.5])
def test_before_time_is_up_one_network_is_tried_all_the_same(monkeypatch, share, seconds):
    clock = Clock(monkeypatch)
    problem = problem_with(clock.tuner(), Goal(least_score=0.9) if share is None else budget(share))
    problem.deadline = clock.now + seconds
    (trial,) = NetAdapt(share=0.01, candidates=4).run(problem)
    whole = problem.cost.exact(problem.full)
    if problem.budget is None:
        assert 0.7 * whole < trial.predicted_ms <= whole / 1.12
    else:
        assert problem.goal.met_by(trial)
        # The widest: a sixteenth more of each group is over the budget.
        wider = {name: width + max(1, width // 16) for name, width in trial.widths.items()}
        assert problem.cost.exact(Configuration(wider)) > problem.budget
    assert len(problem.context.tuner.trained) == seconds + 0.5


def test_the_network_that_is_tried_in_a_hurry_is_narrow_where_the_way_has_come(monkeypatch):
    clock = Clock(monkeypatch)
    tuner = clock.tuner()
    tuner.weights = {"first": 1.0, "second": 0.0, "third": 1.0}
    problem = problem_with(tuner, budget(0.3, "flops"), steer="flops")
    problem.deadline = clock.now + 9.5
    (trial,) = NetAdapt(share=0.15, decay=1.0, candidates=3).run(problem)
    shares = {name: width / problem.full.widths[name] for name, width in trial.widths.items()}
    assert shares["second"] < 0.8 * shares["first"]


def test_where_there_is_time_nothing_is_tried_in_a_hurry(monkeypatch):
    expected = NetAdapt().run(problem_with(Tuner(first=1, second=1, third=1), budget(0.5)))
    clock = Clock(monkeypatch)
    problem = problem_with(clock.tuner(), budget(0.5))
    problem.deadline = clock.now + 1000.0
    assert NetAdapt().run(problem) == expected


def test_what_an_earlier_run_tried_is_there_where_no_time_is_left(monkeypatch, tmp_path):
    clock = Clock(monkeypatch)
    problem = problem_with(clock.tuner(), budget(0.3), tmp_path)
    problem.deadline = clock.now + 2.5
    tried = NetAdapt(share=0.01).run(problem)
    again = problem_with(clock.tuner(), budget(0.3), tmp_path, known=tried)
    again.deadline = clock.now - 1.0
    assert NetAdapt(share=0.01).run(again) == tried
    none = problem_with(clock.tuner(), budget(0.3))
    none.deadline = clock.now - 1.0
    none.needs_one = False
    assert NetAdapt().run(none) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"share": 0.0}, "share must be above 0 and at most 1"),
        ({"decay": 1.5}, "decay must be above 0 and at most 1"),
        ({"candidates": 0}, "candidates must be 1 or more"),
        ({"close": 1.0}, "close must be above 1"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(UsageError, match=message):
        NetAdapt(**options)
