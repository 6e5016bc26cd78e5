"""A detector that wakes the rest, and a first stage that may stop only for some classes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from profiler.errors import UsageError
from selector.candidates import Detector
from selector.policies import HierarchicalPolicy, PolicyGoal, SearchSettings, class_weights
from selector.policies.stages.prefixes import Gate
from selector.runtime import PolicyNetwork, log_softmax
from selector.testing import check_policy, synthetic_answers

QUICK = SearchSettings(gates=(Gate(),), per_class=False, prices=12, refined=6, most_chains=6)


def watched(answers, clearness=3.0, seed=7):
    """The same answers with a detector of 0.001 ms that tells class 0 ("nothing there") from all others."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(len(answers.y), 2))
    scores[np.arange(len(answers.y)), (answers.y != 0).astype(int)] += clearness
    network = PolicyNetwork("detector.tflite", "detector", 0.001)
    log_p = log_softmax(scores).astype(np.float32)
    return replace(answers, detector=Detector(network, Path("detector.tflite"), log_p, (0, None)))


def test_a_detector_stops_what_it_knows_and_wakes_the_rest():
    answers = watched(synthetic_answers(1500, 1))
    fit = HierarchicalPolicy(prior={0: 0.9}, settings=QUICK).fit(
        answers, PolicyGoal("time", max_accuracy_drop=0.5)
    )
    specification = fit.specification
    first = specification.stages[0]
    assert specification.kind == "hierarchical"
    assert specification.networks[first.network].name == "detector"
    assert first.answers == (0, None)
    assert first.weights == (1.0,)
    assert all(stage.weights[0] == 0.0 for stage in specification.stages[1:])
    assert fit.paths[first.network] == Path("detector.tflite")
    assert fit.chosen.stop_shares[0] > 0.6
    assert fit.chosen.name.startswith("detector > ")
    assert fit.chosen.mean_ms < 0.3 * specification.expected["single_ms"]


def test_what_is_rare_in_the_field_counts_little_and_the_same_detector_saves_less_where_it_is_not():
    answers = watched(synthetic_answers(1500, 1))
    goal = PolicyGoal("time", max_accuracy_drop=0.5)
    rare = HierarchicalPolicy(prior={0: 0.95}, settings=QUICK).fit(answers, goal)
    often = HierarchicalPolicy(prior={0: 0.2}, settings=QUICK).fit(answers, goal)
    assert rare.chosen.mean_ms < 0.6 * often.chosen.mean_ms


def test_the_first_stage_stops_only_for_the_classes_that_it_may():
    answers = synthetic_answers(1500, 2)
    policy = HierarchicalPolicy(stops_for=(0, 3), settings=QUICK)
    fit = policy.fit(answers, PolicyGoal("time", max_accuracy_drop=1.0))
    seen = policy.replay(fit.specification, answers)
    assert len(fit.specification.stages) > 1
    assert set(seen.named[seen.stopped == 0]) <= {0, 3}
    assert [threshold <= 1 for threshold in fit.specification.stages[0].threshold] == [
        one in (0, 3) for one in range(10)
    ]


def test_expected_accuracy_counts_rows_by_the_prior():
    answers = synthetic_answers(1000, 3)
    policy = HierarchicalPolicy(prior={0: 0.7}, settings=QUICK)
    fit = policy.fit(answers, PolicyGoal("time", max_accuracy_drop=1.0))
    right = policy.replay(fit.specification, answers).named == answers.y
    by_hand = 0.7 * right[answers.y == 0].mean() + 0.3 * right[answers.y != 0].mean()
    assert fit.specification.expected["accuracy"] == pytest.approx(by_hand)


def test_class_weights_by_hand():
    y = np.array([0, 0, 0, 1, 2, 2])
    assert class_weights(y, {0: 0.8}, 3) == pytest.approx([1.6, 1.6, 1.6, 0.4, 0.4, 0.4])
    assert class_weights(y, {0: 0.5, 1: 0.5}, 3) == pytest.approx([1, 1, 1, 3, 0, 0])


@pytest.mark.parametrize(
    ("prior", "message"),
    [
        ({5: 0.1}, "names class 5, but the networks tell classes 0 to 2 apart"),
        ({0: 1.5}, "class 0 is 1.5: give a share from 0 to 1"),
        ({0: 0.7, 1: 0.6}, "add up to 1.3"),
        ({2: 0.5}, "class 2 is 0.5, but no row is of it"),
        ({0: 0.5, 1: 0.2, 2: 0.0}, "add up to 0.7"),
    ],
)
def test_a_prior_that_makes_no_sense_is_told(prior, message):
    with pytest.raises(UsageError, match=message):
        class_weights(np.array([0, 0, 1, 1]), prior, 3)


def test_a_class_that_does_not_exist_is_told():
    with pytest.raises(UsageError, match="cannot stop for class 10"):
        HierarchicalPolicy(stops_for=(10,)).fit(synthetic_answers(100, 0), PolicyGoal())


def test_hierarchical_policies_pass_the_suite():
    check_policy(lambda: HierarchicalPolicy((0, 1), settings=QUICK))
    answers = watched(synthetic_answers(1200, 1)), watched(synthetic_answers(20_000, 2), seed=8)
    check_policy(lambda: HierarchicalPolicy(settings=QUICK), answers, leave_out=("limits", "same"))
