import numpy as np
import pytest

from profiler import operators
from profiler.network import Layer, Tensor
from profiler.operators import DTYPES, draw_layer, drawn_operators
from profiler.probes import Probe
from timemodel.features import kernel_of, stand_ins
from timemodel.features.kernels import SAME_TYPE, SAME_WORK
from timemodel.fitting import fit_setting
from timemodel.model import SettingModel
from timemodel.runtime import RuntimeTerms


@pytest.fixture(scope="module")
def model():
    """Learned from a device on which everything takes a microsecond per KB."""
    wanted = [
        ("float32", "greater"),
        ("float32", "reshape"),
        ("float32", "split"),
        ("int32", "add"),
        ("float32", "conv_2d:grouped"),
        ("int32", "while"),
    ]
    measured = []
    for dtype, op in wanted:
        layers = [draw_layer(op, dtype, np.random.default_rng(seed)) for seed in range(12)]
        measured += [(Probe("layer", (layer,)), 1e-3 + 1e-6 * layer.output_bytes) for layer in layers]
    models, terms = fit_setting(measured)
    return SettingModel("made up", {}, {}, models, terms)


def test_the_dense_grouped_and_depthwise_kernels_are_told_apart():
    assert kernel_of(operators.conv_2d(8, 8, 16, 32)) == "conv_2d"
    assert kernel_of(operators.grouped_conv_2d(8, 8, 4, 16, 32)) == "conv_2d:grouped"
    assert kernel_of(operators.grouped_conv_2d(8, 8, 16, 16, 16)) == "depthwise_conv_2d"


@pytest.mark.parametrize(
    ("kernel", "name"), [((5, 5), ""), ((1, 25), ""), ((7, 7), ":large"), ((3, 9), ":large")]
)
def test_depthwise_windows_beyond_25_positions_are_another_kernel_in_either_form(kernel, name):
    depthwise = operators.depthwise_conv_2d(16, 32, 8, kernel)
    assert kernel_of(depthwise) == f"depthwise_conv_2d{name}"
    assert kernel_of(operators.grouped_conv_2d(16, 32, 8, 8, 8, kernel)) == f"depthwise_conv_2d{name}"
    assert (
        kernel_of(operators.depthwise_conv_2d(16, 32, 8, kernel, multiplier=2))
        == "depthwise_conv_2d:multiplied"
    )


@pytest.mark.parametrize(
    ("layer", "covered"),
    [
        (operators.compare("less_equal", (1, 64), (), constant=True), True),
        (operators.grouped_conv_2d(8, 8, 4, 16, 32), True),
        (operators.conv_2d(8, 8, 16, 32), False),
        (Layer("squeeze", (Tensor((1, 1, 64)),), (Tensor((1, 64)),)), True),
        (Layer("split_v", (Tensor((1, 64)),), (Tensor((1, 60)), Tensor((1, 4)))), True),
        (operators.binary("mul", (), (), dtype="int32", constant=True), True),
        (operators.binary("add", (), (), dtype="int64", constant=True), True),
        (operators.binary("mul", (1, 64), (1, 64)), False),
        (operators.loop(5, [(1, 8)]), True),
        (operators.gather((10, 8), (1, 4), table=True), False),
        (operators.compare("greater", (1, 64), (), "int8", constant=True), False),
    ],
)
def test_only_what_was_measured_counts_as_covered_and_nothing_is_free(model, layer, covered):
    times = model.layer_times([layer])
    assert times.covered.tolist() == [covered]
    assert times.predicted_ms[0] > 0
    assert times.low_ms[0] <= times.predicted_ms[0] <= times.high_ms[0]


def test_what_was_measured_itself_comes_before_what_stands_in_for_it():
    assert stand_ins("less", "float32") == (("less", "float32"), ("greater", "float32"))
    assert stand_ins("sub", "int64")[0] == ("sub", "int64")
    assert stand_ins("conv_2d", "int8") == (("conv_2d", "int8"),)


def test_what_stands_in_is_measured():
    measured = set(drawn_operators())
    assert set(SAME_WORK.values()) <= measured
    assert set(SAME_TYPE.values()) <= set(DTYPES)


def test_a_model_of_nothing_knows_nothing():
    empty = SettingModel("made up", {}, {}, {}, RuntimeTerms())
    assert empty.layer_times([operators.loop(5, [(1, 8)])]).covered.tolist() == [False]
