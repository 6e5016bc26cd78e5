"""How sure a difference of scores is that was seen on few rows."""

import numpy as np
import pytest

from compressor.data import Data
from compressor.pipeline.prepare.tolerance import standard_error, tolerance
from compressor.search import Goal
from compressor.training import Task


def task(rows, metric=None):
    y = np.arange(rows) % 2
    x = np.zeros((rows, 1), np.float32)
    return Task("softmax", Data(x=x, y=y, x_val=x, y_val=y, metric=metric)), x, y


def answers(y, wrong):
    """Outputs that are right but for the rows `wrong`."""
    given = np.where(np.isin(np.arange(len(y)), list(wrong)), 1 - y, y)
    return np.eye(2, dtype=np.float32)[given]


def test_rows_that_both_get_wrong_do_not_count():
    kind, x, y = task(100)
    hard = range(30)
    same = standard_error(kind, [answers(y, hard)], answers(y, hard), x, y)
    assert same == pytest.approx(1 / 100)  # one row's worth, and no less
    assert standard_error(kind, [answers(y, range(30, 60))], answers(y, hard), x, y) > 0.05


def test_it_is_the_standard_error_of_the_mean_difference():
    kind, x, y = task(400)
    # 40 rows lost, 20 gained: the difference of a row is -1, 0 or 1
    found = standard_error(kind, [answers(y, range(40))], answers(y, range(360, 380)), x, y)
    gains = np.zeros(400)
    gains[:40], gains[360:380] = -1, 1
    assert found == pytest.approx(gains.std() / 20, rel=0.15)


def test_seeds_that_disagree_make_it_larger():
    kind, x, y = task(200)
    original = answers(y, ())
    alike = [answers(y, range(20))] * 3
    apart = [answers(y, range(0)), answers(y, range(20)), answers(y, range(40))]
    assert standard_error(kind, apart, original, x, y) > 1.3 * standard_error(kind, alike, original, x, y)


def test_a_metric_of_ones_own_is_drawn_too():
    def metric(model, rows):
        x, y = rows
        return float(np.mean(model.predict(x).argmax(axis=-1) == y))

    kind, x, y = task(200, metric)
    plain, _, _ = task(200)
    outputs, original = [answers(y, range(30))], answers(y, ())
    assert standard_error(kind, outputs, original, x, y) == pytest.approx(
        standard_error(plain, outputs, original, x, y), rel=0.35
    )
    assert standard_error(kind, [original], original, x, y) == 0.0


def test_the_tolerance_is_the_standard_error_of_the_originals_accuracy():
    assert tolerance(task(400)[0], 0.9) == pytest.approx(0.015)  # sqrt(0.9 * 0.1 / 400)
    assert tolerance(task(400)[0], 1.0) == pytest.approx(1 / 400)  # one row is always luck


def test_a_metric_of_the_users_own_knows_none():
    assert tolerance(task(400, lambda model, rows: 0.5)[0], 0.9) == 0.0


def test_a_goal_is_relaxed_by_it_where_it_is_about_the_score():
    assert Goal(least_score=0.9).relaxed(0.015).least_score == pytest.approx(0.885)
    assert Goal(budget_ms=1.0).relaxed(0.015) == Goal(budget_ms=1.0)


def test_draws_without_a_class_that_a_metric_needs_do_not_count():
    kind, x, _ = task(40, metric=lambda model, rows: float("nan") if len(set(rows[1])) < 2 else 0.5)
    alike = np.concatenate([np.zeros(39, int), [1]])
    kind = Task("softmax", Data(x=x, y=alike, x_val=x, y_val=alike, metric=kind.data.metric))
    assert standard_error(kind, [answers(alike, ())], answers(alike, ()), x, alike) == 0.0
