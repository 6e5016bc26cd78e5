"""Statistics of the compression benchmark, on cases worked by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.compression.answers import Answers
from benchmarks.compression.statistics import SAME, UNDECIDED, WORSE, Difference, difference, time_ratio


def answers(right, clusters=None, units=None):
    """Two classes; `right` says which rows are answered well."""
    right = np.asarray(right, bool)
    label = np.arange(len(right)) % 2
    clusters = np.arange(len(right)) if clusters is None else np.asarray(clusters)
    return Answers(
        np.where(right, label, 1 - label), label, clusters, clusters if units is None else np.asarray(units)
    )


def test_macro_f1_is_the_mean_of_f1_over_classes():
    label = np.array([0, 0, 0, 1])
    found = Answers(np.array([0, 0, 1, 1]), label, label, label)
    # Class 0: precision 1, recall 2/3, F1 0.8. Class 1: precision 1/2, recall 1, F1 2/3.
    assert found.macro_f1 == pytest.approx((0.8 + 2 / 3) / 2)
    assert found.accuracy == 0.75


def test_answers_are_read_back(tmp_path):
    made = answers([1, 0, 1], clusters=["a", "a", "b"])
    made.save(tmp_path / "a.npz")
    assert np.array_equal(Answers.load(tmp_path / "a.npz").correct, made.correct)
    assert list(Answers.load(tmp_path / "a.npz").cluster) == ["a", "a", "b"]


def test_equal_networks_are_the_same():
    one = answers([1, 0, 1, 1] * 50)
    found = difference([(one, one)])
    assert (found.points, found.low, found.high) == (0, 0, 0)
    assert found.verdict(0.5) == SAME


def test_a_clear_loss_is_worse_and_a_small_sample_undecided():
    good, bad = answers([1] * 400), answers([1] * 300 + [0] * 100)
    assert difference([(bad, good)]).verdict(0.5) == WORSE
    few, fewer = answers([1] * 20), answers([1] * 19 + [0])
    assert difference([(fewer, few)]).verdict(0.5) == UNDECIDED


def test_rows_of_a_subject_are_drawn_together():
    """200 rows of 2 subjects, one of whom loses everything: far less is known than from 200 subjects."""
    subjects = [0] * 100 + [1] * 100
    before = answers([1] * 200, subjects, range(200))
    after = answers([1] * 100 + [0] * 100, subjects, range(200))
    by_subject = difference([(after, before)])
    by_row = difference([(answers([1] * 100 + [0] * 100), answers([1] * 200))])
    assert by_subject.clusters == 2
    assert by_row.clusters == 200
    assert by_subject.points == by_row.points == -50
    assert by_subject.low == -100
    assert by_subject.high == 0
    assert -60 < by_row.low < by_row.high < -40


def test_seeds_that_answer_the_same_rows_are_not_more_rows():
    before, after = answers([1] * 100), answers([1] * 90 + [0] * 10)
    one, three = difference([(after, before)]), difference([(after, before)] * 3)
    assert one.points == three.points == -10
    assert three.high - three.low == pytest.approx(one.high - one.low, rel=0.1)


def test_answers_to_other_rows_are_refused():
    with pytest.raises(ValueError, match="different rows"):
        difference([(answers([1, 1]), answers([1, 1, 1]))])


@given(st.floats(-3, 3), st.floats(0, 3), st.floats(0, 3), st.floats(0.1, 2))
def test_verdicts_exclude_each_other(points, below, above, margin):
    found = Difference(points, points - below, points + above, 9)
    assert found.verdict(margin) in (SAME, WORSE, UNDECIDED)
    if found.low >= -margin:
        assert found.verdict(margin) == SAME


def test_ratio_of_times_over_seeds():
    found = time_ratio([[0.5, 0.5, 0.5], [0.5, 0.5, 0.5]])
    assert (found.ratio, found.low, found.high) == pytest.approx((0.5, 0.5, 0.5))
    spread = time_ratio([[0.4] * 3, [0.625] * 3])
    assert spread.ratio == pytest.approx(0.5)
    assert spread.low < 0.4 < 0.625 < spread.high, "two seeds say little"
    assert found.text() == "-50% [-50%, -50%]"


def test_ratio_of_one_seed_has_the_interval_of_its_rounds():
    found = time_ratio([[0.50, 0.52, 0.48, 0.51]])
    assert found.seeds == 1
    assert 0.45 < found.low < found.ratio < found.high < 0.55
    with pytest.raises(ValueError, match="nothing"):
        time_ratio([[]])
