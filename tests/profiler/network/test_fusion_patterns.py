from __future__ import annotations

import pytest
from probe_patterns import pattern_of

from profiler import operators
from profiler.network import FUSION_PATTERNS, FusionMatch, Layer, Network, pattern_name
from profiler.probes import Probe
from profiler.probes.pairs import SIZES, plan_pairs

SHAPE = (1, 8, 8, 4)
CONV = operators.conv_2d(8, 8, 4, 4)
RELU = operators.unary("relu", SHAPE)
ADD = operators.binary("add", SHAPE, SHAPE)


def found(layers: tuple[Layer, ...], wiring: tuple[tuple[int, ...], ...] = ()) -> list[str]:
    return [pair.pattern for pair in Probe("network", layers, wiring).network.fusion_matches]


def test_which_of_the_two_is_absorbed() -> None:
    pad = operators.pad(SHAPE, ((0, 0), (1, 1), (1, 1), (0, 0)))
    inside = operators.conv_2d(10, 10, 4, 4, padding="valid")
    pairs = Probe("network", (pad, inside, RELU)).network.fusion_matches
    assert pairs == (FusionMatch("pad+conv_2d", 0, 1), FusionMatch("conv_2d+relu", 1, 2))
    assert [pair.absorbed for pair in pairs] == [0, 2]


def test_neighbours_are_searched_once() -> None:
    network = Probe("network", (CONV, RELU)).network
    assert network.fusion_matches is network.fusion_matches


def test_an_operand_that_is_stored_makes_another_pattern() -> None:
    stored = operators.binary("add", SHAPE, (4,), constant=True)
    assert pattern_name(stored) == "add_const"
    assert pattern_name(ADD) == "add"
    assert pattern_name(CONV) == "conv_2d"
    assert found((CONV, stored)) == ["conv_2d+add_const"]
    assert found((CONV, ADD), ((-1,), (0, -2))) == ["conv_2d+add"]


def test_both_operands_of_one_add() -> None:
    assert found((CONV, ADD), ((-1,), (0, 0))) == ["conv_2d+add"]


def test_what_something_else_reads_or_the_caller_gets_stays() -> None:
    assert found((CONV, RELU, ADD), ((-1,), (0,), (0, 1))) == []
    whole = Probe("network", (CONV, RELU)).network
    told = Network("n", whole.layers, whole.edges, whole.tensors, whole.inputs, (*whole.outputs, 3))
    assert whole.edges[0].outputs == (3,)
    assert told.fusion_matches == ()


def test_a_clamp_after_an_activation_is_another_matter() -> None:
    active = operators.conv_2d(8, 8, 4, 4, activation="relu6")
    assert found((active, RELU)) == []
    assert found((active, operators.unary("hard_swish", SHAPE))) == ["conv_2d+hard_swish"]


def test_a_pad_before_a_convolution_that_pads_itself() -> None:
    pad = operators.pad(SHAPE, ((0, 0), (1, 1), (1, 1), (0, 0)))
    assert found((pad, operators.conv_2d(10, 10, 4, 4, padding="same"))) == []


def test_layers_of_different_graphs_are_no_neighbours() -> None:
    whole = Probe("network", (CONV, RELU)).network
    edges = (whole.edges[0], type(whole.edges[1])(whole.edges[1].inputs, whole.edges[1].outputs, 1))
    assert Network("n", whole.layers, edges, whole.tensors, whole.inputs, whole.outputs).fusion_matches == ()


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_every_pattern_is_probed_at_every_size_with_its_parts(dtype: str) -> None:
    probes = plan_pairs(dtype)
    alone = {probe.layers[0] for probe in probes if probe.kind == "layer"}
    count: dict[str, int] = {}
    for probe in probes:
        if probe.kind == "pair":
            count[pattern_of(probe)] = count.get(pattern_of(probe), 0) + 1
            assert set(probe.layers) <= alone
    assert "" not in count
    assert min(count.values()) >= len(SIZES)
    missing = set(FUSION_PATTERNS) - set(count)
    if dtype == "float32":
        assert missing == {pattern for pattern in FUSION_PATTERNS if "quantize" in pattern}
    else:
        assert all({"gelu", "transpose", "batch_matmul"} & set(pattern.split("+")) for pattern in missing)


def test_every_pair_can_be_built() -> None:
    for dtype in ("float32", "int8"):
        for probe in plan_pairs(dtype):
            assert probe.build()[4:8] == b"TFL3"
