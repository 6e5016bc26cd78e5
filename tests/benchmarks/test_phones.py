"""The arithmetic of the phones benchmark: folds, the floor, and predictors that see only what they may."""

import numpy as np
import pytest

from benchmarks.phones import FOLDS, PREDICTORS, cross_validated, floor, whole_network
from profiler.operators import conv_2d, depthwise_conv_2d


def networks(count):
    rng = np.random.default_rng(0)
    return [
        [
            conv_2d(14, 14, 8, int(rng.integers(8, 64)), (1, 1)),
            depthwise_conv_2d(14, 14, int(rng.integers(8, 64))),
            conv_2d(7, 7, 16, int(rng.integers(8, 64))),
        ]
        for _ in range(count)
    ]


def times(layers, phones=3):
    work = np.array([sum(layer.macs for layer in one) for one in layers], dtype=float)
    return (work[:, None] + 1e5) * np.arange(1, phones + 1) * 1e-6


def test_every_network_is_predicted_once_by_what_has_not_seen_it():
    known = networks(30)
    measured = times(known)
    seen = []

    def predictor(training, training_times, unseen):
        assert len(training) == len(training_times)
        assert not {id(n) for n in training} & {id(n) for n in unseen}
        seen.extend(id(n) for n in unseen)
        return np.ones((len(unseen), 3))

    assert cross_validated(known, measured, predictor, 0).shape == (30, 3)
    assert sorted(seen) == sorted(id(n) for n in known)
    assert FOLDS == 10


@pytest.mark.parametrize("name", [name for name in PREDICTORS if "per phone" not in name])
def test_predictors_do_better_than_a_guess(name):
    known = networks(60)
    measured = times(known)
    off = np.abs(PREDICTORS[name](known[:48], measured[:48], known[48:]) / measured[48:] - 1)
    guess = np.abs(measured[:48].mean(axis=0) / measured[48:] - 1)
    assert off.shape == (12, 3)
    assert off.mean() < guess.mean()


def test_floor_compares_columns_of_one_phone_after_rescaling():
    base = np.array([1.0, 2.0, 3.0, 4.0])
    off = np.array([1.0, 1.0, 1.0, 1.5])
    rows = floor(["A_0", "A_0.1", "B_6.1_Plus_0"], np.column_stack([base, 7 * base * off, base]))
    assert [row["phone"] for row in rows] == ["A_0"]
    assert rows[0]["mean_error"] == pytest.approx(0.125)
    assert rows[0]["within_10"] == 0.75


def test_black_boxes_see_as_many_features_for_any_network():
    table = whole_network(networks(5))
    assert table.shape[0] == 5
    assert np.isfinite(table).all()
