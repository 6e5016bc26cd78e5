"""Costs at equal accuracy: worked out by hand."""

from __future__ import annotations

import pytest

from benchmarks.compression.fronts import Reading, at_equal_score, cost_at, over_all_scores, ratio_of


def test_between_two_networks_the_cost_is_read_in_its_logarithm() -> None:
    found = cost_at([(16.0, 0.96), (1.0, 0.90), (4.0, 0.94)], 0.92)
    assert found is not None
    assert found.cost == pytest.approx(2.0)
    assert not found.most


def test_a_dearer_network_that_is_worse_by_chance_is_taken_together_with_the_cheaper_one() -> None:
    """0.95 at 2 and 0.93 at 4 count as 0.94 each, which is reached from 2 on."""
    found = cost_at([(1.0, 0.90), (2.0, 0.95), (4.0, 0.93), (8.0, 0.96)], 0.94)
    assert found is not None
    assert found.cost == pytest.approx(2.0)


def test_where_the_cheapest_network_is_good_enough_its_cost_is_an_upper_bound() -> None:
    assert cost_at([(1.0, 0.95), (4.0, 0.96)], 0.92) == Reading(1.0, most=True)


def test_an_accuracy_that_no_network_reaches_has_no_cost() -> None:
    assert cost_at([(1.0, 0.90), (4.0, 0.94)], 0.95) is None


def test_ratios_are_paired_by_seed_and_averaged_by_ratio() -> None:
    found = ratio_of([Reading(1.0), Reading(2.0)], [Reading(2.0), Reading(16.0)])
    assert found is not None
    assert found.ratio == pytest.approx(0.25)
    assert found.seeds == 2
    assert found.low < 0.25 < found.high


def test_a_bound_never_makes_a_saving_look_larger() -> None:
    """Of ours it understates the saving and counts; of theirs it would overstate it, and the seed is left out."""
    found = ratio_of(
        [Reading(1.0, most=True), Reading(1.0), None], [Reading(2.0), Reading(8.0, most=True), Reading(1.0)]
    )
    assert found is not None
    assert found.ratio == pytest.approx(0.5)
    assert found.seeds == 1
    assert ratio_of([None], [Reading(1.0)]) is None


def test_the_time_at_an_equal_score_is_read_between_networks_and_its_bounds_at_the_ends_of_the_interval() -> (
    None
):
    found = at_equal_score([(0.1, 80.0), (0.4, 84.0), (1.0, 90.0)], 0.4, 82.0, 1.0)
    assert found.ratio == pytest.approx(0.5), (
        "82 lies halfway from 80 to 84: 0.2 is halfway from 0.1 to 0.4 by ratio"
    )
    assert (found.low, found.high) == pytest.approx((0.5 * 4**-0.25, 0.5 * 4**0.25))
    assert not found.least
    assert found.text() == "-50% [-65%, -29%]"


def test_a_score_that_the_fastest_network_has_already_may_take_even_less_and_has_no_lower_bound() -> None:
    found = at_equal_score([(0.1, 80.0), (0.4, 84.0), (1.0, 90.0)], 0.2, 79.5, 1.0)
    assert found.least
    assert found.ratio == pytest.approx(0.5)
    assert found.low is None
    assert found.high is not None
    assert found.text().startswith("≤ -50% [?, ")


def test_a_score_that_no_network_has_is_not_reached_and_one_that_chance_may_put_out_of_reach_has_no_upper_bound() -> (
    None
):
    points = [(0.1, 80.0), (1.0, 90.0)]
    assert at_equal_score(points, 0.5, 91.0, 0.5).text() == "not reached"
    assert at_equal_score(points, 0.5, 89.5, 1.0).high is None
    assert at_equal_score(points, 0.5, 85.0, float("inf")).text() == "-37% [?, ?]"


WHOLE = (1.0, 90.0)


def over(ones, others, deviation=0.0):
    return over_all_scores(
        ones, others, tuple([deviation] * (len(some) - 1) + [0.0] for some in (ones, others))
    )


def test_over_all_scores_the_difference_of_logarithms_is_averaged_where_both_have_networks() -> None:
    """From 80 to 90 the one goes from a tenth to 1, the other from a fifth to 1: half of the way from 1/2 to 1."""
    found = over([(0.1, 80.0), WHOLE], [(0.2, 80.0), WHOLE])
    assert found.ratio == pytest.approx(0.5**0.5)
    assert over([(0.1, 85.0), WHOLE], [(0.1, 80.0), WHOLE]).ratio == pytest.approx(
        10
        ** -(0.25 / 1)  # at 85 the other takes 10**-0.5, so 0.5 of a decade is saved, which falls to 0 at 90
    )


def test_over_all_scores_the_two_methods_swapped_give_the_inverse_and_noise_an_interval() -> None:
    ones, others = [(0.1, 80.0), (0.4, 84.0), WHOLE], [(0.12, 78.0), (0.35, 85.0), WHOLE]
    one, other = over(ones, others, 0.5), over(others, ones, 0.5)
    assert one.ratio is not None
    assert other.ratio is not None
    assert one.ratio * other.ratio == pytest.approx(1.0)
    assert one.low is not None
    assert one.high is not None
    assert one.low < one.ratio < one.high
    assert over(ones, others, float("inf")).low is None


def test_a_method_whose_networks_are_all_better_than_any_of_the_other_is_read_at_its_fastest() -> None:
    found = over([(0.1, 92.0), (0.3, 93.0)], [(0.4, 91.0), (0.5, 91.0)])
    assert (found.ratio, found.least) == (pytest.approx(0.25), True)
    assert over([(0.4, 90.5), (0.5, 91.0)], [(0.1, 92.0), (0.3, 93.0)]).text().startswith("not reached")
