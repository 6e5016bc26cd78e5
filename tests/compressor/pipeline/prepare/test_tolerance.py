"""How sure a difference of scores is that was seen on few rows."""

import numpy as np
import pytest

from compressor.data import Data
from compressor.pipeline.prepare import (
    levelled,
    luck,
    standard_error,
)
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


def test_luck_is_the_standard_error_of_the_originals_accuracy():
    assert luck(task(400)[0], 0.9) == pytest.approx(0.015)  # sqrt(0.9 * 0.1 / 400)
    assert luck(task(400)[0], 1.0) == pytest.approx(1 / 400)  # one row is always luck


def test_a_metric_of_the_users_own_knows_none():
    assert luck(task(400, lambda model, rows: 0.5)[0], 0.9) == 0.0


def test_a_goal_is_eased_by_it_where_it_is_about_the_score():
    assert Goal(least_score=0.9).relaxed(0.015).least_score == pytest.approx(0.885)
    assert Goal(budget_ms=1.0).relaxed(0.015) == Goal(budget_ms=1.0)


def test_scores_are_drawn_halfway_to_the_line_over_the_logarithm_of_the_cost():
    # Over costs 1, 2, 4 the line through 0.90, 0.93, 0.92 rises by 0.01 a doubling: 0.9067, 0.9167, 0.9267.
    drawn = levelled([0.90, 0.93, 0.92], [1.0, 2.0, 4.0], [0.01] * 3, 0.91)
    assert drawn == pytest.approx([0.9033, 0.9233, 0.9233], abs=1e-4)


def test_the_line_never_falls():
    assert levelled([0.93, 0.92, 0.91], [1.0, 2.0, 3.0], [0.01] * 3, 0.92) == pytest.approx(
        [0.925, 0.92, 0.915]
    )


def test_networks_far_below_the_limit_have_no_say_and_too_few_draw_no_line():
    costs, errors = [1.0, 2.0, 3.0, 4.0], [0.01] * 4
    near = levelled([0.92, 0.93, 0.94], costs[1:], errors[1:], 0.93)
    with_one_collapsed = levelled([0.50, 0.92, 0.93, 0.94], costs, errors, 0.93)
    assert near is not None
    assert with_one_collapsed == pytest.approx([0.50, *near])
    assert levelled([0.50, 0.92, 0.93], costs[:3], errors[:3], 0.93) is None
    assert levelled([0.92, 0.93, 0.93], [2.0, 2.0, 3.0], errors[:3], 0.93) is None
    assert levelled([0.92, 0.93, 0.94], [0.0, 1.0, float("inf")], errors[:3], 0.93) is None


def test_draws_without_a_class_that_a_metric_needs_do_not_count():
    kind, x, _ = task(40, metric=lambda model, rows: float("nan") if len(set(rows[1])) < 2 else 0.5)
    alike = np.concatenate([np.zeros(39, int), [1]])
    kind = Task("softmax", Data(x=x, y=alike, x_val=x, y_val=alike, metric=kind.data.metric))
    assert standard_error(kind, [answers(alike, ())], answers(alike, ()), x, alike) == 0.0


def test_networks_far_above_the_limit_are_on_the_line_too():
    # Without the third there would be no line, and one unlucky neighbour would leave the dearest as the only choice.
    drawn = levelled([0.8487, 0.8413, 0.8687], [0.0549, 0.0645, 0.0922], [0.008] * 3, 0.8423)
    assert drawn is not None
    assert drawn[0] > 0.8423
    assert drawn[0] == pytest.approx(0.8457, abs=1e-4)  # its own 0.8487, the line 0.8427
