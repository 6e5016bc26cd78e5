from __future__ import annotations

import operator
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.tflite import Buffer, RawGraph, RawModel, RawOperator
from profiler.tflite.graph import RawTensor
from profiler.tflite.loops import trip_count

COMPARE = {
    "less": operator.lt,
    "less_equal": operator.le,
    "greater": operator.gt,
    "greater_equal": operator.ge,
}


class Values:
    """Constants of a file to be, and tensors that hold them."""

    def __init__(self) -> None:
        self.data = bytearray(8)

    def constant(self, value: int) -> RawTensor:
        self.data += struct.pack("<i", value)
        place = (len(self.data) - 4, 4)
        return RawTensor("c", (), (), "int32", True, place, False, False, False, True)

    @staticmethod
    def computed() -> RawTensor:
        return RawTensor("t", (), (), "int32", False, (0, 0), False, False, False, True)


def _operator(op: str, inputs: list[int], outputs: list[int]) -> RawOperator:
    return RawOperator(op, tuple(inputs), tuple(outputs), 0, None, 0, None)


def loop(
    op: str, start: int, step: int, limit: int, swap: bool, carried_limit: bool, swap_step: bool = False
) -> int | None:
    """Turns of ``while counter OP limit: counter += step``, as `trip_count` reads them from a file."""
    values = Values()
    computed, constant = values.computed, values.constant
    # The loop's variables: the counter, and the limit where it is handed through.
    main = RawGraph([constant(start), constant(limit), computed(), computed()], (), (2, 3), [])
    call = _operator("while", [0, 1], [2, 3])
    bound = computed() if carried_limit else constant(limit)
    condition = RawGraph(
        [computed(), bound, computed(), computed()], (0, 1 if carried_limit else 3), (2,), []
    )
    condition.operators.append(_operator(op, [1, 0] if swap else [0, 1], [2]))
    body = RawGraph([computed(), computed(), constant(step), computed()], (0, 1), (3, 1), [])
    body.operators.append(_operator("add", [2, 0] if swap_step else [0, 2], [3]))
    model = RawModel(Buffer(bytes(values.data)), [main, condition, body], "")
    return trip_count(model, main, call, 1, 2)


@given(
    st.sampled_from(sorted(COMPARE)),
    st.integers(-20, 20),
    st.integers(1, 5),
    st.integers(-20, 40),
    st.booleans(),
    st.booleans(),
)
def test_turns_are_those_that_the_loop_makes(op, start, step, limit, carried, swap_step):
    # A counter that grows is below its limit on the left of "less" and on the right of "greater".
    swap = op.startswith("greater")
    compare = COMPARE[op]
    counter, turns = start, 0
    while compare(*((limit, counter) if swap else (counter, limit))):
        counter += step
        turns += 1
    assert loop(op, start, step, limit, swap, carried, swap_step) == turns


@pytest.mark.parametrize("step", [0, -1])
def test_counter_that_does_not_grow_says_nothing(step):
    assert loop("less", 0, step, 5, False, False) is None


def test_condition_the_other_way_round_says_nothing():
    assert loop("greater", 0, 1, 5, False, False) is None


@pytest.mark.parametrize(
    ("limits", "turns"), [((5, 9), 5), ((9, 5), 5), ((5, None), 5), ((None, None), None)]
)
def test_first_of_several_conditions_ends_the_loop(limits, turns):
    values = Values()
    main = RawGraph([values.constant(0), values.computed()], (), (1,), [])
    condition = RawGraph([values.computed() for _ in range(4)], (0,), (3,), [])
    for place, limit in enumerate(limits):
        if limit is not None:
            condition.tensors.append(values.constant(limit))
            condition.operators.append(_operator("less", [0, len(condition.tensors) - 1], [place + 1]))
    condition.operators.append(_operator("logical_and", [1, 2], [3]))
    body = RawGraph([values.computed(), values.constant(1), values.computed()], (0,), (2,), [])
    body.operators.append(_operator("add", [0, 1], [2]))
    model = RawModel(Buffer(bytes(values.data)), [main, condition, body], "")
    assert trip_count(model, main, _operator("while", [0], [1]), 1, 2) == turns
