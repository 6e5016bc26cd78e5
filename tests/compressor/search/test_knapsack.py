"""The knapsack: choosing by dynamic programming, and what it makes of costs that do not add up."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compressor.costs import Configuration
from compressor.costs.staircase import candidate_widths, kept_value, shrink_to
from compressor.search import Goal
from compressor.search.knapsack import Filler, Knapsack, choose
from compressor.testing.workbench import TWELVE, CoarseTimes, StaircaseTimes, make_problem, synthetic
from compressor.training import normalised
from profiler.errors import UsageError


def test_choosing_in_a_hand_worked_case():
    worths = [np.array([0.0, 3.0, 5.0]), np.array([0.0, 4.0])]
    times = [np.array([1.0, 2.0, 4.0]), np.array([1.0, 3.0])]
    assert choose(worths, times, 2.0, 100) == [0, 0]
    assert choose(worths, times, 4.0, 100) == [0, 1]  # 4 in a time of 4; [1, 0] has 3 in 3
    assert choose(worths, times, 5.0, 300) == [1, 1]  # 7 in a time of 5; [2, 0] has 5 in 5
    assert choose(worths, times, 6.9, 1000) == [1, 1]
    assert choose(worths, times, 7.0, 100) == [2, 1]
    assert choose(worths, times, 1.9, 100) is None


def test_of_equal_options_the_last_is_chosen():
    assert choose([np.zeros(3)], [np.array([1.0, 1.0, 2.0])], 1.0, 10) == [1]


def test_a_wider_option_may_be_quicker():
    assert choose([np.array([1.0, 2.0])], [np.array([3.0, -1.0])], 0.0, 10) == [1]


@settings(max_examples=60, deadline=None)
@given(
    groups=st.lists(
        st.lists(st.tuples(st.integers(0, 20), st.integers(-5, 20)), min_size=1, max_size=4),
        min_size=1,
        max_size=4,
    ),
    most=st.integers(-10, 60),
)
def test_choosing_is_best_and_within_the_limit(groups, most):
    worths = [np.array([w for w, _ in group], dtype=float) for group in groups]
    times = [np.array([t for _, t in group], dtype=float) for group in groups]
    slack = most - sum(column.min() for column in times)
    # Parts of one unit of time: nothing is lost to rounding.
    picked = choose(worths, times, most, max(1, int(slack)))
    sums = [
        sum(worths[i][o] for i, o in enumerate(options))
        for options in itertools.product(*(range(len(group)) for group in groups))
        if sum(times[i][o] for i, o in enumerate(options)) <= most
    ]
    if picked is None:
        assert not sums
        return
    assert sum(times[i][o] for i, o in enumerate(picked)) <= most
    assert sum(worths[i][o] for i, o in enumerate(picked)) == max(sums)


def problem_of(full, seed):
    rng = np.random.default_rng(seed)
    importance = normalised({name: rng.gamma(0.5, size=width) for name, width in full.items()})
    times = StaircaseTimes(full)
    return times, candidate_widths(times, Configuration(full), 6), importance


@pytest.mark.parametrize("seed", range(8))
def test_it_is_near_the_best_there_is(seed):
    full = Configuration({"a": 24, "b": 48, "c": 40})
    times, candidates, importance = problem_of(full.widths, seed)
    for share in (0.3, 0.5, 0.8):
        most = share * times(full)
        found = Filler(times, full, candidates, importance).within(most)
        assert times(found) <= most
        best = max(
            kept_value(importance, one)
            for combination in itertools.product(*candidates.values())
            if times(one := Configuration(dict(zip(full.widths, combination, strict=True)))) <= most
        )
        assert kept_value(importance, found) >= best - 1e-9


def test_it_keeps_more_than_greedy_narrowing():
    gains, full = [], Configuration(TWELVE)
    for seed in range(3):
        times, candidates, importance = problem_of(TWELVE, seed)
        for share in (0.35, 0.6):
            most = share * times(full)
            greedy = shrink_to(times, full, candidates, importance, most)
            found = Filler(times, full, candidates, importance, exchanges=1000).within(most)
            assert times(found) <= most
            gains.append(kept_value(importance, found) - kept_value(importance, greedy))
    assert min(gains) >= 0
    assert np.mean([gain > 1e-6 for gain in gains]) >= 0.5


def test_what_does_not_fit_is_none():
    full = Configuration({"a": 20, "b": 40})
    times, candidates, importance = problem_of(full.widths, 0)
    filler = Filler(times, full, candidates, importance)
    assert filler.within(1e-6) is None
    assert filler.within(times(full)) == full


def test_it_manages_where_costs_are_expensive():
    problem = make_problem(Goal(budget_ms=0.03))
    problem.cost = CoarseTimes()
    best = Knapsack().run(problem)[0]
    assert problem.goal.met_by(best)
    assert best.predicted_ms > 0.02


def test_important_groups_stay_wide():
    bench = synthetic()
    problem = bench.problem(Goal(budget_ms=bench.between(0.5)))
    spiky = np.array([1.0] + [1e-9] * 47)
    problem.importance = {**bench.importance, "b": spiky}
    unimportant = Knapsack().run(problem)[0].widths
    assert (unimportant["a"], unimportant["c"]) == (24, 40)
    problem = bench.problem(Goal(budget_ms=bench.between(0.5)))
    assert Knapsack().run(problem)[0].widths["b"] > unimportant["b"]


def test_options_are_checked():
    with pytest.raises(UsageError, match="parts must be 10 or more, not 1"):
        Knapsack(parts=1)
