"""Cascades fitted to answers: by hand, by their properties, and as they run."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from profiler.errors import BudgetError, UsageError
from selector.candidates import Answers
from selector.policies import (
    CascadePolicy,
    EarlyExitPolicy,
    PolicyGoal,
    SearchSettings,
    best_of_type,
    fit_cascade,
    replay,
)
from selector.policies.base import log_probabilities_of, quantiles
from selector.policies.stages.prefixes import Gate
from selector.policies.stages.search import CascadeSearch, best_single, shortlist
from selector.runtime import PolicyNetwork, Specification, Stage, confidence
from selector.testing import check_policy, synthetic_answers

QUICK = SearchSettings(gates=(Gate(),), per_class=False, prices=12, refined=6, most_chains=6)
EVERYTHING = SearchSettings(prices=12, refined=6, most_chains=4, folds=3)


def answers_of(p, y, times=(1.0, 10.0)):
    """Answers from probabilities [networks, rows, classes]."""
    names = "abcdefgh"
    networks = tuple(PolicyNetwork(f"{names[i]}.tflite", names[i], ms) for i, ms in enumerate(times))
    return Answers(
        networks, tuple(Path(one.file) for one in networks), np.log(np.array(p, np.float32)), np.array(y)
    )


def test_rows_of_a_group_make_a_drop_no_surer():
    """Ten copies of each row in one group: what is lost is as unsure as of the rows once, not as of ten times as many."""
    once = synthetic_answers(300, 0)
    tenfold = once.at(np.repeat(np.arange(300), 10))
    settings = replace(QUICK, folds=2)
    points = [
        CascadeSearch(answers, settings).single_point(0)
        for answers in (once, tenfold, replace(tenfold, groups=np.repeat(np.arange(300), 10)))
    ]
    rows, copies, grouped = (point.uncertainty for point in points)
    assert grouped == pytest.approx(rows, rel=0.05)
    assert copies == pytest.approx(rows / np.sqrt(10), rel=0.05)


FIVE_ROWS = answers_of(
    [
        [[0.9, 0.1], [0.8, 0.2], [0.6, 0.4], [0.3, 0.7], [0.5001, 0.4999]],
        [[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.3, 0.7], [0.2, 0.8]],
    ],
    [0, 0, 1, 1, 1],
)
"""The second network is always right; the first one is sure of rows 0, 1 and 3 (margins 0.8, 0.6, 0.4), wrong on the others."""


def cascade(threshold, weights=(0.0, 1.0), **changes):
    stages = (Stage(0, (1.0,), threshold=threshold, **changes), Stage(1, weights))
    return Specification("cascade", "abacus", FIVE_ROWS.networks, stages, 2, 1)


@pytest.mark.parametrize(
    ("threshold", "stopped", "named", "mean_ms"),
    [
        (0.7, [0, 1, 1, 1, 1], [0, 0, 1, 1, 1], (1 + 4 * 11) / 5),
        (0.3, [0, 0, 1, 0, 1], [0, 0, 1, 1, 1], (3 + 2 * 11) / 5),
        (0.1, [0, 0, 0, 0, 1], [0, 0, 0, 1, 1], (4 + 11) / 5),
        ((0.3, 2.0), [0, 0, 1, 1, 1], [0, 0, 1, 1, 1], (2 + 3 * 11) / 5),
    ],
)
def test_replay_of_two_networks_on_five_rows(threshold, stopped, named, mean_ms):
    seen = replay(cascade(threshold), list(FIVE_ROWS.log_probabilities))
    assert seen.stopped.tolist() == stopped
    assert seen.named.tolist() == named
    assert seen.ms.mean() == pytest.approx(mean_ms)
    assert seen.longest_ms == 11


def test_combined_answers_decide_what_a_stage_names():
    """Row 1: 0.8 and 0.6 for class 0, row 2: 0.6 and 0.2; the logarithms are added with weights 2 and 1."""
    seen = replay(cascade(2.0, (2.0, 1.0)), list(FIVE_ROWS.log_probabilities))
    odds = np.array([0.81 * 0.9 / (0.01 * 0.1), 0.64 * 0.6 / (0.04 * 0.4), 0.36 * 0.2 / (0.16 * 0.8)])
    assert (odds > 1).tolist() == (seen.named[:3] == 0).tolist() == [True, True, False]


def test_the_first_network_stops_on_all_rows_that_it_is_right_on_and_sure_of():
    """Forty times the five rows: no errors with three of five rows stopped, (3 * 1 + 2 * 11) / 5 = 5 ms."""
    rows = np.tile(np.arange(5), 40)
    fit = fit_cascade(FIVE_ROWS.at(rows), PolicyGoal("time"), settings=QUICK)
    assert fit.chosen.accuracy == 1.0
    assert fit.chosen.mean_ms == pytest.approx(5.0)
    assert fit.chosen.stop_shares == pytest.approx((0.6, 0.4))
    assert 0.0 < fit.specification.stages[0].threshold < 0.9


@pytest.fixture(scope="module")
def answers():
    return synthetic_answers(900, 5)


@pytest.fixture(scope="module")
def searched(answers):
    return fit_cascade(answers, PolicyGoal("time", max_accuracy_drop=1.0), settings=EVERYTHING)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("prefer", ["time", "accuracy"])
def test_a_policy_is_never_worse_or_slower_on_its_own_rows_than_the_best_single_network(seed, prefer):
    fit = fit_cascade(synthetic_answers(250, seed, shared=0.2 * seed), PolicyGoal(prefer), settings=QUICK)
    expected = fit.specification.expected
    assert expected["accuracy"] >= expected["single_accuracy"]
    assert expected["mean_ms"] <= expected["single_ms"]


def test_where_no_network_helps_another_the_best_single_one_runs_alone():
    """The faster network only guesses."""
    fit = fit_cascade(
        synthetic_answers(600, 0, strengths=(0.0, 2.9), times_ms=(1, 2)), PolicyGoal("time"), settings=QUICK
    )
    assert [one.network for one in fit.specification.stages] == [fit.specification.single]
    assert fit.chosen.mean_ms == pytest.approx(2)
    assert fit.chosen.stop_shares == (1.0,)


def test_a_time_is_the_sum_of_the_stages_that_ran(searched, answers):
    specification = searched.specification
    times = [specification.networks[stage.network].predicted_ms for stage in specification.stages]
    assert searched.chosen.longest_ms == pytest.approx(sum(times))
    assert searched.chosen.mean_ms == pytest.approx(np.cumsum(times) @ searched.chosen.stop_shares)
    assert searched.chosen.p50_ms in np.cumsum(times)


def test_thresholds_stop_the_rows_that_were_expected_when_confidence_is_worked_out_anew(searched, answers):
    """Not by the project's own replay: from the description of a stage."""
    specification = searched.specification
    names = [one.name for one in answers.networks]
    going = np.ones(len(answers.y), bool)
    total = np.zeros(len(answers.y), bool)
    for place, stage in enumerate(specification.stages):
        parts = [
            weight * answers.log_probabilities[names.index(specification.networks[before.network].name)]
            for weight, before in zip(stage.weights, specification.stages, strict=False)
        ]
        scores = np.sum(parts, axis=0)
        log_p = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
        sure = confidence(log_p, stage.confidence)
        threshold = np.inf if stage.threshold is None else np.asarray(stage.threshold)
        if np.ndim(threshold):
            threshold = threshold[log_p.argmax(axis=1)]
        stops = going & (sure >= threshold) if stage.threshold is not None else going
        assert stops.mean() == pytest.approx(searched.chosen.stop_shares[place], abs=0.003)
        total |= stops & (log_p.argmax(axis=1) == answers.y)
        going = going & ~stops
    assert total.mean() == pytest.approx(searched.chosen.accuracy, abs=0.003)


def test_networks_of_a_policy_are_those_of_its_stages_and_the_best_single_one(searched, answers):
    names = {one.name for one in searched.specification.networks}
    stages = {searched.specification.networks[one.network].name for one in searched.specification.stages}
    assert names == stages | {answers.networks[best_single(answers)].name}
    assert [path.name for path in searched.paths] == [one.file for one in searched.specification.networks]


def test_the_front_falls_in_accuracy_as_it_gets_faster(searched):
    points = searched.front
    assert len(points) > 5
    for slower, faster in itertools.pairwise(reversed(points)):
        assert faster.mean_ms < slower.mean_ms
        assert faster.expected_accuracy <= slower.expected_accuracy


@pytest.mark.parametrize("share", [0.05, 0.3, 0.8])
def test_accuracy_first_keeps_to_a_mean_time(answers, share):
    fit = fit_cascade(answers, PolicyGoal("accuracy", budget_ms=share * 0.523), settings=QUICK)
    assert fit.chosen.mean_ms <= share * 0.523


@pytest.mark.parametrize("longest", [0.03, 0.2, 0.6])
def test_a_longest_time_bounds_the_sum_of_all_stages(answers, longest):
    fit = fit_cascade(answers, PolicyGoal("accuracy", longest_ms=longest), settings=QUICK)
    assert (
        sum(one.predicted_ms for one in fit.specification.networks if one.name in fit.chosen.name) <= longest
    )
    assert fit.chosen.longest_ms <= longest


def test_out_of_reach_says_what_comes_nearest(answers):
    with pytest.raises(BudgetError, match=r"No policy takes 0.001 ms on average; the nearest takes 0.006 ms"):
        fit_cascade(answers, PolicyGoal("accuracy", budget_ms=0.001), settings=QUICK)
    with pytest.raises(BudgetError, match="No network is within the longest time"):
        fit_cascade(answers, PolicyGoal("accuracy", longest_ms=0.001), settings=QUICK)
    with pytest.raises(BudgetError, match=r"loses at most 0.2 points of accuracy; the nearest loses"):
        fit_cascade(answers, PolicyGoal("time", budget_ms=0.01, max_accuracy_drop=0.2), settings=QUICK)


def test_too_few_rows_and_networks_in_another_order_are_told(answers):
    with pytest.raises(UsageError, match="synthetic rows has 5 rows to choose thresholds from"):
        fit_cascade(answers.at(np.arange(5)), PolicyGoal())
    with pytest.raises(UsageError, match="give the fastest first"):
        fit_cascade(answers.of([3, 0]), PolicyGoal())


def test_exits_of_one_network_are_stages_in_order_and_cost_what_all_before_them_cost():
    segments = synthetic_answers(900, 3, times_ms=(0.3, 0.1, 0.2, 0.1))
    fit = EarlyExitPolicy(QUICK).fit(segments, PolicyGoal("time", max_accuracy_drop=0.5))
    specification = fit.specification
    assert specification.kind == "early_exit"
    assert [one.network for one in specification.stages] == list(range(len(specification.stages)))
    assert [one.name for one in specification.networks] == ["net0", "net1", "net2", "net3"]
    assert specification.expected["single_ms"] == pytest.approx(0.7)
    assert [one.mean_ms for one in fit.baselines[:4]] == pytest.approx([0.3, 0.4, 0.6, 0.7])
    assert fit.chosen.mean_ms < 0.7


def test_exits_that_say_nothing_new_leave_the_whole_network_as_it_stands():
    segments = synthetic_answers(500, 3, strengths=(0.0, 0.0, 2.9), times_ms=(1, 1, 1))
    fit = EarlyExitPolicy(QUICK).fit(segments, PolicyGoal("time"))
    assert fit.chosen.accuracy >= fit.baselines[2].accuracy
    assert fit.chosen.mean_ms <= 3.0


def test_baselines_are_on_the_same_rows(answers, searched):
    kinds = [one.kind for one in searched.baselines]
    assert kinds == ["single"] * 4 + ["oracle", "ensemble", "margin cascade"]
    *singles, oracle, ensemble, plain = searched.baselines
    assert [one.accuracy for one in singles] == pytest.approx(answers.right.mean(axis=1))
    assert oracle.accuracy == pytest.approx(answers.right.any(axis=0).mean())
    first = np.where(answers.right.any(axis=0), answers.right.argmax(axis=0), 0)
    assert oracle.mean_ms == pytest.approx(answers.times_ms[first].mean())
    assert ensemble.mean_ms == pytest.approx(answers.times_ms.sum())
    assert ensemble.accuracy > singles[-1].accuracy
    assert plain.accuracy >= singles[-1].accuracy - 0.01 - 1e-9
    assert plain.mean_ms < singles[-1].mean_ms


def test_the_best_network_of_each_number_type(answers):
    networks = tuple(
        replace(one, dtype="int8" if place % 2 else "float32") for place, one in enumerate(answers.networks)
    )
    points = fit_cascade(replace(answers, networks=networks), PolicyGoal(), settings=QUICK).baselines
    assert best_of_type(points, floats=True).name == "net2"
    assert best_of_type(points, floats=False).name == "net3"
    assert best_of_type(points[:1], floats=False) is None


def test_of_many_networks_the_best_and_those_that_differ_are_looked_at():
    """Ten copies of a weak network, a strong one, and one that is right where all others are wrong."""
    many = synthetic_answers(400, 0, strengths=[1.0] * 10 + [2.0, 2.9], times_ms=np.arange(1, 13), shared=1.0)
    other = many.log_probabilities.copy()
    wrong = ~many.right.any(axis=0)
    other[5] = -9.0
    other[5, np.arange(400), np.where(wrong, many.y, (many.y + 1) % 10)] = -0.001
    found = shortlist(replace(many, log_probabilities=other), 4)
    assert len(found) == 4
    assert {5, 11} <= set(found)


def test_quantiles_count_rows_by_their_weight():
    assert quantiles(np.array([3.0, 1.0, 2.0]), (0.5, 0.9), np.array([0.2, 0.6, 0.2])) == [1.0, 3.0]


def test_progress_goes_from_start_to_end(answers):
    seen = []
    fit_cascade(
        answers.at(np.arange(200)), PolicyGoal(), settings=QUICK, progress=lambda share, _: seen.append(share)
    )
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def test_cross_fitting_is_on_whole_groups():
    search = CascadeSearch(synthetic_answers(300, 0, groups=12), QUICK)
    groups = search.answers.groups
    assert all(len(set(search._folds[groups == one])) == 1 for one in range(12))


def test_a_cascade_passes_the_suite():
    check_policy(lambda: CascadePolicy(QUICK))


def test_a_cascade_with_all_kinds_of_confidence_passes_the_suite():
    check_policy(lambda: CascadePolicy(EVERYTHING), leave_out=("limits", "same", "few"))


def test_log_probabilities_are_found_by_name(answers, searched):
    found = log_probabilities_of(searched.specification, answers.of([3, 2, 1, 0]))
    for network, log_p in zip(searched.specification.networks, found, strict=True):
        assert log_p is not None
        assert (log_p == answers.log_probabilities[int(network.name[-1])]).all()


def test_deciding_counts_for_chains_and_not_for_single_networks():
    goal = PolicyGoal("time", max_accuracy_drop=0.0)
    answers = FIVE_ROWS.at(np.tile(np.arange(5), 40))
    free, priced = (
        fit_cascade(replace(answers, decide_ms=ms), goal, settings=EVERYTHING) for ms in (0.0, 0.5)
    )
    assert priced.chosen.name == free.chosen.name
    assert priced.specification.decide_ms == 0.5
    stages = np.arange(1, len(free.chosen.stop_shares) + 1)
    assert priced.chosen.mean_ms - free.chosen.mean_ms == pytest.approx(
        0.5 * stages @ free.chosen.stop_shares
    )
    singles = [[one.mean_ms for one in fit.baselines if one.kind == "single"] for fit in (free, priced)]
    assert singles[0] == singles[1]
    # So dear that no chain pays any more.
    single = fit_cascade(replace(answers, decide_ms=100.0), goal, settings=EVERYTHING)
    assert len(single.specification.stages) == 1
    assert single.specification.decide_ms == 0.0
