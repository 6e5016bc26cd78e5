from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from profiler.network import Layer
from profiler.operators import binary, concatenation, conv_2d, unary
from profiler.probes import Probe
from timemodel.runtime.placement import placed_outside

SHAPE = (1, 4, 4, 16)
BYTES = 4 * 4 * 16
TABLE = unary("exp", SHAPE, "int8")
"""Written to a place of its own; holds no weights and is worked on in no stripes."""
ADD = binary("add", SHAPE, SHAPE, dtype="int8")


def outside(
    layers: tuple[Layer, ...], wiring: tuple[tuple[int, ...], ...], fast: float, left: tuple[int, ...] = ()
):
    """Positions of the layers whose result lies outside."""
    network = Probe("network", layers, wiring).network
    found = placed_outside(network, left, fast)
    assert found >= {*network.inputs, *network.outputs}
    return {i for i, edge in enumerate(network.edges) if edge.outputs[0] in found}


def test_where_everything_has_room_only_what_the_caller_sees_lies_outside():
    assert outside((TABLE,) * 3, ((-1,), (0,), (1,)), 2 * BYTES) == {2}


def test_of_what_has_no_room_together_that_stays_which_is_moved_more():
    # The first result waits for the sum while the second and the third are made; it is read twice.
    layers, wiring = (TABLE, TABLE, TABLE, ADD), ((-1,), (0,), (1,), (0, 2))
    assert outside(layers, wiring, 3 * BYTES) == {3}
    assert outside(layers, wiring, 2 * BYTES) == {2, 3} or outside(layers, wiring, 2 * BYTES) == {1, 3}
    assert 0 not in outside(layers, wiring, BYTES)


def test_what_is_larger_than_fast_memory_lies_outside():
    assert outside((TABLE,) * 3, ((-1,), (0,), (1,)), BYTES - 1) == {0, 1, 2}


def test_what_the_cpu_touches_lies_outside_and_so_does_what_is_read_across_it():
    assert outside((TABLE,) * 5, ((-1,), (0,), (1,), (2,), (3,)), 1e6, left=(2,)) == {1, 2, 4}
    layers, wiring = (TABLE, TABLE, TABLE, ADD), ((-1,), (0,), (1,), (2, 0))
    assert outside(layers, wiring, 1e6, left=(2,)) == {0, 1, 2, 3}


def test_channels_take_whole_bricks_of_16():
    thin = unary("exp", (1, 4, 4, 1), "int8")
    assert outside((thin,) * 2, ((-1,), (0,)), BYTES - 1) == {0, 1}
    assert outside((thin,) * 2, ((-1,), (0,)), BYTES) == {1}


def test_a_sum_is_written_over_what_nothing_reads_any_more():
    # Two results and their sum, which another layer reads: three places, or two.
    layers, wiring = (TABLE, TABLE, ADD, TABLE), ((-1,), (-1,), (0, 1), (2,))
    assert outside(layers, wiring, 2 * BYTES) == {3}


def test_a_join_is_made_in_place():
    join = concatenation([SHAPE, SHAPE], 3, "int8")
    after = unary("exp", join.outputs[0].shape, "int8")
    assert outside((TABLE, TABLE, join, after), ((-1,), (-2,), (0, 1), (2,)), 2 * BYTES) == {3}


def test_layers_that_do_not_fit_together_run_in_stripes_and_end_in_what_lies_outside():
    # Results of 8, 32, 32, 8 and 8 kB: the larger ones have no room beside each other.
    convs = [
        conv_2d(32, 32, a, b, (1, 1), dtype="int8") for a, b in ((8, 8), (8, 32), (32, 32), (32, 8), (8, 8))
    ]
    found = outside(tuple(convs), ((-1,), (0,), (1,), (2,), (3,)), 40_000)
    assert found == {3, 4}


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31 - 1), st.integers(1, 12))
def test_more_fast_memory_never_puts_all_bytes_further_out(seed, room):
    """A chain: with more room no more lies outside."""
    layers = (TABLE,) * (2 + seed % 5)
    wiring = tuple((i - 1,) for i in range(len(layers)))
    assert outside(layers, wiring, room * BYTES) >= outside(layers, wiring, (room + 1) * BYTES)
