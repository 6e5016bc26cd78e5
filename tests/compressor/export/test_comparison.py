"""What counts as too far from the original, on numbers worked by hand."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest

from compressor.export.comparison import accuracy, compare, fault, top_class

BEFORE = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.3, 0.7]])


def test_compares_outputs():
    after = BEFORE + np.array([[0, 0], [0, 0], [-0.3, 0.3], [0, 0]])
    found = compare(BEFORE, after)
    assert found.rows == 4
    assert found.agreement == 0.75
    assert found.max_difference == pytest.approx(0.3)
    assert found.mean_difference == pytest.approx(0.6 / 8)
    assert found.relative_difference == pytest.approx(np.sqrt(2 * 0.09 / 8) / BEFORE.std())
    assert found.drop_points is None


def test_several_outputs_count_by_the_worst():
    found = compare([BEFORE, np.zeros((4, 1))], [BEFORE, np.full((4, 1), 0.5)])
    assert found.agreement == 1.0
    assert found.max_difference == 0.5
    assert found.relative_difference == 0.5  # nothing varies: the difference itself


def test_a_single_number_is_no_choice():
    assert compare(np.zeros((3, 1)), np.zeros((3, 1))).agreement is None
    assert compare(np.zeros((3, 2, 2, 5)), np.zeros((3, 2, 2, 5))).agreement is None


@pytest.mark.parametrize(
    ("outputs", "classes"),
    [
        ([[0.1, 0.9, 0.3], [1, 0, 0]], [1, 0]),
        ([[0.4], [0.6]], [0, 1]),  # sigmoid
        ([[-0.4], [0.2], [3.0]], [0, 1, 1]),  # logit
    ],
)
def test_top_class(outputs, classes):
    assert top_class(np.array(outputs)).tolist() == classes
    assert accuracy(np.array(outputs), np.array(classes)) == 1.0


def test_labels_decide_before_agreement_and_agreement_before_differences():
    found = replace(compare(BEFORE, BEFORE[::-1]), accuracy_before=0.92, accuracy_after=0.905)
    assert found.drop_points == pytest.approx(1.5)
    assert fault(found, "int8", 1.0, 0.95, real=True) == "loses 1.50 points of accuracy (limit 1)"
    assert fault(found, "int8", 2.0, 0.95, real=True) is None
    found = compare(BEFORE, BEFORE[::-1])
    assert "agrees with the original on 0.0%" in fault(found, "int8", 1.0, 0.95, real=True)
    assert fault(found, "int8", 1.0, 0.0, real=True) is None
    assert "of its variation (limit 25.0%)" in fault(found, "int8", 1.0, 0.0, real=False)


def test_float32_must_be_the_same_and_nan_never_passes():
    assert fault(compare(BEFORE, BEFORE + 1e-6), "none", 1.0, 0.95, real=False) is None
    assert "limit 0.1%" in fault(compare(BEFORE, BEFORE * 1.01), "none", 1.0, 0.95, real=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for values in (BEFORE * np.nan, BEFORE * np.inf):
            assert "not finite" in fault(compare(BEFORE, values), "none", 1.0, 0.0, real=True)


def test_a_linear_head_is_no_classifier_unless_it_is_said_to_be():
    logits = np.array([[3.0, -1.0], [0.5, 2.0]])
    assert compare(logits, logits).agreement is None
    assert compare(logits, logits, [True]).agreement == 1.0


def test_channels_that_share_a_scale_with_larger_ones_are_lost_by_name():
    # As int8 does it: steps of 5 for values of 0 to 640 leave nothing of scores.
    before = np.stack([np.linspace(0, 640, 9), np.linspace(0.2, 0.6, 9), np.linspace(0, 320, 9)], axis=-1)
    after = 5 * np.round(before / 5)
    found = compare([before[:, None]], [after[:, None]])
    assert found.lost_channels == ((0, 1),)
    assert found.relative_difference < 0.01  # all outputs together look well
    assert "loses the values of channel 1 of its output" in fault(found, "int8", 1.0, 0.95, real=True)
    found = compare([BEFORE, before], [BEFORE, after])
    assert found.lost_channels == ((1, 1),)
    assert "channel 1 of output 1" in fault(found, "int8", 1.0, 0.95, real=True)


def test_a_few_lost_channels_of_hundreds_are_no_reason_to_refuse():
    before = np.random.default_rng(0).normal(size=(20, 100))
    before[:, 7] = np.linspace(0, 1e-3, 20)
    found = compare(before, np.round(before, 1))
    assert found.lost_channels == ((0, 7),)
    assert fault(found, "int8", 1.0, 0.95, real=True) is None


def test_classes_that_never_win_may_be_rounded_away():
    before = np.array([[0.9, 0.0999, 0.0001], [0.2, 0.7997, 0.0003]])
    assert compare(before, np.round(before, 2)).lost_channels == ()
