"""One number for how far outputs move."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from compressor.weights.quantization import divergence


def test_probabilities_and_their_logits_diverge_alike():
    p, q = np.array([[0.5, 0.5]]), np.array([[0.25, 0.75]])
    by_hand = 0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75)
    assert divergence(p, q) == pytest.approx(by_hand)
    assert divergence(np.log(p) + 3.0, np.log(q) - 1.0) == pytest.approx(by_hand)


def test_outputs_that_choose_no_class_are_compared_with_their_variance():
    before = np.array([[[0.0], [2.0]]])
    assert divergence(before, before + 0.5) == pytest.approx(0.25)


def test_of_several_outputs_the_farthest_counts():
    near, far = np.zeros((2, 3, 1)), np.array([[[0.0], [2.0]]])
    assert divergence([near, far], [near, far + 0.5]) == pytest.approx(0.25)


def test_what_is_not_finite_diverges_without_end():
    assert divergence(np.zeros((1, 2)), np.array([[0.0, np.nan]])) == math.inf


@given(
    arrays(np.float64, (4, 3), elements=st.floats(-20, 20)),
    arrays(np.float64, (4, 3), elements=st.floats(-20, 20)),
)
def test_divergence_is_never_negative_and_zero_for_the_same(before, after):
    assert divergence(before, before) == pytest.approx(0.0, abs=1e-9)
    assert divergence(before, after) >= -1e-9
