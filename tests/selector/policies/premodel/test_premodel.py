"""Premodels: the right network by cheap features, what that costs, and the same at run time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from profiler.errors import BudgetError, DataError, UsageError
from selector.candidates import Answers
from selector.policies import PolicyGoal
from selector.policies.premodel.fitting import PremodelPolicy, fit_premodel
from selector.policies.premodel.search import PremodelSettings
from selector.runtime import Block, PolicyNetwork
from selector.runtime.premodel.running import PremodelRunner, first_claim
from selector.runtime.runner import Trace
from selector.testing import check_policy

CLASSES = 3
QUICK = PremodelSettings(classifiers=("knn", "tree", "naive_bayes"), features="signal", folds=3)


def answers_of(right, times_ms=(0.1, 1.0, 10.0), seed=0, dtypes=("float32",) * 3):
    """Networks that name the class where they are right and the next one where not, with some spread of confidence."""
    right = np.asarray(right, bool)
    networks, rows = right.shape
    random = np.random.default_rng(seed)
    y = random.integers(0, CLASSES, rows)
    named = np.where(right, y, (y + 1) % CLASSES)
    p = np.full((networks, rows, CLASSES), 0.1)
    np.put_along_axis(p, named[..., None], random.uniform(0.5, 0.8, (networks, rows, 1)), axis=2)
    p /= p.sum(axis=2, keepdims=True)
    known = tuple(
        PolicyNetwork(f"n{i}.tflite", f"n{i}", times_ms[i], dtype=dtypes[i]) for i in range(networks)
    )
    paths = tuple(Path(f"n{i}.tflite") for i in range(networks))
    return Answers(known, paths, np.log(p).astype(np.float32), y, source="d.npz")


@pytest.fixture(scope="module")
def telling():
    """Loud signals are easy: the fast network is right there; the slow one is right but for a few."""
    random = np.random.default_rng(1)
    loud = np.arange(300) % 3 > 0
    inputs = random.normal(size=(300, 40)) * np.where(loud, 5.0, 0.5)[:, None]
    right = np.stack([loud, loud | (random.random(300) < 0.5), random.random(300) < 0.97])
    return answers_of(right), inputs.astype(np.float32)


def test_it_learns_which_inputs_are_easy(telling):
    answers, inputs = telling
    goal = PolicyGoal("time", max_accuracy_drop=1.0)
    fit = fit_premodel(answers, goal, inputs, settings=QUICK, scale=0.0, device="d")
    assert fit.chosen.expected_accuracy >= answers.right[2].mean() - 0.01
    # two thirds are loud; what is measured counts nothing here
    assert fit.chosen.mean_ms == pytest.approx(2 / 3 * 0.1 + 1 / 3 * 10, rel=0.05)
    assert fit.specification.expected["single_ms"] == 10.0
    assert [one.kind for one in fit.baselines][-3:-1] == ["oracle", "ensemble"]
    assert any("measured on this machine" in note for note in fit.notes)
    assert sum(fit.chosen.stop_shares) == pytest.approx(1)


def test_time_of_features_and_classifiers_is_counted(telling):
    answers, inputs = telling
    goal = PolicyGoal("time", max_accuracy_drop=1.0)
    dear = PremodelPolicy(QUICK, scale=1e6, nearest=True).fit(answers, goal, inputs=inputs)
    overhead = dear.specification.settings["overhead_ms"]
    assert min(overhead) > 100  # a microsecond is a second there
    assert dear.chosen.mean_ms > 100
    assert any("multiplied by 1e+06" in note for note in dear.notes)


def test_a_failed_row_that_is_foreseen_is_still_wrong():
    random = np.random.default_rng(0)
    hopeless = np.arange(200) % 2 == 0
    inputs = random.normal(size=(200, 30)) * np.where(hopeless, 9.0, 1.0)[:, None]
    answers = answers_of(np.stack([~hopeless, ~hopeless]), (0.1, 1.0))
    fit = fit_premodel(answers, PolicyGoal("accuracy"), inputs, settings=QUICK, nearest=True)
    assert fit.chosen.accuracy == pytest.approx(0.5, abs=0.02)


def test_what_misses_the_goal_is_refused_or_given_with_a_note():
    random = np.random.default_rng(3)
    answers = answers_of(random.random((3, 240)) < np.array([[0.4], [0.6], [0.95]]))
    inputs = random.normal(size=(240, 20))  # tells nothing
    goal = PolicyGoal("time", max_accuracy_drop=0.1, budget_ms=2.0)
    with pytest.raises(
        BudgetError, match=r"No premodel meets the goal; the nearest takes .* loses .* points"
    ):
        fit_premodel(answers, goal, inputs, settings=QUICK)
    fit = fit_premodel(answers, goal, inputs, settings=QUICK, nearest=True)
    assert fit.notes[0].startswith("No premodel meets the goal")


def test_few_rows_are_refused_in_one_sentence(telling):
    answers, inputs = telling
    with pytest.raises(UsageError, match=r"d\.npz has 20 rows"):
        fit_premodel(answers.at(np.arange(20)), PolicyGoal(), inputs[:20], settings=QUICK)
    with pytest.raises(
        DataError, match=r"d\.npz has 300 rows, and to promise with 95% .* takes at least \d{3}"
    ):
        fit_premodel(answers, PolicyGoal(max_accuracy_drop=1, confidence=0.95), inputs, settings=QUICK)


PROMISED = PolicyGoal("time", max_accuracy_drop=3.0, confidence=0.9)
CHEAP = PremodelSettings(classifiers=("tree",), features="signal", folds=3)


def test_a_promise_is_tested_on_rows_that_chose_nothing():
    answers, inputs = loud_and_quiet(2000, 1)
    fit = fit_premodel(answers, PROMISED, inputs, settings=CHEAP, scale=0.0)
    promise = fit.specification.promise
    assert promise["sentence"].startswith(
        "With 90% confidence this policy loses at most 3 points of accuracy against n2"
    )
    assert promise["rows"] == fit.specification.expected["rows"] == 1000
    assert fit.specification.expected["mean_ms"] < 6
    new, new_inputs = loud_and_quiet(20_000, 2)
    seen = PremodelPolicy().replay(fit.specification, new, inputs=new_inputs)
    assert new.right[2].mean() - (seen.named == new.y).mean() <= 0.03


def test_what_cannot_be_promised_lets_the_best_network_run_alone():
    """The features tell nothing, so that whatever is faster loses many rows."""
    random = np.random.default_rng(0)
    answers = answers_of(random.random((2, 900)) < np.array([[0.5], [0.95]]), (0.1, 1.0))
    inputs = random.normal(size=(900, 20))
    goal = PolicyGoal("time", max_accuracy_drop=1.0, confidence=0.95)
    fit = fit_premodel(answers, goal, inputs, settings=CHEAP)
    assert fit.specification.promise is None
    assert (fit.specification.kind, [one.name for one in fit.specification.networks]) == ("static", ["n1"])
    assert fit.notes[0].startswith(
        "No policy is shown with 95% confidence on 450 rows to lose at most 1 points, so n1 runs alone"
    )
    with pytest.raises(BudgetError, match=r"within the times that are allowed; the nearest, n1, takes 1 ms"):
        fit_premodel(answers, PolicyGoal("time", 0.5, None, 1.0, 0.95), inputs, settings=CHEAP)


class KnownNetwork:
    """Answers rows, whose first input number is their number, by a table."""

    def __init__(self, known, table):
        self.known, self.table, self.rows = known, table, []

    def run(self, block, rows, fed=None, keep=(), timed=False):
        from selector.runtime.network import Run

        numbers = next(iter(block.inputs.values()))[rows, -1].astype(int)
        self.rows += numbers.tolist()
        return Run(self.table[numbers], {}, None)


@pytest.mark.parametrize("features", ["signal", "answer"])
@pytest.mark.parametrize("structure", ["levels", "single"])
def test_running_picks_as_replaying_does_and_runs_nothing_else(telling, features, structure):
    answers, inputs = telling
    inputs = np.column_stack([inputs, np.arange(len(inputs))]).astype(np.float32)
    settings = PremodelSettings(
        classifiers=("tree",), structures=(structure,), features=features, folds=3, theta=0.01
    )
    policy = PremodelPolicy(settings, nearest=True)
    specification = policy.fit(answers, PolicyGoal("accuracy"), inputs=inputs).specification
    seen = policy.replay(specification, answers, inputs=inputs)
    tables = {one.name: np.exp(p) for one, p in zip(answers.networks, answers.log_probabilities, strict=True)}
    networks = [KnownNetwork(one, tables[one.name]) for one in specification.networks]
    runner = PremodelRunner(specification, networks)
    trace = Trace.of(len(inputs), len(networks))
    outputs = runner.answer(Block({"": inputs}), trace)
    assert np.array_equal(outputs.argmax(axis=1), seen.named)
    assert np.array_equal(trace.stage, seen.stopped)
    assert trace.predicted_ms == pytest.approx(seen.ms)
    assert seen.ms.max() <= seen.longest_ms + 1e-9
    ran = sum(len(one.rows) for one in networks)
    again = (seen.stopped >= 0).sum()
    assert ran <= again + (len(inputs) if features == "answer" else 0)


def test_a_row_whose_chosen_network_answers_nan_is_answered_by_the_single_one(telling):
    answers, inputs = telling
    inputs = np.column_stack([inputs, np.arange(len(inputs))]).astype(np.float32)
    settings = PremodelSettings(classifiers=("tree",), features="signal", folds=3)
    specification = (
        PremodelPolicy(settings, nearest=True)
        .fit(answers, PolicyGoal("accuracy"), inputs=inputs)
        .specification
    )
    tables = {one.name: np.exp(p) for one, p in zip(answers.networks, answers.log_probabilities, strict=True)}
    networks = [KnownNetwork(one, tables[one.name].copy()) for one in specification.networks]
    assert specification.networks[0].name == "n0"
    networks[0].table[:] = np.nan
    trace = Trace.of(len(inputs), len(networks))
    outputs = PremodelRunner(specification, networks).answer(Block({"": inputs}), trace)
    assert np.isfinite(outputs).all()
    assert trace.untrusted.any()
    assert (trace.stage[trace.untrusted] == -1).all()


def test_levels_claim_in_order_and_the_rest_is_passed_on():
    def claims_above(limit):
        arrays = {
            "classes": np.array([0, 1]),
            "weights": np.array([[1.0]]),
            "offsets": np.array([-float(limit)]),
        }
        return "svm_linear", arrays

    values = np.array([[3.0], [2.0], [1.0], [0.0]])
    assert first_claim([claims_above(2.5), claims_above(0.5)], values).tolist() == [0, 1, 1, 2]
    assert first_claim([claims_above(0.5), claims_above(2.5)], values).tolist() == [0, 0, 0, 2]


def loud_and_quiet(rows, seed):
    """Rows as in `telling`, of another draw."""
    random = np.random.default_rng(seed)
    loud = np.arange(rows) % 3 > 0
    inputs = random.normal(size=(rows, 40)) * np.where(loud, 5.0, 0.5)[:, None]
    right = np.stack([loud, loud | (random.random(rows) < 0.5), random.random(rows) < 0.97])
    return answers_of(right, seed=seed), inputs.astype(np.float32)


def test_it_passes_the_suite_of_policies_but_for_what_cross_validation_says_otherwise():
    """Its accuracy is of rows left out, so replaying its own rows gives more; where it cannot meet a goal it says so."""
    settings = PremodelSettings(classifiers=("tree", "naive_bayes"), features="signal", folds=3)
    (known, inputs), (new, new_inputs) = loud_and_quiet(600, 4), loud_and_quiet(900, 5)
    check_policy(
        lambda: PremodelPolicy(settings, scale=0.0),
        (known, new),
        (inputs, new_inputs),
        leave_out=("expectations", "limits"),
    )
