"""The promise over resamplings of a made-up world in which every loss is known."""

import numpy as np

from benchmarks.compression.promise.answers import Pool
from benchmarks.compression.promise.own_scores import Case, broken_share
from benchmarks.compression.promise.resampling import Chosen, choose, kept
from benchmarks.compression.promise.worlds import MadeUp, Resampled


def test_the_made_up_networks_lose_what_is_said_of_them():
    world, rng = MadeUp(), np.random.default_rng(0)
    for groups, units in ((False, 60_000), (True, 3000)):
        right = world.draw(units, groups, rng).right.mean(axis=1)
        assert np.abs(right[0] - right - world.truth(groups)).max() < 0.01


def test_a_promise_is_broken_in_one_of_twenty_draws_at_most():
    world, rng = MadeUp(), np.random.default_rng(0)
    found = [
        choose(world.draw(750, False, rng), world.draw(750, False, rng), world.cost, 0.01) for _ in range(30)
    ]
    share = kept(found, world.truth(False), world.cost, 0.01)
    assert share.broken <= 0.1  # within chance
    assert share.naive_broken > 0.2
    assert share.confirmed > 0


def test_what_is_counted_is_worked_out_by_hand():
    found = [
        Chosen(1, 0.01, True, 2),
        Chosen(2, 0.01, True, 1),
        Chosen(2, None, False, 2),
        Chosen(1, 0.03, False, 0),
    ]
    share = kept(found, np.array([0.0, 0.005, 0.02]), np.array([1.0, 0.5, 0.25]), 0.01)
    assert (share.broken, share.confirmed, share.naive_broken) == (0.25, 0.5, 0.5)
    assert (share.faster, share.naive_faster) == (3.0, 3.0)


def test_of_a_pool_rows_are_drawn_alone_or_with_their_group():
    right = np.array([[1, 1, 1, 1, 1], [1, 1, 0, 0, 1]], bool)
    world = Resampled(Pool("p", right, np.array([1.0, 0.5]), np.array([4, 4, 9, 9, 4])))
    assert world.truth(False).tolist() == [0.0, 0.4]
    assert world.truth(True).tolist() == [0.0, 0.5]
    drawn = world.draw(6, True, np.random.default_rng(0))
    assert len(np.unique(drawn.groups)) == 6
    assert set(np.bincount(drawn.groups)) <= {2, 3}


def test_a_bound_by_bootstrap_is_broken_about_as_often_as_it_says():
    assert broken_share(Case("normal", "rows", 60, 1e6), 40) <= 0.15
