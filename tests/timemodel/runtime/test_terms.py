import json

import numpy as np
import pytest

from profiler import operators
from profiler.network import Edge, Layer, Network
from profiler.probes import Probe
from timemodel.model import conformal_bounds
from timemodel.runtime import CacheTraffic, Dispatch, GraphRule, RuntimeTerms
from timemodel.runtime.cache_traffic import KNOTS_MB
from timemodel.runtime.fusion import PARTLY

SHAPE = (1, 8, 8, 4)


def find_pairs(network):
    """(Pattern, position of the one that is absorbed, of the other)."""
    return [(p.pattern, p.absorbed, p.first + p.second - p.absorbed) for p in network.fusion_matches]


def test_a_pad_is_paired_with_its_convolution():
    pad = operators.pad(SHAPE, ((0, 0), (1, 1), (1, 1), (0, 0)))
    conv = operators.conv_2d(10, 10, 4, 4, padding="valid")
    assert find_pairs(Probe("pair", (pad, conv)).network) == [("pad+conv_2d", 0, 1)]


def test_a_pad_that_something_else_reads_too_is_not_fused():
    pad = operators.pad(SHAPE, ((0, 0), (1, 1), (1, 1), (0, 0)))
    conv = operators.conv_2d(10, 10, 4, 4, padding="valid")
    other = operators.unary("relu", (1, 10, 10, 4))
    assert find_pairs(Probe("network", (pad, conv, other), ((-1,), (0,), (0,))).network) == []


def test_a_gate_on_another_tensor_is_not_a_swish():
    gate, product = operators.unary("logistic", SHAPE), operators.binary("mul", SHAPE, SHAPE)
    assert find_pairs(Probe("pair", (gate, product), ((-1,), (-1, 0))).network) == [("logistic+mul", 0, 1)]
    assert find_pairs(Probe("pair", (gate, product), ((-1,), (-2, 0))).network) == []


def test_layers_without_edges_have_no_pairs():
    assert find_pairs(Network("n", (operators.unary("relu", SHAPE),))) == []


def test_terms_survive_json():
    prices = np.linspace(0.0, 1.0, 4 * len(KNOTS_MB)).reshape(4, -1)
    rules = (GraphRule("int8", "pad+conv_2d", PARTLY, 0.5, 8, True),)
    terms = RuntimeTerms(
        0.1,
        rules,
        CacheTraffic(prices, 4.0),
        {"int8": Dispatch((0.0, 1e-6, 0.0, 2e-5))},
        {"int8": 1.1},
        {"int8": 0.9},
        {"int8": 1.2},
    )
    read = RuntimeTerms.from_dict(json.loads(json.dumps(terms.to_dict())))
    assert read.to_dict() == terms.to_dict()
    assert np.array_equal(read.cache_traffic.prices_ms_per_mb, prices)
    assert read.fusion_shares.absorbed == {"int8": {"pad+conv_2d": 0.5}}


def test_conformal_bounds_leave_out_a_twentieth_on_each_side():
    ratios = np.arange(1, 40) / 20  # 39 of them: the 2nd smallest and the 2nd largest bound 90%
    assert conformal_bounds(ratios) == (2 / 20, 38 / 20)
    # Of 29 half-way, by factor, from the extreme to the next.
    assert conformal_bounds(np.array([0.1, *[1.0] * 27, 4.0])) == pytest.approx((0.1**0.5, 2.0))


def test_few_ratios_are_widened():
    assert conformal_bounds(np.array([1.0, 2.0])) == (0.8, 2.5)


def test_bounds_hold_on_unseen_draws():
    rng = np.random.default_rng(0)
    inside = []
    for _ in range(300):
        low, high = conformal_bounds(rng.lognormal(0, 0.3, 60))
        inside.append(low <= rng.lognormal(0, 0.3) <= high)
    assert 0.85 <= np.mean(inside) <= 0.95


def test_edges_of_probes_are_wired_as_said():
    relu = operators.unary("relu", SHAPE)
    add = operators.binary("add", SHAPE, SHAPE)
    network = Probe("network", (relu, add), ((-1,), (-1, 0))).network
    assert network.edges == (Edge((0,), (1,)), Edge((0, 1), (2,)))
    assert network.inputs == (0,)
    assert network.outputs == (2,)
    assert isinstance(network.layers[0], Layer)
