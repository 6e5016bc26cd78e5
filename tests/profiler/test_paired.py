"""Tests of what is lost: never too sure, and as sharp as rows allow."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.stats import multinomial

from profiler.paired import betting_p_value, fewest_units, loss_interval, paired_p_value


def test_without_any_difference_it_is_the_chance_that_no_row_is_lost():
    """300 rows, none lost, up to 1% allowed: 0.99 to the 300th, plus what the range of the gains costs."""
    assert paired_p_value(0, 0, 300, 0.01) == pytest.approx(0.99**300 + 0.001, rel=0.05)


def test_a_loss_that_is_not_below_the_limit_shows_nothing():
    assert paired_p_value(5, 0, 100, 0.05) == 1.0
    assert paired_p_value(12, 7, 100, 0.05) == 1.0


def test_more_losses_are_never_better_and_more_gains_never_worse():
    table = np.array([[paired_p_value(a, b, 200, 0.05) for b in range(0, 12, 2)] for a in range(0, 12, 2)])
    assert (np.diff(table, axis=0) >= -1e-3).all()
    assert (np.diff(table, axis=1) <= 1e-3).all()


@pytest.mark.parametrize(("rows", "most"), [(12, 0.2), (20, 0.1), (25, 0.15)])
def test_it_is_too_sure_in_no_more_than_its_level_of_all_cases(rows, most):
    """Not by drawing: the chance of every outcome is added up, for many true shares of gains."""
    outcomes = [(a, b) for a, b in itertools.product(range(rows + 1), repeat=2) if a + b <= rows]
    for level in (0.05, 0.2):
        rejected = np.array([paired_p_value(a, b, rows, most, level) <= level for a, b in outcomes])
        for gained in np.linspace(0, (1 - most) / 2, 15):
            lost = gained + most
            chance = [
                multinomial.pmf((a, b, rows - a - b), rows, (lost, gained, max(1 - lost - gained, 0.0)))
                for a, b in itertools.compress(outcomes, rejected)
            ]
            assert sum(chance) <= level + 1e-9


@pytest.mark.parametrize(("gained", "most"), [(0.0, 0.01), (0.01, 0.005), (0.05, 0.02)])
def test_drawn_rows_that_lose_just_what_they_may_pass_in_no_more_than_their_level(gained, most):
    rng = np.random.default_rng(0)
    lost = gained + most
    draws = rng.multinomial(900, (lost, gained, 1 - lost - gained), size=150)
    passed = np.mean([paired_p_value(a, b, 900, most) <= 0.05 for a, b, _ in draws])
    assert passed <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 150)


def test_it_is_far_sharper_than_betting_where_rows_are_lost_and_gained():
    """2,400 rows, 2% gained and 1.8% lost, half a point allowed."""
    lost = np.r_[np.ones(43), -np.ones(55), np.zeros(2302)]
    assert paired_p_value(43, 55, 2400, 0.005) < 0.02 < 0.1 < betting_p_value(lost, 0.005)


def test_betting_is_not_too_sure_of_losses_of_any_size():
    """Groups lose 2 points on average, some of them 20, others gain 10."""
    rng = np.random.default_rng(1)
    values, chances = np.array([0.2, -0.1, 0.02]), np.array([0.2, 0.2, 0.6])
    most = float(values @ chances)
    passed = np.mean([betting_p_value(rng.choice(values, 400, p=chances), most) <= 0.1 for _ in range(300)])
    assert passed <= 0.1 + 2 * math.sqrt(0.09 / 300)


def test_betting_finds_a_gain_and_counts_weighted_rows():
    assert betting_p_value(np.full(200, -0.2), 0.01) < 1e-6
    assert betting_p_value(np.full(40, -2.0), 0.01, worst=2.0) < 1e-6
    assert betting_p_value(np.full(200, 0.5), 0.01) == 1.0


@pytest.mark.parametrize("most", [0.002, 0.005, 0.05])
def test_the_fewest_rows_are_those_that_suffice_where_nothing_is_lost(most):
    rows = fewest_units(most, 0.05)
    assert paired_p_value(0, 0, rows, most) <= 0.05 < paired_p_value(0, 0, rows - 1, most)
    assert rows == pytest.approx(math.log(0.05) / math.log1p(-most), rel=0.02)
    groups = fewest_units(most, 0.05, groups=True)
    assert betting_p_value(np.zeros(groups), most) <= 0.05
    assert rows < groups < 2 * rows


def test_an_interval_of_a_loss_holds_what_was_seen_and_mirrors():
    lost = np.repeat([1.0, -1.0, 0.0], [5, 3, 92])
    low, high = loss_interval(lost)
    assert low < lost.mean() < high
    assert loss_interval(-lost) == pytest.approx((-high, -low), abs=1e-6)
    assert loss_interval(np.zeros(100)) == pytest.approx((-0.037, 0.037), abs=1e-3)  # z^2 / (n + z^2)
    assert loss_interval(lost, np.zeros(100)) is None


def test_an_interval_over_groups_is_by_students_t():
    lost = np.repeat([0.1, 0.0, 0.05, 0.05], 100)
    half = 3.182 * np.std([0.1, 0.0, 0.05, 0.05], ddof=1) / 2
    assert loss_interval(lost, np.repeat(np.arange(4), 100)) == pytest.approx(
        (0.05 - half, 0.05 + half), abs=1e-4
    )
