"""The global ranking of channels."""

from types import SimpleNamespace

import numpy as np
import pytest

from compressor.costs import Configuration
from compressor.search import Goal
from compressor.search.group_importance import GroupImportance, ranking, remaining
from compressor.testing.keras_task import keras_bench
from compressor.testing.workbench import TILE, WIDTHS, make_problem, synthetic
from profiler.errors import UsageError


def test_ranking_in_a_hand_worked_case():
    # Divided by the means 2 and 3: a has 0.5 and 1.5, b has 5/3, 4/3 and 0; the largest of each stays.
    importance = {"a": np.array([1.0, 3.0]), "b": np.array([5.0, 4.0, 0.0])}
    assert ranking(importance) == [("b", 2), ("a", 0), ("b", 1)]
    assert remaining(Configuration({"a": 2, "b": 3}), [("b", 2), ("a", 0)]).widths == {"a": 1, "b": 2}


def test_ranking_is_the_same_at_any_scale_of_a_group():
    rng = np.random.default_rng(0)
    importance = {"a": rng.random(9), "b": rng.random(5), "c": np.zeros(3)}
    larger = {**importance, "a": importance["a"] * 1e6}
    assert ranking(larger) == ranking(importance)
    assert len(ranking(importance)) == 8 + 4 + 2


def test_the_least_important_channels_go_until_the_budget_is_met():
    bench = synthetic()
    problem = bench.problem(Goal(budget_ms=bench.between(0.5, "flops")), steer="flops")
    (trial,) = GroupImportance().run(problem)
    assert trial.keep is None  # the most important ones, as everywhere
    order = ranking(problem.importance)
    gone = sum(full - trial.widths[name] for name, full in WIDTHS.items())
    assert remaining(problem.full, order[:gone]) == trial.configuration
    # No more than needed: with one channel more it would cost too much.
    assert problem.cost(trial.configuration) <= problem.budget
    assert problem.budget < problem.cost(remaining(problem.full, order[: gone - 1]))


def test_it_does_not_look_at_the_staircase():
    problem = make_problem(Goal(budget_ms=0.02))
    (trial,) = GroupImportance().run(problem)
    assert trial.widths["c"] % TILE


def test_a_group_that_matters_little_loses_most():
    problem = make_problem(Goal(budget_ms=0.02))
    problem.importance = {**problem.importance, "b": np.array([1.0] + [1e-9] * 47)}
    (trial,) = GroupImportance().run(problem)
    assert trial.widths["a"] == 24
    assert trial.widths["b"] < 24


def test_rounds_rank_what_is_left_anew_and_name_channels_of_the_original():
    bench = keras_bench()
    seen = []

    def importance_of(model, graph, seed):
        seen.append(graph.widths)
        # After the first round the first channels that are left matter least.
        return {name: np.arange(1.0, width + 1) for name, width in graph.widths.items()}

    prepared = SimpleNamespace(
        model=bench.context.model, graph=bench.context.graph, importance_of=importance_of
    )
    problem = bench.problem(Goal(budget_ms=bench.between(0.3)))
    problem.context = prepared
    problem.importance = {name: np.arange(width, 0.0, -1) for name, width in bench.full.widths.items()}
    (trial,) = GroupImportance(rounds=2).run(problem)
    assert len(seen) == 1
    kept = trial.keep["third"]
    after_first = seen[0]["third"]
    # The first round took the last channels, the second one the first ones of the rest.
    assert kept == list(range(after_first - len(kept), after_first))
    assert 0 not in kept
    assert problem.cost.exact(trial.configuration) <= problem.budget


def test_rounds_with_the_real_importance():
    bench = keras_bench()
    problem = bench.problem(Goal(budget_ms=bench.between(0.4)))
    (trial,) = GroupImportance(rounds=2).run(problem)
    assert problem.goal.met_by(trial)
    assert {name: len(kept) for name, kept in trial.keep.items()} == trial.widths


def test_options_are_checked():
    with pytest.raises(UsageError, match="rounds must be 1 or more, not 0"):
        GroupImportance(rounds=0)
