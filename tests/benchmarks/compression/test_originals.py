"""The networks before anything is cut."""

import keras
import numpy as np
import pytest

from benchmarks.compression.originals import train_alone
from benchmarks.compression.schedules import PLANS, told
from compressor.data import Data
from compressor.training import Schedule


@pytest.mark.parametrize(("last", "score"), [(False, 1.0), (True, 0.0)])
def test_the_best_epoch_is_kept_or_the_last_one_also_where_it_was_killed_after_that(last, score, tmp_path):
    x = np.tile(np.array([[1.0], [-1.0]], np.float32), (8, 1))
    sign = (x[:, 0] > 0).astype(np.int64)
    # What it is taught is the opposite of what is right on validation, and of what it knows already.
    data = Data(x, 1 - sign, x, sign, x_test=x, y_test=sign)
    schedule = Schedule(epochs=30, batch_size=16, learning_rate=0.5, patience=30, alpha=0.0)
    for _ in range(2):
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(2, activation="softmax")])
        model.set_weights([np.array([[-2.0, 2.0]], np.float32), np.zeros(2, np.float32)])
        found, _ = train_alone(model, data, schedule, 0, tmp_path / "checkpoint.npz", last)
        assert found == score
        assert np.mean(model.predict(x, verbose=0).argmax(1) == sign) == score


def test_the_report_says_where_the_last_epoch_is_kept():
    assert "the last one's weights" in told("sound", PLANS["sound"])
    assert "the last one's weights" not in told("motion", PLANS["motion"])
