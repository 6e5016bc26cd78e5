"""What is tried before the method of a search has its turn."""

import math
import time

import pytest

from compressor.pipeline.searching import _try_first
from compressor.search import Goal
from compressor.testing.workbench import Counting, make_problem, synthetic

ALIVE = {"a": range(3)}
WHOLE_MS = synthetic().between(1.0)


def made(goal, known=()):
    problem = make_problem(goal)
    problem.evaluate, problem.known = Counting(problem.evaluate), list(known)
    return problem


@pytest.mark.parametrize(("share", "tried"), [(1.1, [24, 3]), (0.9, [3]), (0.01, [])])
def test_only_what_is_within_the_budget_is_tried_before_the_method(share, tried):
    problem = made(Goal(budget_ms=share * WHOLE_MS))
    _try_first(problem, quantized=True, alive=ALIVE)
    assert [widths[0] for widths in problem.evaluate.asked] == tried


def test_what_an_earlier_run_tried_before_the_method_is_looked_up():
    first = made(Goal(least_score=0.5))
    _try_first(first, quantized=True, alive=ALIVE)
    again = made(Goal(least_score=0.5), first.trials)
    again.deadline = -math.inf
    _try_first(again, quantized=True, alive=ALIVE)
    assert again.trials == first.trials
    assert not again.evaluate.asked


def test_where_no_time_is_left_the_first_candidates_are_left_out():
    problem = made(Goal(least_score=0.5))
    problem.deadline, problem.needs_one = time.monotonic() - 1, False
    _try_first(problem, quantized=True, alive=ALIVE)
    assert problem.trials == []
