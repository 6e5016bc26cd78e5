"""Networks cut in two: what crosses, and head then tail is the whole network, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compressor.export import TfliteRunner
from profiler.network import Layer, Tensor
from profiler.operators import conv_2d, unary
from profiler.probes import Probe
from profiler.probes.blocks import draw_network
from profiler.tflite import find_cuts, read_network, split_file

pytest.importorskip("ai_edge_litert.schema_py_generated")


def outputs(content, rows):
    found = TfliteRunner(content).predict(rows)
    return found if isinstance(found, list) else [found]


def in_turn(content, cut, rows):
    """What the tail gives for what the head gives."""
    head, tail = split_file(content, cut)
    first, second = TfliteRunner(head), TfliteRunner(tail)
    given = dict(zip(first.output_dtypes, outputs(head, rows), strict=True)) | rows
    return outputs(tail, {name: given[name] for name in second.input_shapes})


def rows_for(content, seed):
    random, runner = np.random.default_rng(seed), TfliteRunner(content)
    return {name: random.normal(size=shape).astype(np.float32) for name, shape in runner.input_shapes.items()}


def test_of_a_chain_every_place_is_a_cut_that_one_tensor_crosses():
    content = Probe("pair", (conv_2d(8, 8, 3, 4), unary("tanh", (1, 8, 8, 4)), conv_2d(8, 8, 4, 5))).build()
    cuts = find_cuts(read_network(content))
    assert [(cut.after, len(cut.tensors), cut.nbytes) for cut in cuts] == [(1, 1, 1024), (2, 1, 1024)]
    assert cuts[0].name.startswith("conv_2d")


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10_000), dtype=st.sampled_from(["float32", "int8"]), share=st.floats(0, 0.999))
def test_head_then_tail_is_the_whole_network_bit_for_bit(seed, dtype, share):
    content = draw_network(np.random.default_rng(seed), dtype).build()
    network = read_network(content)
    cuts = find_cuts(network)
    if not cuts:
        return
    cut = cuts[int(share * len(cuts))]
    rows = rows_for(content, seed)
    whole = outputs(content, rows)
    for one, other in zip(in_turn(content, cut, rows), whole, strict=True):
        assert np.array_equal(one, other)
    # nothing is lost, and what neither needs is stored by neither
    parts = [read_network(part) for part in split_file(content, cut)]
    assert sum(len(part.layers) for part in parts) == len(network.layers)
    assert sum(part.weight_bytes for part in parts) == network.weight_bytes
    assert sum(part.macs for part in parts) == network.macs


def test_in_a_residual_two_tensors_cross_and_an_input_of_the_tail_is_carried_to_it():
    shape = Tensor((1, 8, 8, 4))
    add = Layer("add", (shape, shape), (shape,), {"activation": "none"})
    layers = (conv_2d(8, 8, 4, 4), unary("tanh", (1, 8, 8, 4)), add)
    residual = Probe("network", layers, ((-1,), (0,), (0, 1))).build()
    beside = Probe("network", layers, ((-1,), (0,), (-1, 1))).build()
    for content, crossing in ((residual, [1, 2]), (beside, [2, 2])):
        cuts = find_cuts(read_network(content))
        assert [len(cut.tensors) for cut in cuts] == crossing
        rows = rows_for(content, 0)
        for cut in cuts:
            assert np.array_equal(in_turn(content, cut, rows)[0], outputs(content, rows)[0])
