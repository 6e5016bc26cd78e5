"""What `compress` is given, and how steps are counted."""

import numpy as np
import pytest

from benchmarks.compression.originals import data_of, explained
from benchmarks.compression.running import Steps
from benchmarks.compression.tasks import Rows, Split, get_task


def split(y):
    count = len(y)
    rows = Rows(np.arange(count, dtype=np.float32)[:, None], y, np.arange(count), np.arange(count))
    test = Rows(rows.x - 1e6, rows.y, rows.cluster, rows.unit)
    return Split(rows, rows, test)


def test_compress_never_sees_a_test_row_and_what_stands_in_for_them_is_no_validation_row():
    data = data_of(split(np.zeros(300, np.int64)), get_task("sound"))
    assert len(data.x_test) == 100
    assert data.x_test.min() >= 0
    assert sorted(np.concatenate([data.x_val, data.x_test]).ravel().tolist()) == list(range(300))
    assert data.loss is data.metric is None


def test_a_regression_has_a_loss_and_a_score_of_its_own():
    data = data_of(split(np.zeros((300, 3), np.float32)), get_task("image-colour"))
    assert data.loss == "mean_squared_error"
    assert data.metric is explained


class _Model:
    def predict(self, x):
        return x


def test_the_explained_share_is_one_for_the_truth_and_zero_for_the_mean():
    y = np.array([[0.0], [1.0], [2.0]])
    assert explained(_Model(), (y, y)) == 1
    assert explained(_Model(), (np.ones((3, 1)), y)) == pytest.approx(0)


def test_steps_are_counted_where_batches_are_augmented():
    steps = Steps(lambda x: x + 1)
    assert steps(np.zeros(4)).tolist() == [1, 1, 1, 1]
    steps(np.zeros(3))
    assert (steps.steps, steps.rows) == (2, 7)
