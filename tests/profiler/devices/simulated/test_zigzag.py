from __future__ import annotations

import pytest

from profiler.devices.simulated.zigzag_worker import loop_sizes, workload
from profiler.network import Layer
from profiler.operators import (
    batch_matmul,
    conv_2d,
    depthwise_conv_2d,
    fully_connected,
    grouped_conv_2d,
    unary,
)

CONFIGURATION = {"weight_bits": 4, "activation_bits": 8, "sum_bits": 24}


@pytest.mark.parametrize(
    ("layer", "loops"),
    [
        (conv_2d(8, 6, 3, 5, (3, 5), dtype="int8"), (1, 5, 1, 6, 8, 3, 5, 3)),
        (conv_2d(8, 8, 16, 32, (1, 1), (2, 2), dtype="int8"), (1, 32, 1, 4, 4, 16, 1, 1)),
        (depthwise_conv_2d(8, 8, 16, dtype="int8"), (1, 1, 16, 8, 8, 1, 3, 3)),
        (depthwise_conv_2d(8, 8, 16, multiplier=2, dtype="int8"), (1, 2, 16, 8, 8, 1, 3, 3)),
        (grouped_conv_2d(8, 8, 4, 16, 32, dtype="int8"), (1, 8, 4, 8, 8, 4, 3, 3)),
        (fully_connected(64, 10, 5, dtype="int8"), (1, 10, 1, 5, 1, 64, 1, 1)),
        (batch_matmul((1, 4), 9, 16, 7, dtype="int8"), (1, 7, 4, 9, 1, 16, 1, 1)),
    ],
)
def test_the_loops_of_a_layer_multiply_to_its_macs(layer: Layer, loops):
    sizes = loop_sizes(layer)
    assert sizes is not None
    assert sizes[0] == loops
    product = 1
    for size in loops:
        product *= size
    assert product == layer.macs


def test_what_does_not_multiply_by_weights_or_is_of_floats_is_left():
    assert loop_sizes(unary("relu", (1, 4, 4, 8), "int8")) is None
    assert loop_sizes(conv_2d(8, 8, 3, 5)) is None


def test_padding_and_bits_are_those_of_the_layer():
    sizes = loop_sizes(conv_2d(8, 8, 16, 32, (3, 3), (2, 2), dtype="int8"))
    assert sizes is not None
    layer = workload(sizes, CONFIGURATION)
    assert layer["padding"] == [[0, 1], [0, 1]]
    assert layer["dimension_relations"] == ["ix=2*ox+1*fx", "iy=2*oy+1*fy"]
    assert layer["operand_precision"] == {"W": 4, "I": 8, "O_final": 8, "O": 24}
    valid = loop_sizes(conv_2d(8, 8, 16, 32, padding="valid", dtype="int8"))
    assert valid is not None
    assert workload(valid, CONFIGURATION)["padding"] == [[0, 0], [0, 0]]


@pytest.mark.slow
def test_it_passes_the_suite_for_targets_with_time_and_energy():
    pytest.importorskip("zigzag", reason="needs the extra zigzag (pip install edgetime[zigzag])")
    from profiler.devices import open_target
    from profiler.probes import Probe
    from profiler.testing import check_target

    probes = [
        Probe("layer", (layer,))
        # ZigZag fails on what a design does in one step, such as a 1x1 convolution of 4x4 pixels and 8 channels here.
        for layer in (conv_2d(8, 8, 8, 8, (1, 1), dtype="int8"), fully_connected(16, 8, dtype="int8"))
    ]
    target = open_target("sim:edge_tpu_like?mhz=500")
    check_target(target, probes, leave_out=("closing",))  # starting takes seconds
    with target:
        answer = target.time_probe(probes[0].build())
        pair = target.time_probe(Probe("pair", (probes[0].layers[0],) * 2).build())
    assert answer["energy_mj"] > 0
    # Layers are added up, each worked out on its own.
    assert pair["median_us"] == pytest.approx(2 * answer["median_us"])
    assert pair["energy_mj"] == pytest.approx(2 * answer["energy_mj"])


@pytest.mark.slow
def test_a_layer_that_waits_for_weights_takes_time_and_energy_in_proportion_to_their_bits():
    pytest.importorskip("zigzag", reason="needs the extra zigzag (pip install edgetime[zigzag])")
    from profiler.devices import open_target
    from profiler.devices.simulated import WeightDecoder
    from profiler.probes import Probe

    content = Probe("layer", (fully_connected(256, 256, dtype="int8"),)).build()
    with open_target("sim:edge_tpu_like") as target:
        found = {bits: target.measure_stored(content, [bits]) for bits in (32, 8, 4, 4.5, 5)}
        decoded = target.measure_stored(content, [4], WeightDecoder(1.0, 1000.0))
        slow = target.measure_stored(content, [4], WeightDecoder(1e4, 0.0))
        plain = target.time_probe(content)
    for quantity in ("median_us", "energy_mj"):
        assert found[8][quantity] == pytest.approx(plain[quantity])
        assert found[32][quantity] == pytest.approx(4 * plain[quantity], rel=0.1)
        assert found[4][quantity] == pytest.approx(plain[quantity] / 2, rel=0.1)
        assert found[4.5][quantity] == pytest.approx((found[4][quantity] + found[5][quantity]) / 2)
    assert decoded["energy_mj"] - found[4]["energy_mj"] >= 256 * 256 * 1000 / 1e9
    assert decoded["median_us"] == found[4]["median_us"] < slow["median_us"]
