"""Whole blocks first, then widths."""

import math
from types import SimpleNamespace

import pytest

from compressor.changes.kernels import SmallerKernel
from compressor.costs import CandidateCost, Configuration, Costs
from compressor.graph import RemovableBlock
from compressor.search import Goal, SearchOverError, SearchProblem, Trial
from compressor.search.structure import StructureSearch, structures_of
from compressor.search.uniform import UniformSnapped
from compressor.testing.workbench import make_problem, synthetic
from profiler.errors import UsageError

BLOCKS = {name: RemovableBlock(name, (name,), name, 0, False) for name in ("first", "second", "third")}
HARM = {"first": 0.3, "second": 0.01, "third": 0.02}


class _BlockTimes(CandidateCost):
    """Each block takes a share of the network's time."""

    cheap = True

    def __init__(self, times: CandidateCost) -> None:
        self._times = times

    def exact(self, configuration: Configuration) -> float:
        return self._times.exact(configuration) * (1 - 0.25 * len(configuration.removed))


def with_blocks(goal, folder=None) -> SearchProblem:
    problem = make_problem(goal, folder)
    judge, problem.blocks = problem.evaluate, BLOCKS
    problem.cost = _BlockTimes(problem.cost)
    problem.costs = lambda configuration: Costs(problem.cost.exact(configuration))
    problem.quick_loss = lambda configuration: 1 + sum(HARM[name] for name in configuration.removed)

    def evaluate(candidate):
        score, loss = judge(candidate)
        lost = sum(HARM[name] for name in candidate.configuration.removed)
        return score - lost, loss + lost

    problem.evaluate = evaluate
    return problem


def whole_ms() -> float:
    return synthetic().between(1.0)


@pytest.mark.parametrize(("share", "numbers"), [(0.45, (1, 2, 3)), (0.2, (2, 3, 1)), (2.0, (1, 2, 3))])
def test_blocks_that_cost_least_loss_for_their_time_go_first_and_take_half_of_the_way_to_the_budget(
    share, numbers
):
    found = structures_of(with_blocks(Goal(budget_ms=share * whole_ms())), 6)
    order = ["second", "third", "first"]
    assert [sorted(one.removed) for one in found] == [[], *(sorted(order[:number]) for number in numbers)]


def test_under_a_limit_on_the_score_blocks_and_widths_are_balanced_for_a_time_that_is_guessed():
    found = structures_of(with_blocks(Goal(least_score=0.9)), 6)
    assert [len(one.removed) for one in found] == [0, 2, 3, 1]


def test_a_block_inside_one_that_is_gone_is_no_further_structure():
    problem = with_blocks(Goal(budget_ms=1.0))
    problem.blocks = {**BLOCKS, "third": RemovableBlock("third", ("second", "third"), "second", 0, True)}
    problem.quick_loss = lambda configuration: 1 + 0.1 * ("second" in configuration.removed)
    removed = [sorted(one.removed) for one in structures_of(problem, 6)]
    assert removed == [
        [],
        ["first"],
        ["first", "third"],
    ]  # of two numbers of blocks the smaller is the middle


def test_changes_of_other_kinds_are_structures_of_their_own_alone_and_with_blocks():
    problem = with_blocks(Goal(budget_ms=1.0))
    kernels = [
        SmallerKernel(f"second:kernel={n}", ("second",), "kernel", (7,), (n,), (1,), "") for n in (5, 3)
    ]
    problem.blocks = {"first": BLOCKS["first"], **{one.id: one for one in kernels}}
    removed = [sorted(one.removed) for one in structures_of(problem, 6)]
    assert removed == [
        [], ["first"], ["second:kernel=5"], ["first", "second:kernel=5"], ["second:kernel=3"],
        ["first", "second:kernel=3"],
    ]  # fmt: skip
    assert structures_of(problem, 3) == structures_of(problem, 6)[:3]


def test_of_kinds_in_many_places_all_least_changes_are_made_together_and_all_greatest():
    problem = with_blocks(Goal(budget_ms=1.0))
    kernels = [
        SmallerKernel(f"{name}:kernel={n}", (name,), "kernel", (7,), (n,), (1,), "")
        for name in "abc" for n in (5, 3)
    ]  # fmt: skip
    problem.blocks = {one.id: one for one in kernels}
    problem.quick_loss = lambda configuration: pytest.fail("kernels are compared by training")
    assert [sorted(one.removed) for one in structures_of(problem, 6)] == [
        [], [f"{name}:kernel=5" for name in "abc"], [f"{name}:kernel=3" for name in "abc"],
    ]  # fmt: skip


def test_a_network_that_cannot_be_judged_without_a_block_keeps_it_longest():
    problem = with_blocks(Goal(budget_ms=1.0))
    problem.quick_loss = lambda configuration: math.nan if "second" in configuration.removed else 1.0
    assert {"first", "third"} in [one.removed for one in structures_of(problem, 6)]


def test_blocks_without_which_no_network_can_be_made_are_kept_and_the_search_goes_on():
    problem = with_blocks(Goal(budget_ms=0.45 * whole_ms()))
    loss, exact = problem.quick_loss, problem.cost.exact

    def made(configuration, found):
        if {"first", "second"} <= configuration.removed:
            raise UsageError("Keras cannot rebuild model 'small'")
        return found(configuration)

    problem.quick_loss = lambda configuration: made(configuration, loss)
    problem.cost.exact = lambda configuration: made(configuration, exact)
    best = StructureSearch().run(problem)[0]
    assert best.configuration.removed == {"second", "third"}


def test_losing_blocks_and_keeping_the_rest_wider_wins_where_blocks_do_little():
    goal = Goal(budget_ms=0.45 * whole_ms())
    control = UniformSnapped().run(make_problem(goal))[0]
    problem = with_blocks(goal)
    best = StructureSearch().run(problem)[0]
    assert best.configuration.removed == {"second", "third"}
    assert best.score > control.score


def test_the_network_with_all_its_blocks_is_the_control():
    goal = Goal(budget_ms=0.45 * whole_ms())
    problem = with_blocks(goal)
    StructureSearch().run(problem)
    assert problem.control is not None
    assert problem.control.configuration == UniformSnapped().run(make_problem(goal))[0].configuration


@pytest.mark.parametrize(("harm", "tried"), [(0.5, 5), (0.0, 10)])
def test_where_nothing_does_better_than_the_control_the_search_ends_halfway(monkeypatch, harm, tried):
    now = [100.0]
    monkeypatch.setattr("compressor.search.structure.method.time.monotonic", lambda: now[0])
    problem = with_blocks(Goal(budget_ms=0.45 * whole_ms()))
    problem.deadline, judge = 110.0, problem.evaluate

    def evaluate(candidate):
        now[0] += 1
        score, loss = judge(candidate)
        worse = harm * (candidate != (problem.control or candidate))
        return score - worse, loss + worse

    problem.evaluate = evaluate
    found = StructureSearch().run(problem)
    assert len(found) == tried
    assert (found[0].candidate == problem.control) == bool(harm)


def test_under_a_limit_on_the_score_it_goes_below_what_widths_reach():
    goal = Goal(least_score=0.93)
    problem = with_blocks(goal)
    met = [trial for trial in StructureSearch(tries=4).run(problem) if goal.met_by(trial)]
    least = min(problem.cost.exact(trial.configuration) for trial in met)
    control = UniformSnapped().run(make_problem(goal))[0]
    assert least < 0.7 * control.predicted_ms


def without_much(goal, folder=None, saved=0.6, harm=0.05):
    """Two blocks that take most of the time, and without which the score is missed whatever the widths."""
    problem = make_problem(goal, folder)
    judge = problem.evaluate
    problem.blocks = {name: BLOCKS[name] for name in ("first", "second")}
    plain = problem.cost

    class Times(CandidateCost):
        cheap = True

        def exact(self, configuration):
            return plain.exact(configuration) * (1 - saved) ** len(configuration.removed)

    problem.cost = Times()
    problem.costs = lambda configuration: Costs(problem.cost.exact(configuration))
    problem.quick_loss = lambda configuration: 1 + harm * len(configuration.removed)
    problem.evaluate = lambda candidate: (
        judge(candidate)[0] - harm * len(candidate.configuration.removed), judge(candidate)[1]
    )  # fmt: skip
    return problem


def test_structures_that_miss_the_score_with_all_their_channels_do_not_use_up_the_tries():
    goal = Goal(least_score=0.97)
    met = [trial for trial in StructureSearch().run(without_much(goal)) if goal.met_by(trial)]
    assert met
    assert not any(trial.configuration.removed for trial in met)


def test_where_only_fewer_blocks_come_to_the_budget_they_are_found_however_late_it_is(monkeypatch):
    problem = without_much(Goal(budget_ms=0.0), saved=0.9)
    least = min(problem.cost.exact(problem.full.with_widths(dict.fromkeys(problem.full.widths, 1))), 1.0)
    problem.budget = 0.5 * least
    problem.goal = Goal(budget_ms=problem.budget)
    monkeypatch.setattr(SearchProblem, "is_late", lambda *given: True)
    best = StructureSearch().run(problem)[0]
    assert best.configuration.removed
    assert problem.goal.met_by(best)


def test_what_an_earlier_run_tried_counts_though_this_one_comes_to_other_candidates(tmp_path):
    goal = Goal(least_score=0.93)
    first = without_much(goal)
    tried = StructureSearch(trials=6).run(first)
    again = without_much(goal)
    again.known = list(tried)
    again.deadline, again.needs_one = -math.inf, False
    assert {one.configuration for one in StructureSearch().run(again)} == {one.configuration for one in tried}


@pytest.mark.parametrize("trials", [1, 2, 3, 7])
@pytest.mark.parametrize("goal", [Goal(budget_ms=0.45), Goal(least_score=0.93)])
def test_no_more_candidates_are_trained_than_were_asked_for(goal, trials):
    if goal.budget_ms:
        goal = Goal(budget_ms=goal.budget_ms * whole_ms())
    problem = with_blocks(goal)
    trained, evaluate = [], problem.evaluate

    def counted(candidate):
        trained.append(candidate)
        return evaluate(candidate)

    problem.evaluate = counted
    found = StructureSearch(trials=trials, tries=4).run(problem)
    assert 1 <= len(trained) <= trials
    assert len(found) == len(trained)
    again = with_blocks(goal)
    again.try_configuration(again.full)
    assert 1 <= len(StructureSearch(trials=trials, tries=4).run(again)) <= trials
    if goal.budget_ms:
        assert len(trained) == trials
        assert problem.control in trained


@pytest.mark.parametrize(("goal", "look_s"), [(Goal(budget_ms=0.45), 1), (Goal(least_score=0.93), 3)])
def test_time_is_left_for_the_first_candidate(monkeypatch, goal, look_s):
    if goal.budget_ms:
        goal = Goal(budget_ms=goal.budget_ms * whole_ms())
    now = [100.0]
    monkeypatch.setattr("compressor.search.structure.blocks.time.monotonic", lambda: now[0])
    problem = with_blocks(goal)
    problem.deadline = 110.0

    def quick_loss(configuration):
        now[0] += look_s
        return 1 + sum(HARM[name] for name in configuration.removed)

    def evaluate(candidate):
        trained_at.append(now[0])
        now[0] += 1
        return judge(candidate)

    trained_at, judge = [], problem.evaluate
    problem.quick_loss, problem.evaluate = quick_loss, evaluate
    assert StructureSearch().run(problem)
    assert trained_at[0] <= 109


def test_what_was_looked_at_before_an_interruption_is_not_looked_at_again(tmp_path):
    goal = Goal(budget_ms=0.45 * whole_ms())
    first = with_blocks(goal, tmp_path)
    expected = [one.removed for one in structures_of(first, 6)]
    again = with_blocks(goal, tmp_path)

    def looked(configuration: Configuration) -> float:
        raise AssertionError(f"{configuration} was looked at before")

    again.quick_loss = looked
    assert [one.removed for one in structures_of(again, 6)] == expected


@pytest.mark.parametrize("goal", [Goal(budget_ms=0.05), Goal(least_score=0.9)])
def test_without_blocks_it_is_a_search_of_widths(goal):
    problem = make_problem(goal)
    found: list[Trial] = StructureSearch().run(problem)
    assert found
    assert not any(trial.configuration.removed for trial in found)


def test_of_too_many_blocks_those_inside_others_are_left_out_first():
    problem = with_blocks(Goal(budget_ms=1.0))
    problem.blocks = {
        "inner": RemovableBlock("inner", ("a", "b"), "inner", 0, False),
        "outer": RemovableBlock("outer", ("a", "b", "c"), "outer", 0, False),
        "other": RemovableBlock("other", ("d",), "other", 0, False),
    }
    takes = {"inner": 0.3, "outer": 0.2, "other": 0.1}
    problem.cost = SimpleNamespace(
        exact=lambda one: 1 - sum(takes[name] for name in one.removed), cheap=False
    )
    looked = []

    def quick_loss(configuration):
        looked.extend(configuration.removed)
        return 1.0

    problem.quick_loss = quick_loss
    structures_of(problem, 6, most_blocks=2)
    assert looked == ["outer", "other"]


@pytest.mark.parametrize("late", ["pricing", "looking at losses"])
def test_looking_at_blocks_ends_with_the_time_for_searching(late):
    problem = with_blocks(Goal(budget_ms=1.0))
    problem.needs_one = False
    looked = []

    def quick_loss(configuration):
        looked.append(configuration)
        problem.deadline = -math.inf
        return 1.0

    problem.quick_loss = quick_loss
    if late == "pricing":
        problem.deadline = -math.inf
    with pytest.raises(SearchOverError):
        structures_of(problem, 6)
    assert len(looked) == (late != "pricing")
