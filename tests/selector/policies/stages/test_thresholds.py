"""The best thresholds of one chain."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selector.policies.stages.thresholds import (
    BARRED,
    NEVER,
    StageRows,
    best_thresholds,
    class_thresholds,
    stops_at,
)


def stage(confidence, wrong, total_ms, named=None):
    rows = len(confidence)
    return StageRows(
        np.array(confidence, np.float32),
        np.array(wrong, float),
        np.zeros(rows, int) if named is None else np.array(named),
        float(total_ms),
    )


def cost(stages, thresholds, price):
    stopped = stops_at(stages, np.asarray(thresholds))
    return np.mean(
        [stages[place].loss[row] + price * stages[place].total_ms for row, place in enumerate(stopped)]
    )


FIVE_ROWS = [
    stage([0.9, 0.8, 0.6, 0.5, 0.1], [0, 0, 1, 0, 1], 1),
    stage([1, 1, 1, 1, 1], [0, 0, 0, 1, 0], 10),
]
"""Two networks of 1 and 9 ms; only the first is right on the fourth row, only the second on the third and the fifth."""


@pytest.mark.parametrize(
    ("price", "stops", "threshold"),
    [
        (0.0, 2, 0.7),  # the surest two stop: time is free, and after them stopping costs an error
        (0.01, 2, 0.7),  # nine ms are worth 0.09: rows 3 and 4 together are worth an error less and one more
        (0.2, 5, 0.0),  # nine ms are worth 1.8 errors: all stop
    ],
)
def test_a_threshold_of_two_networks_on_five_rows(price, stops, threshold):
    """Worked out by hand: stopping saves 9 ms and adds the first network's error less the second's (0, 0, 1, -1, 1)."""
    (found,) = best_thresholds(FIVE_ROWS, np.array([price]))
    if price == 0.0:  # none, two or four rows are as good as each other: no row stops for nothing
        assert found[0] == NEVER
    elif price == 0.01:  # savings 0.09 a row: 2 rows 0.18, 4 rows 0.36
        assert found[0] == pytest.approx(0.3)
    else:
        assert found[0] == threshold
        assert (stops_at(FIVE_ROWS, found) == 0).sum() == stops


def test_rows_that_are_as_sure_as_each_other_stop_together():
    stages = [stage([0.8, 0.8, 0.2], [0, 1, 1], 1), stage([1, 1, 1], [1, 0, 0], 2)]
    for price in (1e-6, 0.01, 0.3):
        (found,) = best_thresholds(stages, np.array([price]))
        assert (stops_at(stages, found) == 0).sum() in (0, 2, 3)


def test_rows_that_may_not_stop_do_not():
    stages = [stage([BARRED, 0.5, BARRED], [0, 0, 0], 1), stage([1, 1, 1], [0, 0, 0], 100)]
    (found,) = best_thresholds(stages, np.array([1.0]))
    assert stops_at(stages, found).tolist() == [1, 0, 1]


@st.composite
def chains(draw):
    """Up to three stages on up to seven rows, with few levels of confidence so that some are equal."""
    rows = draw(st.integers(1, 7))
    count = draw(st.integers(2, 3))
    levels = st.sampled_from([BARRED, 0.0, 0.25, 0.5, 0.75, 1.0])
    lists = st.lists(levels, min_size=rows, max_size=rows)
    errors = st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=rows, max_size=rows)
    times = np.cumsum(draw(st.lists(st.sampled_from([1.0, 3.0, 10.0]), min_size=count, max_size=count)))
    return [stage(draw(lists), draw(errors), times[place]) for place in range(count)]


ALL = [NEVER, 0.875, 0.625, 0.375, 0.125, 0.0]


@given(chains(), st.sampled_from([0.0, 0.01, 0.1, 1.0]))
@settings(max_examples=150, deadline=None)
def test_two_stages_are_as_good_as_any_threshold_and_three_nearly_always(stages, price):
    (found,) = best_thresholds(stages, np.array([price]))
    best = min(cost(stages, one, price) for one in itertools.product(ALL, repeat=len(stages) - 1))
    never = cost(stages, [NEVER] * (len(stages) - 1), price)
    assert cost(stages, found, price) <= never + 1e-9
    if len(stages) == 2:
        assert cost(stages, found, price) == pytest.approx(best)
    else:  # no single stage can do better
        for place, other in itertools.product(range(2), ALL):
            changed = found.copy()
            changed[place] = other
            assert cost(stages, found, price) <= cost(stages, changed, price) + 1e-9


@given(chains())
@settings(max_examples=50, deadline=None)
def test_prices_do_not_change_what_other_prices_find_for_two_stages(stages):
    stages = stages[:2]
    prices = np.array([0.001, 0.05, 0.7])
    together = best_thresholds(stages, prices)
    alone = np.concatenate([best_thresholds(stages, prices[[place]]) for place in range(3)])
    assert together.tolist() == alone.tolist()


def test_a_higher_price_of_time_never_makes_a_policy_slower():
    rng = np.random.default_rng(0)
    stages = [
        stage(rng.random(300), rng.random(300) < error, ms) for error, ms in ((0.4, 1), (0.3, 4), (0.1, 20))
    ]
    times = np.array([1, 4, 20])
    means = [
        times[stops_at(stages, one)].mean() for one in best_thresholds(stages, np.geomspace(1e-4, 1, 20))
    ]
    assert (np.diff(means) <= 1e-9).all()


def test_a_class_that_the_first_network_does_not_know_has_a_threshold_of_its_own():
    rng = np.random.default_rng(0)
    named = np.repeat([0, 1], 500)
    sure = rng.random(1000)
    wrong = np.where(named == 1, 1.0, sure < 0.1)
    stages = [stage(sure, wrong, 1, named), stage(np.ones(1000), np.zeros(1000), 2)]
    (common,) = best_thresholds(stages, np.array([0.1]))
    ((known, unknown),) = class_thresholds(stages, common, 0.1, 2, strength=20)
    assert known < 0.2
    assert unknown == NEVER


def test_a_class_of_few_rows_keeps_the_common_threshold():
    rng = np.random.default_rng(0)
    named = np.r_[np.zeros(500, int), np.ones(20, int)]
    sure = rng.random(520)
    stages = [stage(sure, (named == 1) | (sure < 0.3), 1, named), stage(np.ones(520), np.zeros(520), 2)]
    (common,) = best_thresholds(stages, np.array([0.1]))
    found = class_thresholds(stages, common, 0.1, 3, least_rows=50)
    assert found.shape == (1, 3)
    assert found[0, 1] == found[0, 2] == common[0]
