from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from profiler import operators
from profiler.network import Network, Tensor, plan_arena
from profiler.probes import Probe
from timemodel.runtime.reuse_distance import DATA, MATRIX, VECTOR, WINDOW, _Arena, elapsed_ms, find_accesses

KB = 1024


def relu_chain(count, elements=256 * KB):
    return Probe("network", (operators.unary("relu", (1, elements // 4)),) * count).network


def test_weights_come_round_once_per_inference():
    dense = operators.fully_connected(64, 64)
    network = Probe("network", (dense,) * 3).network
    found = find_accesses(network)
    stored = found.kind == VECTOR
    assert found.layer[stored].tolist() == [0, 1, 2]
    # Between two readings of the same weights lie all weights and the arena.
    arena_bytes = max(block.offset + block.nbytes for block in plan_arena(network))
    assert set(found.distance_bytes[stored]) == {network.weight_bytes + arena_bytes}
    assert found.touched_by[stored].tolist() == [-3, -2, -1]
    # Alone, a layer walks over its weights, its input and its output.
    assert found.alone_bytes[stored].tolist() == [dense.weight_bytes + 2 * 64 * 4] * 3


def test_operators_that_share_weights_in_the_file_have_copies_of_their_own():
    dense = operators.fully_connected(64, 64)
    apart = Probe("network", (dense,) * 3).network
    first = apart.edges[0]
    # All three read the weights of the first, as the steps of a recurrent layer that was unrolled do.
    edges = tuple(replace(edge, inputs=(edge.inputs[0], *first.inputs[1:])) for edge in apart.edges)
    gone = {index for edge in apart.edges[1:] for index in edge.inputs[1:]}
    nothing = Tensor((1,), constant=True)
    tensors = tuple(nothing if i in gone else tensor for i, tensor in enumerate(apart.tensors))
    shared = replace(apart, edges=edges, tensors=tensors)
    assert shared.weight_bytes < apart.weight_bytes / 2
    found, known = find_accesses(shared), find_accesses(apart)
    assert (
        found.distance_bytes[found.kind == VECTOR].tolist()
        == known.distance_bytes[known.kind == VECTOR].tolist()
    )


def test_what_is_done_with_weights_makes_their_class():
    def kinds(*layers):
        return {int(kind) for kind in find_accesses(Probe("network", layers).network).kind} - {DATA}

    assert kinds(operators.fully_connected(16, 16)) == {VECTOR}
    assert kinds(operators.fully_connected(16, 16, 9)) == {MATRIX}
    assert kinds(operators.conv_2d(8, 8, 4, 4, (1, 1))) == {MATRIX}
    assert kinds(operators.conv_2d(8, 8, 4, 4)) == {WINDOW}


def test_what_the_layer_before_wrote_is_near_and_a_skip_is_far():
    shape = (1, 1024)
    step, join = operators.unary("neg", shape), operators.binary("add", shape, shape)
    # neg, neg, neg, neg, then the first one's output is added to the last one's.
    network = Probe("network", (step,) * 4 + (join,), ((-1,), (0,), (1,), (2,), (0, 3))).network
    found = find_accesses(network)
    last = (found.layer == 4) & (found.kind == DATA)
    reads = list(zip(found.touched_by[last], found.distance_bytes[last], strict=True))
    near = [walked for since, walked in reads if since == 3]
    far = [walked for since, walked in reads if since == 1]
    assert near
    assert far
    assert min(far) > min(near)


def test_time_between_touches_wraps_round():
    dense = operators.fully_connected(64, 64)
    found = find_accesses(Probe("network", (dense,) * 3).network)
    waited = elapsed_ms(found, np.array([1.0, 2.0, 4.0]))
    # From the end of a layer in one inference to its beginning in the next: all the others.
    assert waited[found.kind == VECTOR].tolist() == [6.0, 5.0, 3.0]
    assert np.all(waited >= 0)


def test_a_table_of_layers_says_nothing():
    assert find_accesses(Network("table", (operators.fully_connected(4, 4),))) is None


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 30)), min_size=1, max_size=25))
def test_the_arena_remembers_who_touched_each_byte_last(touches):
    arena, bytes_ = _Arena(), {}
    for who, (begin, length) in enumerate(touches):
        seen = {}
        for at in range(begin, begin + length):
            if at in bytes_:
                seen[bytes_[at]] = seen.get(bytes_[at], 0) + 1
        found = {}
        for owner, shared in arena.last(begin, begin + length):
            found[owner] = found.get(owner, 0) + shared
        assert found == seen
        arena.touch(begin, begin + length, who)
        bytes_.update(dict.fromkeys(range(begin, begin + length), who))
