import json
import math

import pytest

from compressor.costs import Configuration, Costs, NetworkCost, steering_cost
from compressor.search import METHODS, Goal, Trial, get_method, register_method, registry
from compressor.search.optuna import OptunaSearch
from compressor.search.uniform import UniformWidth
from compressor.testing.methods import check_method
from compressor.testing.workbench import TILE, WIDTHS, CoarseTimes, StaircaseTimes, make_problem
from profiler.errors import UsageError

FEW = {"optuna": {"trials": 6, "proxy_trials": 10}}
"""Options of methods that would take long."""


@pytest.mark.parametrize("name", sorted(name for name in METHODS if not get_method(name).trains))
def test_every_method_passes_the_suite(name, tmp_path):
    check_method(lambda: get_method(name, **FEW.get(name, {})), tmp_path)


def test_unknown_methods_and_options_are_named():
    with pytest.raises(
        UsageError, match=r"no method 'magic': choose one of .*optuna, structure, uniform, uniform-snapped"
    ):
        get_method("magic")
    with pytest.raises(UsageError, match="trials must be 1 or more, not 0"):
        OptunaSearch(trials=0)
    with pytest.raises(UsageError, match="grid"):
        UniformWidth(grid=1)


@pytest.fixture
def registered(monkeypatch):
    """No methods but those of edgetime, and no installed package that brings one."""
    found = {}
    monkeypatch.setattr(registry, "_registered", found)
    monkeypatch.setattr(registry, "_load_plugins", lambda: None)
    return found


class Mine(UniformWidth):
    name = "mine"


@pytest.mark.usefixtures("registered")
def test_a_registered_method_is_found_by_its_name():
    register_method("mine", Mine)
    register_method("mine", Mine)  # once more is no harm
    assert isinstance(get_method("mine", grid=8), Mine)
    with pytest.raises(UsageError, match=r"no method 'yours': choose one of .*knapsack, mine, netadapt"):
        get_method("yours")


@pytest.mark.usefixtures("registered")
def test_a_taken_name_and_what_makes_no_method_are_refused():
    register_method("mine", Mine)
    with pytest.raises(UsageError, match="'uniform' is taken by another search method"):
        register_method("uniform", Mine)
    with pytest.raises(UsageError, match="'mine' is taken by another search method"):
        register_method("mine", UniformWidth)
    with pytest.raises(UsageError, match="7 makes no search method"):
        register_method("odd", 7)
    register_method("dict", dict)
    with pytest.raises(UsageError, match=r"'dict' makes {}, which is no compressor.search.SearchMethod"):
        get_method("dict")


def test_a_goal_needs_something_to_hold_it():
    with pytest.raises(UsageError, match="Give a budget"):
        Goal()
    with pytest.raises(UsageError, match="make size as small as possible, give an accuracy"):
        Goal(budget_ms=1.0, minimize="size")
    with pytest.raises(UsageError, match="no cost 'beauty': choose one of time, size"):
        Goal(budget_ms=1.0, minimize="beauty")


def test_limits_are_combined():
    goal = Goal(budget_ms=1.0, most_bytes=1000, least_score=0.9, minimize="size")
    fits = Trial(Configuration({"a": 1}), Costs(0.9, 900), 0.91, 0.5)
    smaller = Trial(Configuration({"a": 2}), Costs(1.0, 800), 0.95, 0.5)
    slow = Trial(Configuration({"a": 3}), Costs(1.1, 500), 0.99, 0.5)
    big = Trial(Configuration({"a": 4}), Costs(0.5, 1500), 0.99, 0.5)
    poor = Trial(Configuration({"a": 5}), Costs(0.5, 100), 0.89, 0.5)
    assert sorted([big, poor, slow, fits, smaller], key=goal.rank, reverse=True) == [
        smaller,
        fits,
        poor,
        slow,
        big,
    ]
    assert [goal.excess(t) for t in (fits, slow, big)] == [0.0, pytest.approx(0.1), pytest.approx(0.5)]


def test_one_budget_stands_for_several_limits():
    times = StaircaseTimes()
    parameters = NetworkCost(lambda configuration: configuration.widths, lambda widths: sum(widths.values()))
    cost, budget = steering_cost("score", {"size": parameters, "time": times}, {"size": 56, "time": 0.03})
    assert budget == 0.03
    full = Configuration(WIDTHS)
    half = full.with_widths({name: width // 2 for name, width in WIDTHS.items()})
    assert parameters(half) == 56
    assert cost(half) == cost.exact(half) == pytest.approx(max(times(half), 0.03))
    moved = [cost(half.with_widths({"a": width})) for width in (12, 24)]
    assert cost.by_width(half, "a", [12, 24]) == pytest.approx(moved)
    small, none = steering_cost("time", {"size": parameters, "time": times}, {"size": 56})
    assert none is None
    assert small(half) == times(half)
    assert small.many([full])[0] == pytest.approx(times(full) * 2**3)


def test_ranking_under_a_budget():
    goal = Goal(budget_ms=1.0)
    good = Trial(Configuration({"a": 1}), Costs(0.9), 0.8, 0.5)
    better = Trial(Configuration({"a": 2}), Costs(1.0), 0.8, 0.4)
    over = Trial(Configuration({"a": 3}), Costs(1.1), 0.99, 0.1)
    far = Trial(Configuration({"a": 4}), Costs(2.0), 0.99, 0.1)
    diverged = Trial(Configuration({"a": 5}), Costs(0.5), -math.inf, math.inf)
    ranked = sorted([far, good, over, better], key=goal.rank, reverse=True)
    assert ranked == [better, good, over, far]
    assert not goal.met_by(diverged)


def test_ranking_under_a_limit_on_the_score():
    goal = Goal(least_score=0.9)
    fast = Trial(Configuration({"a": 1}), Costs(0.5), 0.9, 0.5)
    slow = Trial(Configuration({"a": 2}), Costs(1.0), 0.99, 0.1)
    bad = Trial(Configuration({"a": 3}), Costs(0.1), 0.89, 0.5)
    worse = Trial(Configuration({"a": 4}), Costs(0.1), 0.5, 0.5)
    assert sorted([worse, slow, bad, fast], key=goal.rank, reverse=True) == [fast, slow, bad, worse]


def test_trials_survive_json_where_training_diverged():
    learned = Trial(
        Configuration({"a": 3}), Costs(0.5, 900, 80, 0.1, 0.4), 0.25, 1.5, {"a": [0, 2, 5]}, "n.keras"
    )
    diverged = Trial(Configuration({"a": 3}), Costs(0.5), -math.inf, math.inf)
    for trial in (learned, diverged):
        assert Trial.from_dict(json.loads(json.dumps(trial.to_dict()))) == trial


def test_uniform_takes_the_widest_multiplier_within_the_budget():
    problem = make_problem(Goal(budget_ms=0.03))
    (trial,) = UniformWidth().run(problem)
    shares = [trial.widths[name] / full for name, full in WIDTHS.items()]
    assert max(shares) - min(shares) < 0.05
    times = problem.cost
    wider = {
        name: width + max(1, full // 32)
        for (name, full), width in zip(WIDTHS.items(), trial.widths.values(), strict=True)
    }
    assert times(trial.configuration) <= 0.03 < times(Configuration(wider))


def test_optuna_beats_one_multiplier_on_a_staircase():
    for goal in (Goal(budget_ms=0.4 * StaircaseTimes()(Configuration(WIDTHS))), Goal(least_score=0.93)):
        uniform = UniformWidth().run(make_problem(goal))[0]
        searched = OptunaSearch().run(make_problem(goal))[0]
        assert goal.rank(searched) > goal.rank(uniform)


def test_optuna_stands_on_the_edges_of_steps():
    problem = make_problem(Goal(budget_ms=0.4 * StaircaseTimes()(Configuration(WIDTHS))))
    best = OptunaSearch().run(problem)[0]
    # The last group feeds nothing, so that all channels of a tile but the last are free.
    assert best.widths["c"] % TILE == 0 or best.widths["c"] == WIDTHS["c"]


def test_optuna_manages_where_times_are_expensive():
    problem = make_problem(Goal(budget_ms=0.03))
    problem.cost = CoarseTimes()
    assert problem.goal.met_by(OptunaSearch(trials=4).run(problem)[0])


def test_an_interrupted_search_goes_on(tmp_path):
    goal = Goal(budget_ms=0.03)
    first = make_problem(goal, tmp_path)
    evaluate, finished = first.evaluate, []

    def interrupted(widths):
        if len(finished) == 3:
            raise KeyboardInterrupt
        finished.append(1)
        return evaluate(widths)

    first.evaluate = interrupted
    with pytest.raises(KeyboardInterrupt):
        OptunaSearch(trials=8).run(first)
    second = make_problem(goal, tmp_path, known=first.trials)
    trials = OptunaSearch(trials=8).run(second)
    assert len(first.trials) == 3
    assert len(trials) == 8
    assert len(second.evaluate.asked) == 5
