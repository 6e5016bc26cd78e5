"""What rows that chose nothing show of a loss, and what they cannot."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compressor.data import Data
from compressor.pipeline.result.promise import promise_of
from compressor.training import Task
from profiler.paired import paired_p_value

TASK = Task("softmax", Data(x=np.zeros((2, 1)), y=np.zeros(2, np.int64)))


def outputs(y, wrong):
    """Probabilities of two classes that are right but on the first `wrong` rows."""
    answers = np.where(np.arange(len(y)) < wrong, 1 - y, y)
    return np.eye(2)[answers] * 0.8 + 0.1


def promised(rows, wrong_before, wrong_after, asked=None, groups=None):
    y = np.arange(rows) % 2
    x = np.zeros((rows, 1))
    return promise_of(TASK, outputs(y, wrong_before), outputs(y, wrong_after), x, y, groups, asked)


def test_the_claim_is_the_least_loss_whose_opposite_is_ruled_out():
    found = promised(600, 20, 23)
    assert found.lost == pytest.approx(3 / 600)
    assert paired_p_value(3, 0, 600, found.most) <= 0.05
    assert paired_p_value(3, 0, 600, found.most - 0.002) > 0.05


def test_nothing_lost_on_640_rows_shows_half_a_point():
    found = promised(640, 20, 20, asked=0.005)
    assert found.holds
    assert found.units_needed is None
    assert found.sentence == (
        "With 95% confidence at most 0.47 points of accuracy are lost on new data of the same kind "
        "(640 test rows that chose nothing)."
    )


def test_too_few_rows_say_how_many_would_do():
    found = promised(100, 5, 5, asked=0.005)
    assert not found.holds
    assert found.units_needed is not None
    assert found.units_needed > 600
    assert f"about {found.units_needed:,} rows would show 0.5 points" in found.sentence


def test_where_more_is_lost_than_was_allowed_no_number_of_rows_is_named():
    found = promised(1000, 20, 60, asked=0.005)
    assert found.units_needed is None
    assert "on these 4 points were lost" in found.sentence


@settings(max_examples=25)
@given(rows=st.integers(20, 400), before=st.integers(0, 10), more=st.integers(-5, 10))
def test_what_is_claimed_is_never_below_what_was_seen(rows, before, more):
    found = promised(rows, before, max(0, before + more))
    assert found.most is None or found.most >= found.lost


def test_groups_are_what_is_independent():
    rows = promised(400, 10, 10)
    groups = promised(400, 10, 10, groups=np.arange(400) // 100)
    assert (groups.unit, groups.units) == ("groups", 4)
    assert groups.most is None or groups.most > 10 * rows.most


def test_what_few_groups_would_show_were_they_normal_is_said_and_not_promised():
    found = promised(400, 10, 14, asked=0.02, groups=np.arange(400) % 8)
    assert found.most is None or found.most > 0.3
    assert 0.01 < found.most_if_normal < 0.03
    assert not found.holds
    assert (
        "Were the losses of groups spread normally, which 8 groups cannot show, it would be at most"
        in found.sentence
    )
    assert promised(400, 10, 14).most_if_normal is None


def test_a_single_group_rules_nothing_out():
    found = promised(400, 10, 10, groups=np.zeros(400))
    assert found.most is None
    assert "there is too little data (1 test group that chose nothing)" in found.sentence


def test_the_worst_class_and_group_are_named():
    y = np.arange(200) % 2
    before, after = outputs(y, 0), outputs(y, 0)
    after[(y == 1) & (np.arange(200) < 40)] = [0.9, 0.1]
    found = promise_of(TASK, before, after, np.zeros((200, 1)), y, np.repeat(["a", "b"], 100))
    assert found.worst_class == ("1", pytest.approx(0.2))
    assert found.worst_group == ("a", pytest.approx(0.2))
    assert found.agreement == pytest.approx(0.9)


def test_calibration_is_how_far_a_network_is_from_as_sure_as_it_is_right():
    found = promised(500, 50, 0)
    assert found.calibration_before == pytest.approx(
        0.18, abs=0.005
    )  # 80% of rows sure by 0.9, 10% of them wrong
    assert found.calibration_after == pytest.approx(0.1)


def test_a_metric_of_the_users_own_is_tested_by_bootstrap():
    rng = np.random.default_rng(0)
    y = rng.normal(size=300)
    task = Task("values", Data(x=np.zeros((2, 1)), y=np.zeros(2), loss="mse", metric=lambda m, d: -float(
        np.mean((m.predict(d[0]) - d[1]) ** 2)
    )))  # fmt: skip
    worse = y + rng.normal(scale=0.5, size=300)
    found = promise_of(task, y, worse, np.zeros((300, 1)), y)
    assert found.lost < found.most < 2 * found.lost
    assert "of score are lost" in found.sentence


@pytest.mark.parametrize(("seconds", "known"), [(0.1, True), (0.7, True), (0.8, False)])
def test_a_slow_metric_is_asked_for_half_a_minute_at_most(monkeypatch, seconds, known):
    now = [0.0]
    monkeypatch.setattr("compressor.pipeline.result.promise.time.monotonic", lambda: now[0])
    y = np.random.default_rng(0).normal(size=20)

    def score(outputs, x, y):
        now[0] += seconds / 2
        return -float(np.mean((outputs - y) ** 2))

    task = SimpleNamespace(counts_right=False, score=score)
    found = promise_of(task, y, y + 0.1, np.zeros((20, 1)), y)
    assert now[0] < 32
    assert (found.most is not None) == known


def test_a_bound_that_chooses_is_the_same_however_slow_the_machine_is(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("compressor.pipeline.result.promise.time.monotonic", lambda: now[0])
    y = np.random.default_rng(0).normal(size=20)

    def most(seconds):
        def score(outputs, x, y):
            now[0] += seconds / 2
            return -float(np.mean((outputs - y) ** 2))

        task = SimpleNamespace(counts_right=False, score=score)
        after = y + np.linspace(0, 1, 20)
        return promise_of(task, y, after, np.zeros((20, 1)), y, asked=0.01, no_tighter=True).most

    assert most(0.0) == most(0.5) == most(10.0) > 0.01
