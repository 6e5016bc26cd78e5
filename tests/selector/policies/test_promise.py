"""A promise about accuracy holds on rows of the same kind, says what it takes, and is not idle."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from profiler.errors import BudgetError, DataError
from selector.policies import (
    PolicyGoal,
    SearchSettings,
    fit_cascade,
    halves,
    passed_in_sequence,
    replay,
    shown,
)
from selector.policies.base import log_probabilities_of
from selector.policies.stages.prefixes import Gate
from selector.testing import synthetic_answers

QUICK = SearchSettings(
    gates=(Gate(),), per_class=False, prices=16, refined=6, most_chains=3, max_stages=3, folds=2
)
GOAL = PolicyGoal("time", max_accuracy_drop=1.0, confidence=0.95)


@pytest.fixture(scope="module")
def truth():
    """So many rows that what is seen on them is the truth, to a tenth of a point."""
    return synthetic_answers(30_000, 10_000)


@pytest.fixture(scope="module")
def promised():
    return fit_cascade(synthetic_answers(4000, 1), GOAL, settings=QUICK)


def lost(fit, truth):
    seen = replay(fit.specification, log_probabilities_of(fit.specification, truth))
    return truth.right.mean(axis=1).max() - (seen.named == truth.y).mean()


def test_the_promise_is_said_in_words(promised):
    assert promised.specification.promise == {
        "max_accuracy_drop": 1.0,
        "confidence": 0.95,
        "rows": 2000,
        "sentence": "With 95% confidence this policy loses at most 1 points of accuracy against net3, or any other of its "
        "candidates alone, on new data of the same kind (tested on 2,000 rows that chose nothing).",
    }
    assert promised.specification.expected["rows"] == 2000


def test_a_promise_is_rarely_broken_and_keeps_most_of_the_saving(truth):
    """Five samples of 2,000 rows; the benchmark has 200."""
    broken, kept = 0, []
    for seed in range(5):
        answers = synthetic_answers(2000, 100 + seed)
        with_promise = fit_cascade(answers, GOAL, settings=QUICK)
        without = fit_cascade(answers, PolicyGoal("time", max_accuracy_drop=1.0), settings=QUICK)
        broken += lost(with_promise, truth) > 0.01
        kept.append((1 - with_promise.chosen.mean_ms / 0.523) / (1 - without.chosen.mean_ms / 0.523))
    assert broken <= 1
    assert np.mean(kept) >= 0.7


def test_policies_that_lose_just_too_much_pass_in_no_more_than_their_level():
    """Drawn rows: the first policy of the path loses 1.01 points where 1 is allowed, the next ones more."""
    rng = np.random.default_rng(0)
    passed = 0
    for _ in range(200):
        single = rng.random(1000) < 0.8
        policies = []
        for extra in (0.0001, 0.002):
            right = single & (rng.random(1000) > (0.04 + 0.01 + extra) / 0.8)
            right |= ~single & (rng.random(1000) < 0.04 / 0.2)
            policies.append(right)
        passed += passed_in_sequence(policies, single[None], 0.01, 0.95) > 0
    assert passed <= 0.05 * 200 + 6


def test_every_single_network_must_be_beaten():
    """It is as good as the first network, and clearly worse than the second."""
    rng = np.random.default_rng(0)
    first, second = rng.random(2000) < 0.7, rng.random(2000) < 0.8
    assert shown(first, first[None], 0.01, 0.95)
    assert not shown(first, np.stack([first, second]), 0.01, 0.95)


def test_a_path_ends_at_the_first_policy_that_is_not_shown():
    good, bad = np.ones(1000, bool), np.arange(1000) > 100
    assert passed_in_sequence([good, good, bad, good], good[None], 0.01, 0.95) == 2
    assert passed_in_sequence([bad, good], good[None], 0.01, 0.95) == 0


def test_rows_of_a_group_are_no_evidence_of_their_own():
    """A hundred groups of a hundred rows: as rows they show a loss below a point, as groups they do not."""
    rng = np.random.default_rng(0)
    right = rng.random(10_000) < 0.8
    groups = np.repeat(np.arange(100), 100)
    assert shown(right, right[None], 0.01, 0.95)
    assert not shown(right, right[None], 0.01, 0.95, groups=groups)
    assert shown(right, right[None], 0.05, 0.95, groups=groups)
    assert shown(right, right[None], 0.01, 0.95, groups=np.arange(10_000))


def test_no_row_and_no_group_is_in_both_halves():
    answers = synthetic_answers(501, 0)
    first, second = halves(answers)
    assert (first ^ second).all()
    for one in range(10):
        of_class = answers.y == one
        assert abs(int(first[of_class].sum()) - int(second[of_class].sum())) <= 1
    grouped = synthetic_answers(500, 0, groups=11)
    first, second = halves(grouped)
    assert not set(grouped.groups[first]) & set(grouped.groups[second])


def test_too_few_rows_or_groups_are_told_with_how_many_are_needed():
    with pytest.raises(
        DataError, match=r"synthetic rows has 500 rows, .* takes at least 1,20\d \(half of them"
    ):
        fit_cascade(
            synthetic_answers(500, 0),
            PolicyGoal("time", max_accuracy_drop=0.5, confidence=0.95),
            settings=QUICK,
        )
    with pytest.raises(DataError, match=r"has 30 groups, .* takes at least \d{3} .* give more groups"):
        fit_cascade(synthetic_answers(5000, 0, groups=30), GOAL, settings=QUICK)


def test_what_cannot_be_shown_lets_the_best_network_run_alone_and_says_why():
    alike = synthetic_answers(1300, 3, strengths=(0.1, 2.9), times_ms=(1, 2))
    goal = PolicyGoal("time", max_accuracy_drop=0.0, confidence=0.95)
    fit = fit_cascade(alike, goal, settings=QUICK)
    assert fit.specification.promise is None
    assert [stage.network for stage in fit.specification.stages] == [fit.specification.single]
    (note,) = fit.notes
    assert note.startswith(
        "No policy is shown with 95% confidence on 650 rows to lose at most 0 points, so net1 runs alone"
    )


def test_what_runs_alone_is_the_network_that_is_the_best_one_on_all_rows():
    """The slow network is better on the rows that choose, and the quick one, which is equally good, on all rows."""
    answers = synthetic_answers(1000, 3, strengths=(2.0, 2.0), times_ms=(1, 2), shared=0.0)
    learning, _ = halves(answers)
    log_p = answers.log_probabilities.copy()
    wrong = np.eye(10)[(answers.y + 1) % 10] * 9.0
    log_p[0, learning & (np.arange(1000) % 9 == 0)] = wrong[learning & (np.arange(1000) % 9 == 0)]
    log_p[1, ~learning & (np.arange(1000) % 4 == 0)] = wrong[~learning & (np.arange(1000) % 4 == 0)]
    answers = replace(answers, log_probabilities=log_p)
    assert answers.at(learning).right.mean(axis=1).argmax() == 1
    assert answers.right.mean(axis=1).argmax() == 0
    fit = fit_cascade(answers, PolicyGoal("time", max_accuracy_drop=0.0, confidence=0.95), settings=QUICK)
    assert [network.name for network in fit.specification.networks] == ["net0"]
    assert fit.specification.expected["rows"] == 1000
    assert "so net0 runs alone" in fit.notes[0]


def test_a_budget_that_no_tested_policy_meets_is_told():
    goal = PolicyGoal("accuracy", budget_ms=0.001, max_accuracy_drop=1.0, confidence=0.95)
    with pytest.raises(BudgetError, match=r"No policy takes 0.001 ms on average"):
        fit_cascade(synthetic_answers(2000, 0), goal, settings=QUICK)


def test_weighted_rows_and_exits_have_promises_too():
    answers = synthetic_answers(3000, 5, times_ms=(0.1, 0.1, 0.2, 0.4))
    goal = PolicyGoal("time", max_accuracy_drop=5.0, confidence=0.9)
    weights = np.where(answers.y == 0, 3.0, 0.7)
    for changes in ({"row_weights": weights}, {"kind": "early_exit"}):
        fit = fit_cascade(answers, goal, settings=QUICK, **changes)
        assert fit.specification.promise is not None
        assert fit.chosen.mean_ms < fit.specification.expected["single_ms"]
