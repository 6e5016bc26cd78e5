"""One multiplier, as it is and snapped to the steps of the cost."""

import numpy as np
import pytest

from compressor.costs import Configuration
from compressor.costs.staircase import kept_value
from compressor.search import Goal
from compressor.search.uniform import UniformSnapped, UniformWidth
from compressor.testing.workbench import TILE, WIDTHS, CoarseTimes, StaircaseTimes, make_problem, synthetic
from compressor.training import normalised
from profiler.errors import UsageError

FULL = Configuration(WIDTHS)
EVEN = normalised({name: np.ones(width) for name, width in WIDTHS.items()})


def test_snapped_widths_stand_on_steps():
    times = StaircaseTimes()
    problem = make_problem(Goal(budget_ms=0.5 * times(FULL)))
    (trial,) = UniformSnapped().run(problem)
    # The last group feeds nothing: all channels of a tile but the last are free.
    assert trial.widths["c"] % TILE == 0
    for name, full in WIDTHS.items():
        wider = {**trial.widths, name: min(full, trial.widths[name] + 1)}
        assert wider == trial.widths or times(Configuration(wider)) > trial.predicted_ms


@pytest.mark.parametrize("share", [0.15, 0.3, 0.45, 0.6, 0.9])
def test_snapped_never_keeps_less_than_plain(share):
    budget = Goal(budget_ms=share * StaircaseTimes()(FULL))
    plain = UniformWidth().run(make_problem(budget))[0]
    snapped = UniformSnapped().run(make_problem(budget))[0]
    assert budget.met_by(snapped)
    assert kept_value(EVEN, snapped.configuration) >= kept_value(EVEN, plain.configuration)


def test_snapped_does_better_at_the_same_score():
    goal = Goal(least_score=0.93)
    plain = UniformWidth().run(make_problem(goal))[0]
    snapped = UniformSnapped().run(make_problem(goal))[0]
    assert goal.rank(snapped) > goal.rank(plain)


def test_snapped_without_steps_is_plain():
    bench = synthetic()
    goal = Goal(budget_ms=bench.between(0.5, "flops"))
    snapped = UniformSnapped().run(bench.problem(goal, steer="flops"))[0]
    shares = [snapped.widths[name] / full for name, full in WIDTHS.items()]
    assert max(shares) - min(shares) < 0.12


class Counted(CoarseTimes):
    def __init__(self):
        super().__init__()
        self.looks = set()

    def exact(self, configuration):
        self.looks.add(configuration)
        return super().exact(configuration)


@pytest.mark.parametrize("method", [UniformWidth, UniformSnapped])
def test_expensive_costs_are_looked_at_rarely(method):
    for goal in (Goal(budget_ms=0.03), Goal(least_score=0.9)):
        problem = make_problem(goal)
        problem.cost = Counted()
        best = method().run(problem)[0]
        assert goal.met_by(best)
        assert len(problem.cost.looks) < 40


def test_options_are_checked():
    with pytest.raises(UsageError, match="grid must be 2 or more, not 1"):
        UniformSnapped(grid=1)
    with pytest.raises(UsageError, match="options must be 1 or more, not 0"):
        UniformSnapped(options=0)
