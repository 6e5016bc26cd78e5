"""Weights by which the answers of stages are combined."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from selector.policies.stages.combining import RIDGE, Combiner, likeliest_weights
from selector.runtime import log_softmax
from selector.testing import synthetic_answers


def negative_likelihood(weights, log_p, y):
    scores = np.tensordot(weights, log_p, 1)
    goal = np.eye(len(weights))[-1]
    normal = np.log(np.exp(scores).sum(axis=1))
    return -(scores[np.arange(len(y)), y] - normal).mean() + RIDGE / 2 * ((weights - goal) ** 2).sum()


@pytest.mark.parametrize("chain", [(0,), (3,), (0, 1), (0, 3), (1, 2, 3), (0, 1, 2, 3)])
def test_weights_are_those_that_a_general_optimiser_finds(chain):
    answers = synthetic_answers(400, 3)
    log_p = answers.log_probabilities[list(chain)].astype(np.float64)
    counts = np.full(400, 1 / 400)
    found = likeliest_weights(log_p, answers.y, counts)
    bounds = [(0, None)] * len(chain)
    best = minimize(negative_likelihood, np.ones(len(chain)), (log_p, answers.y), bounds=bounds, tol=1e-12)
    assert (found >= 0).all()
    assert negative_likelihood(found, log_p, answers.y) == pytest.approx(best.fun, abs=1e-6)


def test_a_network_that_is_too_sure_is_cooled_down_to_its_temperature():
    """Labels are drawn from p; the network says the same with scores three times too large."""
    rng = np.random.default_rng(0)
    p = log_softmax(2 * rng.normal(size=(20_000, 5)))
    y = (rng.gumbel(size=p.shape) + p).argmax(axis=1)
    combiner = Combiner(log_softmax(3 * p)[None], y)
    assert combiner.weights([0])[0] == pytest.approx(1 / 3, rel=0.05)
    assert combiner.combined([0]) == pytest.approx(p, abs=0.3)


def test_a_network_that_knows_nothing_gets_no_weight():
    answers = synthetic_answers(3000, 1)
    noise = log_softmax(np.random.default_rng(9).normal(size=answers.log_probabilities[0].shape)).astype(
        np.float32
    )
    combiner = Combiner(np.stack([noise, answers.log_probabilities[3]]), answers.y)
    nothing, best = combiner.weights((0, 1))
    assert nothing < 0.05 < 0.5 < best


def test_two_networks_that_see_different_things_are_better_together():
    answers = synthetic_answers(4000, 2, strengths=(2.0, 2.0), times_ms=(1, 2), shared=0.0)
    combiner = Combiner(answers.log_probabilities, answers.y)
    first, second = combiner.weights((0, 1))
    assert first == pytest.approx(second, rel=0.15)
    assert (combiner.combined((0, 1)).argmax(axis=1) == answers.y).mean() > answers.right.mean(
        axis=1
    ).max() + 0.04


def test_rows_count_as_often_as_their_weight_says():
    answers = synthetic_answers(300, 4)
    counts = np.where(np.arange(300) < 100, 2.0, 1.0)
    doubled = np.concatenate([np.arange(300), np.arange(100)])
    weighted = Combiner(answers.log_probabilities, answers.y, counts).weights((1, 3))
    repeated = Combiner(answers.log_probabilities[:, doubled], answers.y[doubled]).weights((1, 3))
    assert weighted == pytest.approx(repeated, abs=1e-5)


def test_nothing_is_fitted_where_the_last_network_counts_alone():
    answers = synthetic_answers(50, 0)
    combiner = Combiner(answers.log_probabilities, answers.y, fixed=True)
    assert combiner.weights((0, 2)) == (0.0, 1.0)
    assert combiner.combined((0, 2)) == pytest.approx(answers.log_probabilities[2], abs=1e-5)


def test_one_class_that_always_comes_has_weights_too():
    log_p = log_softmax(np.random.default_rng(0).normal(size=(2, 40, 3))).astype(np.float32)
    assert np.isfinite(Combiner(log_p, np.zeros(40, np.int64)).weights((0, 1))).all()
