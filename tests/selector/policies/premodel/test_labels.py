"""Labels of a premodel, and which networks it chooses from, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from selector.policies.premodel.labels import RULES, cheapest_right, included_networks

RIGHT = np.array(
    [
        [1, 1, 0, 0, 0, 0],  # fastest
        [0, 1, 1, 0, 0, 1],
        [1, 1, 1, 1, 0, 0],  # most accurate and slowest
    ],
    bool,
)


def test_a_label_is_the_fastest_network_that_is_right_or_failed():
    assert cheapest_right(RIGHT).tolist() == [0, 0, 1, 2, 3, 1]


def test_labels_count_positions_among_the_chosen_networks():
    # the order of levels does not decide: row 1 is for network 0 although network 2 is asked first
    assert cheapest_right(RIGHT, [2, 0]).tolist() == [1, 1, 0, 0, 2, 2]


def test_networks_follow_while_they_gain_more_than_theta():
    # 0 and 1 are the fastest right one twice each: the first of equals. Left wrong: rows 2 to 5; 1 is right on two of
    # them, 2 on two: the first of equals; then 2 on one row of six.
    assert included_networks(RIGHT, theta=0.1) == [0, 1, 2]
    assert included_networks(RIGHT, theta=0.2) == [0, 1]
    assert included_networks(RIGHT, theta=0.5) == [0]


def test_rules_differ_where_the_cheapest_right_is_not_the_most_often_right():
    right = np.zeros((3, 10), bool)
    right[0, :4] = True  # most often the fastest right one
    right[1, 4:7] = True
    right[2, 4:8] = True  # right on more of the rest, but the fastest right one only once
    assert included_networks(right, 0.05, "accuracy")[:2] == [0, 2]
    assert included_networks(right, 0.05, "optimal")[:2] == [0, 1]
    with pytest.raises(ValueError, match="accuracy, optimal"):
        included_networks(right, 0.05, "best")


@given(arrays(bool, st.tuples(st.integers(1, 4), st.integers(1, 12))), st.sampled_from(RULES))
def test_each_network_adds_more_than_theta_and_the_failed_are_wrong_for_all(right, rule):
    chosen = included_networks(right, 0.1, rule)
    assert len(set(chosen)) == len(chosen)
    for count in range(2, len(chosen) + 1):
        new = right[chosen[count - 1]] & ~right[chosen[: count - 1]].any(axis=0)
        assert new.mean() > 0.1
    labels = cheapest_right(right, chosen)
    assert ((labels == len(chosen)) == ~right[chosen].any(axis=0)).all()
    for row, label in enumerate(labels):
        if label < len(chosen):
            faster = [one for one in chosen if one < chosen[label]]
            assert right[chosen[label], row]
            assert not right[faster, row].any()
