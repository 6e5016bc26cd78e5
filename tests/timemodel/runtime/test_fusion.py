from dataclasses import asdict

import numpy as np
import pytest
from made_up_device import FUSED, HALVED, OVERHEAD_MS, probe_ms
from probe_patterns import pattern_of

from profiler import operators
from profiler.network import Layer, Tensor
from profiler.probes import Probe
from profiler.probes.pairs import plan_pairs
from timemodel.runtime import FusionShares, GraphRule, graph_in_words, learn_rules
from timemodel.runtime import fusion as graph_rules
from timemodel.runtime.fusion import INSIDE
from timemodel.runtime.fusion_learning import learn_inside, other_share, ran_as_one, remaining_share

SHAPE = (1, 8, 8, 16)
PAD = operators.pad(SHAPE, ((0, 0), (1, 1), (1, 1), (0, 0)))
CONV = operators.conv_2d(10, 10, 16, 8, padding="valid")


def nothing_predicted(layers):
    raise AssertionError("all parts were measured")


def rules_on_paper(noise=0.0, seed=0, events=None, dtype="float32"):
    rng = np.random.default_rng(seed)
    probes = plan_pairs(dtype)
    measured = [(p, probe_ms(p) * float(np.exp(rng.normal(0, noise)))) for p in probes]
    return learn_rules(measured, OVERHEAD_MS, nothing_predicted, events)


@pytest.mark.parametrize(("noise", "seed"), [(0.0, 0), (0.01, 1), (0.02, 2), (0.02, 3), (0.02, 4)])
def test_what_was_planted_is_found_and_nothing_else(noise, seed):
    shares = FusionShares.of(rules_on_paper(noise, seed)).absorbed["float32"]
    assert {pattern for pattern, share in shares.items() if share == 0} == FUSED
    assert {pattern for pattern, share in shares.items() if 0 < share < 1} == HALVED
    assert shares["mul_const+add_const"] == pytest.approx(0.5, abs=0.15)


@pytest.mark.parametrize("seed", range(6))
def test_noise_alone_invents_no_rule(seed):
    rng = np.random.default_rng(seed)
    for _ in range(50):
        absorbed, other = np.full(4, 0.2), np.full(4, 1.0)
        pair = (absorbed + other) * np.exp(rng.normal(0, 0.03, 4))
        assert remaining_share(pair, absorbed, other) == 1.0


def test_the_profiler_outvotes_the_clock():
    pair, absorbed, other = np.full(4, 1.0), np.full(4, 1.0), np.full(4, 1.0)
    assert remaining_share(pair, absorbed, other) == 0.0
    assert remaining_share(pair, absorbed, other, fused=False) == 1.0
    noisy = np.full(4, 1.95)
    assert remaining_share(noisy, absorbed, other) == 1.0
    assert remaining_share(noisy, absorbed, other, fused=True) == pytest.approx(0.95)


def test_an_operator_lost_in_noise_is_taken_from_the_profiler():
    pair, absorbed, other = np.array([10.0, 10.1, 9.9]), np.full(3, 0.1), np.full(3, 10.0)
    assert remaining_share(pair, absorbed, other) == 1.0
    assert remaining_share(pair, absorbed, other, fused=True) == 0.0


def test_a_part_that_was_not_measured_alone_is_predicted():
    pair = Probe("pair", (PAD, CONV))
    sizes = [(pair, 1.5 + OVERHEAD_MS)]
    rules = learn_rules(sizes, OVERHEAD_MS, lambda layers: np.array([0.5, 1.0]))
    assert [(rule.pattern, rule.share) for rule in rules] == [("pad+conv_2d", 1.0)]
    assert remaining_share(np.full(3, 1.0), np.full(3, 0.5), np.full(3, 1.0)) == 0.0


def test_operators_that_ran_are_counted_without_what_the_runtime_inserts():
    pair = Probe("pair", (PAD, CONV))
    assert ran_as_one(pair, [("Convolution", 8)])
    assert not ran_as_one(pair, [("Constant Pad", 8), ("Convolution", 8)])
    dense = Probe("pair", (operators.fully_connected(4, 4), operators.unary("relu", (1, 4))))
    assert ran_as_one(dense, [("Static Reshape", 8), ("Fully Connected", 8)])
    moved = operators.reshape(SHAPE, (1, 64, 16))
    swap = operators.transpose((1, 64, 16), (0, 2, 1))
    assert ran_as_one(Probe("pair", (moved, swap)), [("Static Reshape", 8), ("Transpose", 8)]) is None


def test_events_make_rules():
    events = {}
    for probe in plan_pairs("float32"):
        if probe.kind == "pair":
            names = [layer.op for layer in probe.layers]
            events[probe.key] = [(name, 8) for name in (names[1:] if pattern_of(probe) in FUSED else names)]
        else:
            layer = probe.layers[0]
            kind = 2 if layer.op == "gelu" or (layer.op == "mean" and layer.params["keep_dims"]) else 8
            clamps = layer.op == "add" and layer.params["activation"] != "none"
            events[probe.key] = [(layer.op, kind), *([("Clamp", 8)] if clamps else [])]
    rules = rules_on_paper(0.02, 5, events)
    moves = {"reshape", "transpose", "concatenation"}
    assert all(
        rule.seen != bool(moves & set(rule.pattern.split("+"))) for rule in rules if "+" in rule.pattern
    )
    found = {(rule.pattern, rule.happens) for rule in rules if rule.happens != graph_rules.APART}
    expected = {(pattern, graph_rules.FUSED) for pattern in FUSED}
    expected |= {("add", graph_rules.SPLIT), ("gelu", graph_rules.OUTSIDE), ("mean", graph_rules.OUTSIDE)}
    assert found == expected
    outside = {rule.pattern: rule.share for rule in rules if rule.happens == graph_rules.OUTSIDE}
    assert outside == {"gelu": 1.0, "mean": 0.5}


def test_a_pair_that_was_seen_but_not_timed_yet():
    pair, apart = (
        Probe("pair", (PAD, CONV)),
        Probe("pair", (CONV, operators.unary("tanh", CONV.outputs[0].shape))),
    )
    events = {pair.key: [("Convolution", 8)], apart.key: [("Convolution", 8), ("TanH", 8)]}
    rules = learn_rules([], 0.0, nothing_predicted, events)
    assert [(rule.pattern, rule.happens, rule.share, rule.probes) for rule in rules] == [
        ("conv_2d+tanh", graph_rules.APART, 1.0, 0),
        ("pad+conv_2d", graph_rules.FUSED, 0.0, 0),
    ]


def test_without_a_delegate_nothing_is_outside_of_it():
    probe = Probe("layer", (CONV,))
    assert learn_rules([], 0.0, nothing_predicted, {probe.key: [("CONV_2D", 2)]}) == []
    assert learn_rules([], 0.0, nothing_predicted, {probe.key: None}) == []


def test_a_dtype_that_a_delegate_leaves_alone_altogether():
    ops = ("relu", "tanh", "logistic")
    events = {Probe("layer", (operators.unary(op, SHAPE),)).key: [(op, 8)] for op in ops}
    events |= {Probe("layer", (operators.unary(op, SHAPE, "int8"),)).key: [(op, 2)] for op in ops}
    (rule,) = learn_rules([], 0.0, nothing_predicted, events)
    assert (rule.dtype, rule.pattern, rule.share, rule.probes) == ("int8", graph_rules.EVERYTHING, 1.0, 3)
    assert graph_in_words([rule]) == ["int8: Every operator runs outside XNNPACK, by the built-in kernels"]


def test_a_dear_activation_is_found_by_its_time():
    measured = []
    for side in (8, 16, 32, 64):
        shape = (1, side, side, 16)
        plain, active = (operators.binary("add", shape, shape, name) for name in ("none", "relu"))
        measured += [(Probe("layer", (plain,)), 1.0 * side), (Probe("layer", (active,)), 1.6 * side)]
    (rule,) = learn_rules(measured, 0.0, nothing_predicted)
    assert (rule.pattern, rule.happens, rule.seen) == ("add", graph_rules.SPLIT, False)
    assert rule.share == pytest.approx(1.6)
    assert graph_in_words([rule]) == ["float32: An ADD with a fused activation takes 1.6 times one without"]


def test_factors_go_to_the_operator_that_vanishes():
    relu = operators.unary("relu", (1, 8, 8, 8))
    network = Probe("network", (PAD, CONV, relu)).network
    shares = {"float32": {"pad+conv_2d": 0.0, "conv_2d+relu": 0.5, "conv_2d+add": 0.0}}
    assert FusionShares(shares).factors(network).tolist() == [0.0, 1.0, 0.5]
    assert FusionShares({"int8": shares["float32"]}).factors(network).tolist() == [1.0, 1.0, 1.0]


def test_rules_survive_json():
    for rule in rules_on_paper():
        assert GraphRule.from_dict(asdict(rule)) == rule
    with pytest.raises(ValueError, match="melted"):
        GraphRule.from_dict({**asdict(rule), "happens": "melted"})
    with pytest.raises(ValueError, match="share"):
        GraphRule.from_dict({**asdict(rule), "share": -1.0})


def test_rules_in_words():
    rules = [
        GraphRule("float32", "pad+conv_2d", graph_rules.FUSED, 0.0, 8, True),
        GraphRule("float32", "pad+depthwise_conv_2d", graph_rules.FUSED, 0.0, 8, True),
        GraphRule("float32", "conv_2d+relu", graph_rules.FUSED, 0.0, 4, True),
        GraphRule("float32", "mul_const+add_const", graph_rules.PARTLY, 0.5, 4),
        GraphRule("float32", "conv_2d+add", graph_rules.APART, 1.0, 4),
        GraphRule("int8", "relu", graph_rules.OUTSIDE, 1.0, 4, True),
        GraphRule("int8", "concatenation", graph_rules.OUTSIDE, 0.25, 4, True),
    ]
    assert graph_in_words(rules) == [
        "float32: A PAD before a convolution or a depthwise convolution costs nothing: it runs inside it",
        "float32: A RELU after a convolution costs nothing: it runs inside it",
        "float32: An ADD of a constant after a MUL of a constant costs 50% of its time",
        "float32: 1 other kind of neighbours costs what it costs alone",
        "int8: Runs outside XNNPACK, by the built-in kernels: relu",
        "int8: In some cases too: concatenation",
    ]


def test_reshapes_between_others_are_learned_from_chains():
    from profiler.probes.context import parts, reshapes

    chains = reshapes("float32")
    alone = [(probe, 0.5 + (2.0 if probe.layers[0].op == "reshape" else 1.0)) for probe in parts(chains)]
    # Six reshapes and seven others each: inside, a reshape takes nothing.
    (free,) = learn_inside([*alone, *((probe, 0.5 + 7.0) for probe in chains)], 0.5)
    assert (free.pattern, free.happens, free.share) == (INSIDE, "fused", 0.0)
    (apart,) = learn_inside([*alone, *((probe, 0.5 + 7.0 + 12.0) for probe in chains)], 0.5)
    assert (apart.happens, apart.share) == ("apart", 1.0)
    assert learn_inside(alone, 0.5) == []
    network = chains[0].network
    free_of = FusionShares({"float32": {INSIDE: 0.0}}).factors(network)
    assert [layer.op == "reshape" for layer in network.layers] == [factor == 0 for factor in free_of]


def test_what_constants_cost_in_place_is_learned_by_operator_and_holds_between_others_only():
    from profiler.probes.context import parts, short_rows

    chains = short_rows("int8")
    alone = [(probe, 0.5 + 1.0) for probe in parts(chains)]
    slow = {"add": 3.0, "sub": 2.0, "mul": 1.1}
    rules = learn_inside(
        [*alone, *((probe, 0.5 + 2.0 + 2 * slow[probe.layers[1].op]) for probe in chains)], 0.5
    )
    shares = FusionShares.of(rules)
    expected = {"add_const in place": 3.0, "sub_const in place": 2.0, "mul_const in place": 1.0}
    assert shares.absorbed == {"int8": pytest.approx(expected)}, "a tenth may be noise"
    (chain,) = [
        probe for probe in chains if probe.layers[1].op == "add" and probe.layers[1].outputs[0].shape[1] == 48
    ]
    assert shares.factors(chain.network).tolist() == [1.0, 3.0, 3.0, 1.0]
    first = Probe("chain", chain.layers[1:])
    assert shares.factors(first.network).tolist() == [1.0, 3.0, 1.0], (
        "the network's input is not written over"
    )
    wide = operators.binary("add", (1, 48, 48, 16), (16,), dtype="int8", constant=True)
    assert graph_rules.inside_pattern(wide) is None
    assert any(
        "An ADD of a constant for each of fewer than 16 channels takes 3.0 times" in line
        for line in graph_in_words(rules)
    )


def test_a_small_reshape_takes_the_time_of_any_operator_wherever_it_stands():
    small, large = (operators.reshape((1, size), (size,), "int8") for size in (1024, 1025))
    assert [graph_rules.inside_pattern(layer) for layer in (small, large)] == [None, INSIDE]


def test_a_reshape_at_the_end_of_a_network_is_not_inside():
    layers = operators.unary("neg", (1, 4, 4, 2)), operators.reshape((1, 4, 4, 2), (1, 32))
    network = Probe("network", layers).network
    assert FusionShares({"float32": {INSIDE: 0.0}}).factors(network).tolist() == [1.0, 1.0]


def test_two_that_run_as_one_cheaper_kernel_keep_a_share_of_the_other():
    other = np.array([2.0, 4.0, 8.0, 16.0])
    assert other_share(0.6 * other, other) == pytest.approx(0.6)
    assert other_share(0.97 * other, other) == 1.0
    assert other_share(0.6 * other[:1], other[:1]) == 1.0


def test_a_number_without_dimensions_beside_a_constant_has_no_pattern_of_its_own():
    number, constant = Tensor((), "float32"), Tensor((4,), "float32", True)
    assert graph_rules.inside_pattern(Layer("add", (number, constant), (constant,))) is None
