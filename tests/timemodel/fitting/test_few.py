"""What a handful of layers say of an operator."""

import numpy as np
import pytest

from profiler.network import Tensor
from profiler.operators import conv_2d, draw_layer, fully_connected, svdf, transpose_conv, unary
from profiler.operators.reshaping import blocks
from profiler.probes import Probe
from timemodel.features import geometry
from timemodel.features.columns import POSITION
from timemodel.fitting import fit_setting
from timemodel.model import FEWEST_PROBES, fit_operator


def reference_ms(layer):
    """Kernels without tricks: so much per product."""
    return 1e-4 + 4e-7 * layer.macs


def test_six_layers_of_a_kernel_without_tricks_say_what_any_layer_takes():
    rng = np.random.default_rng(1)
    layers = [draw_layer("svdf", "float32", rng) for _ in range(6)]
    model = fit_operator("svdf", "float32", layers, np.array([reference_ms(layer) for layer in layers]))
    unseen = svdf(40, 128, 10)
    assert model.predict_ms(geometry([unseen]))[0] == pytest.approx(reference_ms(unseen), rel=0.1)
    assert 1.2 < model.high / model.low < 20


def test_the_fewer_layers_the_wider_the_interval():
    rng = np.random.default_rng(2)
    layers = [fully_connected(int(rng.integers(8, 400)), int(rng.integers(8, 400))) for _ in range(16)]
    times = np.array([reference_ms(layer) for layer in layers]) * rng.uniform(0.9, 1.1, len(layers))
    spans = [
        model.high / model.low
        for count in (5, 16)
        for model in [fit_operator("fully_connected", "float32", layers[:count], times[:count])]
    ]
    assert spans[0] > spans[1]


def test_an_operator_with_a_handful_of_probes_is_known_and_one_with_fewer_is_not():
    rows = [conv_2d(8, 8, 4 + i, 8) for i in range(20)]
    rows += [svdf(8, 4 + i, 4) for i in range(FEWEST_PROBES)]
    rows += [unary("elu", (1, 8 + i)) for i in range(FEWEST_PROBES - 1)]
    measured = [(Probe("layer", (layer,)), reference_ms(layer)) for layer in rows]
    found, _ = fit_setting(measured)
    assert ("svdf", "float32") in found
    assert ("elu", "float32") not in found


def test_of_a_transposed_convolutions_kernel_each_result_meets_a_part():
    (row,) = geometry([transpose_conv(8, 8, 16, 16, (8, 8), (4, 4))])
    assert (row[POSITION["kernel_height"]], row[POSITION["kernel_width"]]) == (2.0, 2.0)
    taps = row[POSITION["kernel_height"]] * row[POSITION["kernel_width"]] * row[POSITION["in_channels"]]
    assert taps * row[POSITION["out_elements"]] == row[POSITION["macs"]]


def test_a_reshape_is_one_run_whatever_its_result_looks_like():
    from profiler.operators import reshape

    (row,) = geometry([reshape((1, 28, 28, 32), (1, 784, 32))])
    assert row[POSITION["inner"]] == Tensor((1, 784, 32)).size


def moved_ms(layer):
    """Blocks that are copied one by one: so much for each, whatever their size, and a call."""
    block, channels = layer.params["block_size"], layer.outputs[0].shape[-1]
    return 3e-4 + 2e-6 * layer.outputs[0].size / (block * channels)


def test_few_layers_tell_by_which_cost_their_times_go():
    rng = np.random.default_rng(3)
    layers = [draw_layer("depth_to_space", "int8", rng) for _ in range(17)]
    times = np.array([moved_ms(layer) for layer in layers]) * rng.uniform(0.95, 1.05, len(layers))
    model = fit_operator("depth_to_space", "int8", layers, times, overhead_ms=2.5e-4)
    unseen = blocks("depth_to_space", 360, 640, 27, 3, "int8")
    assert model.predict_ms(geometry([unseen]))[0] == pytest.approx(moved_ms(unseen), rel=0.3)
    assert model.high / model.low < 5


def test_a_small_layer_among_a_few_large_ones_leaves_the_interval_narrow():
    sizes = (4, 60_000, 90_000, 140_000, 200_000)
    layers = [unary("abs", (1, size)) for size in sizes]
    times = np.array([3e-4 + 1e-6 * size for size in sizes])
    model = fit_operator("abs", "float32", layers, times, overhead_ms=2.9e-4)
    assert model.high / model.low < 5
