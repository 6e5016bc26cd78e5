"""Statistics of the compression benchmark, on cases worked by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.compression.answers import Answers
from benchmarks.compression.statistics import (
    SAME,
    UNDECIDED,
    WORSE,
    Difference,
    Noise,
    difference,
    half_width,
    time_ratio,
    training_noise,
)  # fmt: skip


def answers(right, clusters=None, units=None):
    """Two classes; `right` says which rows are answered well."""
    right = np.asarray(right, bool)
    label = np.arange(len(right)) % 2
    clusters = np.arange(len(right)) if clusters is None else np.asarray(clusters)
    return Answers(
        np.where(right, label, 1 - label), label, clusters, clusters if units is None else np.asarray(units)
    )


def test_the_score_of_a_regression_is_the_share_of_variance_that_is_explained():
    label = np.array([[0.0, 1.0], [2.0, 1.0]])
    said = np.array([[1.0, 1.0], [2.0, 1.0]])
    found = Answers(said, label, np.arange(2), np.arange(2))
    # The variance is 1 + 0, the squared errors are 1 and 0.
    assert found.credit.tolist() == [0.0, 1.0]
    assert found.score == 0.5
    assert Answers(label, label, np.arange(2), np.arange(2)).score == 1.0


def test_answers_are_read_back(tmp_path):
    made = answers([1, 0, 1], clusters=["a", "a", "b"])
    made.save(tmp_path / "a.npz")
    assert np.array_equal(Answers.load(tmp_path / "a.npz").credit, made.credit)
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


def test_what_seeds_and_rows_have_in_common_is_no_noise_of_training():
    common = np.array([[50.0], [60.0], [70.0]]) + np.array([[0.0, 5.0]])
    assert training_noise(common).deviation == pytest.approx(0)
    assert training_noise(common).freedom == 2
    noisy = common + np.array([[1.0, -1.0], [-1.0, 1.0], [0.0, 0.0]])
    # The squares sum to 4, of 2 degrees of freedom.
    assert training_noise(noisy).deviation == pytest.approx(np.sqrt(2))


def test_a_single_seed_or_row_says_nothing_of_the_noise_and_a_row_with_a_gap_does_not_count():
    for scores in (np.array([[1.0], [2.0]]), np.array([[1.0, 2.0]]), np.zeros((0, 0))):
        assert training_noise(scores).freedom == 0
    gap = np.array([[60.0, 62.0], [50.0, 54.0], [1.0, np.nan]])
    assert training_noise(gap) == training_noise(gap[:2])
    assert half_width(Noise(np.inf, 0), 1, 0.5) == np.inf


def test_the_interval_of_a_difference_adds_the_noise_of_training_to_that_of_the_rows():
    many = 10_000
    assert half_width(Noise(2.0, many), 2, 0.0) == pytest.approx(1.96 * 2.0, rel=1e-3)
    assert half_width(Noise(2.0, many), 8, 0.0) == pytest.approx(1.96, rel=1e-3)
    assert half_width(Noise(3.0 / np.sqrt(2), many), 1, 4.0) == pytest.approx(1.96 * 5, rel=1e-3)
    assert half_width(Noise(2.0, 3), 2, 0.0) > 3


def test_intervals_of_differences_hold_the_truth_as_often_as_they_say():
    """Two rows that are equally good, six that are not, three seeds: 95% of intervals hold 0."""
    generator = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        scores = (
            np.array([0, 0, 1, 2, 3, 4, 5, 6.0])[:, None]
            + generator.normal(size=3)
            + generator.normal(size=(8, 3))
        )
        half = half_width(training_noise(scores), 3, 0.0)
        held += abs(scores[0].mean() - scores[1].mean()) <= half
    assert 0.92 <= held / 400 <= 0.98
