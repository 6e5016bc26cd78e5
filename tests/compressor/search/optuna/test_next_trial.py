import itertools
import math

from hypothesis import given
from hypothesis import strategies as st

from compressor.costs import Configuration, Costs
from compressor.search import Trial
from compressor.search.optuna.next_trial import (
    StudyTrial,
    early_epoch,
    is_hopeless,
    next_least,
    next_within,
    settled,
)

CLOSE = 1.06


def finished(number, level, score, early=None, costs=(1.0,), cost=None):
    trial = Trial(Configuration({"a": number + 1}), Costs(costs[0]), score, 0.1)
    return StudyTrial(
        number, "finished", "propose", level, {}, trial.widths, trial, early, level if cost is None else cost, costs
    )  # fmt: skip


def running(number, level):
    return StudyTrial(number, "running", "propose", level, {})


def test_a_trial_is_looked_at_after_a_third():
    assert [early_epoch(epochs) for epochs in (1, 2, 3, 6, 30)] == [0, 1, 1, 2, 10]


def test_within_a_budget_proposals_come_first_and_every_third_after_goes_to_the_front():
    past, kinds = [], []
    for number in range(14):
        step = next_within(past, 16, 2.0)
        kinds.append(step.kind)
        assert step.level == (None if step.kind == "front" else 2.0)
        past.append(running(number, 2.0))
    assert kinds == ["propose"] * 8 + ["aim", "aim", "front"] * 2


def search_least(truth, processes=1, tries=2, failing=frozenset()):
    """Halve with so many processes at a time, on a device where costs from `truth` up keep the score."""
    past, asked = [], 0
    while asked < 60:
        going = []
        for _ in range(processes):
            step = next_least([*past, *going], 1.0, 100.0, 0.9, lambda level: tries, CLOSE)
            if step.kind != "propose":
                break  # whoever has nothing to halve does other things until the rest is reported
            going.append(running(asked, step.level))
            asked += 1
        if not going:
            return past, step
        past += [finished(one.number, one.level, 1.0 if one.level >= truth else 0.5) for one in going]
    raise AssertionError("no end")


@given(st.floats(1.0, 99.0), st.integers(1, 5), st.integers(1, 3))
def test_halving_ends_near_the_least_cost_with_any_number_of_processes(truth, processes, tries):
    past, _ = search_least(truth, processes, tries)
    met = min((one.level for one in past if one.trial.score == 1.0), default=100.0)
    assert truth <= met <= truth * CLOSE * 1.001
    assert len(past) <= processes * tries * 8


def test_processes_do_not_all_try_the_same_cost():
    going = []
    for number in range(4):
        step = next_least(going, 1.0, 100.0, 0.9, lambda level: 1, CLOSE)
        going.append(running(number, step.level))
    levels = sorted(one.level for one in going)
    assert min(b / a for a, b in itertools.pairwise(levels)) > 1.5


def test_a_cost_is_given_up_after_so_many_misses():
    first = next_least([], 1.0, 100.0, 0.9, lambda level: 2, CLOSE)
    again = next_least([finished(0, first.level, 0.5)], 1.0, 100.0, 0.9, lambda level: 2, CLOSE)
    assert (again.level, again.attempt) == (first.level, 1)
    missed = [finished(0, first.level, 0.5), finished(1, first.level, 0.5)]
    assert next_least(missed, 1.0, 100.0, 0.9, lambda level: 2, CLOSE).level > first.level
    met = [finished(0, first.level, 0.95, cost=first.level / 2)]
    assert next_least(met, 1.0, 100.0, 0.9, lambda level: 2, CLOSE).level < first.level / 2


def test_once_halved_it_aims_below_what_was_found():
    _, step = search_least(30.0)
    assert step.kind == "aim"
    assert 30.0 / CLOSE**2 <= step.level <= 30.0 * 1.001


def test_a_trial_that_yielded_says_what_came_of_the_other():
    won = finished(0, 2.0, 0.95)
    yielded = StudyTrial(1, "void", "propose", 3.0, {}, won.widths, yielded=True)
    going = StudyTrial(2, "running", "aim", 2.0, {}, won.widths)
    stopped = StudyTrial(3, "pruned", "aim", 2.0, {}, won.widths)
    after = settled([won, yielded])[1]
    assert (after.trial, after.state, after.level) == (won.trial, "void", 3.0)
    assert settled([yielded, going])[0].state == "running"
    assert settled([yielded, stopped])[0] == yielded
    assert settled([yielded]) == [yielded]
    other = StudyTrial(4, "void", "propose", 3.0, {}, won.widths)
    assert settled([won, other]) == [won, other]


def test_a_cost_is_not_given_up_for_what_another_process_still_tries():
    first = next_least([], 1.0, 100.0, 0.9, lambda level: 1, CLOSE)
    going = StudyTrial(0, "running", "aim", 1.0, {}, {"a": 7})
    yielded = StudyTrial(1, "void", "propose", first.level, {}, {"a": 7}, yielded=True)
    step = next_least(settled([going, yielded]), 1.0, 100.0, 0.9, lambda level: 1, CLOSE)
    assert step.level < first.level  # the wider gap of ratios lies below: 1/CLOSE to 10


FOUR = [finished(i, 1.0, score, early, (1.0, 50.0)) for i, (score, early) in enumerate(
    [(0.90, 0.80), (0.92, 0.85), (0.94, 0.86), (0.95, 0.90)]
)]  # fmt: skip
"""Gains from the early look to the end: 0.10, 0.07, 0.08, 0.05; nine in ten are at most 0.094."""


def test_a_clearly_dominated_trial_is_hopeless():
    assert is_hopeless(0.85, (1.0, 50.0), FOUR)  # at best 0.944
    assert not is_hopeless(0.86, (1.0, 50.0), FOUR)  # at best 0.954
    assert is_hopeless(0.70, (1.0, 50.0), FOUR)


def test_a_cheaper_trial_is_never_hopeless():
    assert not is_hopeless(0.1, (0.9, 50.0), FOUR)
    assert not is_hopeless(0.1, (1.0, 40.0), FOUR)
    assert is_hopeless(0.1, (1.2, 60.0), FOUR)


def test_nothing_is_hopeless_before_a_few_are_finished_or_where_half_were_stopped():
    assert not is_hopeless(0.1, (1.0, 50.0), FOUR[:3])
    stopped = [StudyTrial(9 + i, "pruned", "aim", 1.0, {}, costs=(1.0, 50.0)) for i in range(4)]
    assert is_hopeless(0.1, (1.0, 50.0), [*FOUR, *stopped[:3]])
    assert not is_hopeless(0.1, (1.0, 50.0), [*FOUR, *stopped])


def test_a_trial_that_diverged_does_not_spoil_the_rule():
    diverged = finished(8, 1.0, -math.inf, 0.5, (1.0, 50.0))
    assert is_hopeless(0.1, (1.0, 50.0), [*FOUR, diverged])
    assert not is_hopeless(0.9, (1.0, 50.0), [*FOUR, diverged])
