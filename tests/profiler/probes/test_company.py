from __future__ import annotations

import numpy as np
import pytest

from profiler.operators import binary, conv_2d, fully_connected, pad, unary
from profiler.probes import Probe, draw_network, in_company, plan_company, plan_few
from profiler.probes.company import crowded, shared_joins, starting
from profiler.tflite import read_network


@pytest.mark.parametrize(
    "layer",
    [
        conv_2d(8, 8, 16, 24, dtype="int8"),
        fully_connected(16, 8, dtype="int8"),
        binary("add", (1, 4, 4, 8), (1, 4, 4, 8), dtype="int8"),
        unary("softmax", (1, 6, 32), "int8"),
    ],
)
def test_a_layer_in_company_reads_and_is_read_by_other_layers_only(layer):
    probe = in_company(layer)
    network = read_network(probe.build())
    assert probe.kind == "company"
    position = len(layer.activations)
    edge = network.edges[position]
    assert network.layers[position].op == layer.op
    made = {tensor for other in network.edges[:position] for tensor in other.outputs}
    read = {tensor for other in network.edges[position + 1 :] for tensor in other.inputs}
    assert set(edge.inputs) & made == {
        tensor for tensor in edge.inputs if not network.tensors[tensor].constant
    }
    assert set(edge.outputs) <= read


def test_layers_in_a_row_stay_in_a_row():
    border = pad((1, 8, 8, 16), ((0, 0), (1, 1), (1, 1), (0, 0)), "int8")
    window = conv_2d(10, 10, 16, 24, padding="valid", dtype="int8")
    assert [layer.op for layer in in_company(border, window).layers] == [
        "conv_2d",
        "pad",
        "conv_2d",
        "conv_2d",
    ]


def test_what_cannot_have_company_stays_alone():
    several = conv_2d(8, 8, 16, 24, dtype="int8", batch=2)
    assert in_company(several) == Probe("layer", (several,))
    assert in_company(conv_2d(8, 8, 16, 24)).kind == "layer"


def test_the_plan_is_the_same_each_time_and_every_prefix_has_networks_and_layers():
    plan = plan_company(["int8"])
    assert plan == plan_company(["int8"])
    assert len(plan) == len(set(plan))
    assert {probe.kind for probe in plan[:60]} == {"company", "start", "network"}
    only = plan_company(["int8"], ["softmax"])
    assert all("softmax" in [layer.op for layer in probe.layers] for probe in only)


def test_few_layers_are_of_what_multiplies_only():
    ops = {probe.layers[0].op for probe in plan_few(["int8"])[:80]}
    assert ops == {"conv_2d", "depthwise_conv_2d", "fully_connected", "batch_matmul"}
    assert {probe.layers[0].op for probe in plan_few(["int8"], ["conv_2d"])} == {"conv_2d"}


def test_a_layer_that_starts_a_network_reads_what_the_caller_gave_and_is_read():
    layer = conv_2d(16, 16, 3, 8, dtype="int8")
    probe = starting(layer)
    assert (probe.kind, probe.layers[0], probe.sources) == ("start", layer, ((-1,), (0,)))
    assert read_network(probe.build()).layers[0].key == layer.key


def test_a_join_of_what_is_read_elsewhere_too_is_between_its_parts_and_its_readers():
    for probe in shared_joins("int8", np.random.default_rng(0), 3):
        join = next(i for i, layer in enumerate(probe.layers) if layer.op == "concatenation")
        assert probe.sources[join] == (0, 1)
        assert sum(0 in sources for sources in probe.sources) == 2


def test_wide_networks_are_as_large_as_pictures_and_soon_compiled():
    rng = np.random.default_rng(0)
    networks = [draw_network(rng, "int8", wide=True) for _ in range(5)]
    assert all(sum(layer.parameters for layer in one.layers) <= 400_000 for one in networks)
    assert max(one.layers[0].inputs[0].shape[1] for one in networks) > 128


def test_the_input_of_a_crowded_layer_is_kept_until_another_layer_has_read_it():
    for probe in crowded("int8", np.random.default_rng(0), 6):
        layer = probe.layers[1]
        assert probe.sources == ((-1,), (0,), (1,), (0,))
        assert layer.input_bytes + layer.output_bytes > 100_000
        assert layer.outputs[0].shape == probe.layers[2].inputs[0].shape
