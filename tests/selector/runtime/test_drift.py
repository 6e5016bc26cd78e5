"""Drift is noticed when rows stop elsewhere, and hardly ever when they do not."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace

import numpy as np
import pytest
from tiny_policies import picks, saved, two_stages

from profiler.errors import EdgetimeWarning
from selector.runtime import Drift, load_policy


def alarms(shares, fitted_rows, rows, runs, seed, now=None, block=64):
    """Share of runs with an alarm: shares are fitted on rows of a distribution, then rows of it (or of `now`) are counted."""
    random = np.random.default_rng(seed)
    raised = 0
    for _ in range(runs):
        fitted = random.multinomial(fitted_rows, shares) / fitted_rows
        drift = Drift(fitted, fitted_rows)
        for _ in range(rows // block):
            if drift.add(random.multinomial(block, shares if now is None else now)):
                raised += 1
                break
    return raised / runs


@pytest.mark.parametrize("shares", [(0.7, 0.3), (0.5, 0.3, 0.2), (0.98, 0.02), (0.2, 0.2, 0.2, 0.2, 0.2)])
@pytest.mark.parametrize("fitted_rows", [200, 5000])
def test_false_alarms_are_rarer_than_one_in_a_hundred(shares, fitted_rows):
    # 300 runs of 6,400 rows, looked at 100 times each: of chance 1% more than 9 have a chance of 0.1%.
    assert alarms(shares, fitted_rows, 6400, 300, seed=1) <= 9 / 300


def test_few_fitted_rows_leave_room_for_other_shares():
    few, many = Drift((0.7, 0.3), 20), Drift((0.7, 0.3), 20_000)
    assert not few.add((55, 45))
    assert many.add((550, 450))


@pytest.mark.parametrize(("now", "rows"), [((0.5, 0.5), 256), ((0.6, 0.4), 1536), ((0.0, 1.0), 64)])
def test_a_change_is_noticed_soon(now, rows):
    assert alarms((0.7, 0.3), 2000, rows, 50, seed=2, now=now) >= 0.9


def test_a_change_after_a_long_quiet_time_is_noticed():
    random = np.random.default_rng(3)
    drift = Drift((0.7, 0.3), 5000)
    for _ in range(200):
        assert not drift.add(random.multinomial(100, (0.7, 0.3)))
    blocks = next(count for count in range(1, 100) if drift.add(random.multinomial(100, (0.5, 0.5))))
    assert blocks <= 12


def test_a_stage_that_never_stopped_a_row_does_so_once_in_a_while():
    drift = Drift((1.0, 0.0), 1000)
    assert not drift.add((499, 1))
    assert drift.add((400, 100))


def test_the_evidence_is_the_ratio_of_two_ways_to_foretell_rows():
    drift = Drift((0.5, 0.5), 1)
    drift.add((32, 0))

    def chance(a, b):  # of 32 rows in the first stage
        return math.exp(sum(math.log((a + k) / (a + b + k)) for k in range(32)))

    assert drift.evidence == pytest.approx(chance(0.5, 0.5) / chance(1.0, 1.0) / 2 + 0.5)


def test_it_says_so_once_and_can_begin_anew():
    drift = Drift((0.9, 0.1), 1000)
    assert [drift.add((10, 90)) for _ in range(3)] == [True, False, False]
    assert drift.changed
    assert "now 10%, 90% of 300 rows" in drift.sentence()
    drift.reset()
    assert (drift.changed, drift.rows, drift.evidence) == (False, 0, 1.0)
    assert drift.add((10, 90))


NETS = {"quick": picks([0, 1, 2]), "slow": picks([3, 4, 5])}
TORN = np.repeat(np.array([[0.4, 0.3, 0.3, 0, 0.9, 0.1]], np.float32), 200, axis=0)


def policy_of(tmp_path, **options):
    expected = {"stop_shares": [0.9, 0.1], "rows": 1000}
    return load_policy(saved(tmp_path, replace(two_stages(), expected=expected), **NETS), **options)


def test_a_policy_warns_once_and_goes_on(tmp_path):
    policy = policy_of(tmp_path)
    with pytest.warns(EdgetimeWarning, match=r"policy\.json: Rows stop at other stages"):
        policy(TORN)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        policy(TORN)
    assert policy.trace.stage.tolist() == [1] * 200


def test_a_policy_can_fall_back_to_its_single_network_until_it_is_reset(tmp_path):
    policy = policy_of(tmp_path, on_drift="single")
    with pytest.warns(EdgetimeWarning, match="From here on the best single network answers"):
        policy(TORN)
    answers = policy(TORN)
    assert policy.trace.stage.tolist() == [-1] * 200
    assert answers[0] == pytest.approx([0, 0.9, 0.1])
    assert policy.trace.predicted_ms.tolist() == [4.0] * 200
    policy.drift.reset()
    policy(TORN[:10])
    assert policy.trace.stage.tolist() == [1] * 10


def test_rows_that_come_one_at_a_time_count_too(tmp_path):
    policy = policy_of(tmp_path, on_drift="single")
    with pytest.warns(EdgetimeWarning, match="Rows stop at other stages"):
        assert all(len(policy(TORN[row : row + 1])) == 1 for row in range(96))
    assert policy.trace.stage.tolist() == [-1]


def test_rows_that_are_answered_again_do_not_count(tmp_path):
    policy = policy_of(tmp_path)
    policy(TORN, watch=False)
    policy.single(TORN)
    assert policy.drift.rows == 0


def test_a_policy_that_was_fitted_to_nothing_watches_nothing(tmp_path):
    assert load_policy(saved(tmp_path, replace(two_stages(), expected={}), **NETS)).drift is None
