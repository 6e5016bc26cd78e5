"""A layer at another width is the layer that would have been made with it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.operators import conv_2d, depthwise_conv_2d, fully_connected, unary
from profiler.widths import width_of, with_input_width, with_width

WIDTHS = st.integers(1, 300)
DTYPES = st.sampled_from(["float32", "int8", "dynamic_int8"])


@given(WIDTHS, WIDTHS, DTYPES)
def test_output_width(before, after, dtype):
    for layer in (conv_2d(8, 8, 5, before, dtype=dtype), fully_connected(20, before, dtype=dtype)):
        assert width_of(layer) == before
        assert width_of(with_width(layer, after)) == after
        assert with_width(with_width(layer, after), before) == layer
    assert with_width(conv_2d(8, 8, 5, before, dtype=dtype), after) == conv_2d(8, 8, 5, after, dtype=dtype)
    made = depthwise_conv_2d(8, 8, after, dtype=dtype)
    assert with_width(depthwise_conv_2d(8, 8, before, dtype=dtype), after) == made


@given(WIDTHS, WIDTHS, DTYPES)
def test_input_width(before, after, dtype):
    made = conv_2d(8, 8, after, 5, dtype=dtype)
    assert with_input_width(conv_2d(8, 8, before, 5, dtype=dtype), after) == made
    made = fully_connected(after, 5, dtype=dtype)
    assert with_input_width(fully_connected(before, 5, dtype=dtype), after) == made


def test_an_operator_without_a_width_of_its_own():
    with pytest.raises(KeyError, match="relu"):
        with_width(unary("relu", (1, 8, 8, 4)), 8)
