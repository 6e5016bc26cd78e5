"""What is not known is said: it is no part of a total, nobody is told a number for it, and no interval reaches anywhere."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profiler import operators
from profiler.network import Layer, Network, Tensor
from profiler.probes import Probe
from timemodel.fitting.calibration import calibrated
from timemodel.model import SettingModel
from timemodel.model.layer_times import MOST_SPAN
from timemodel.model.unknown import compiled_for, why_unknown

RELU = operators.unary("relu", (1, 8, 8, 16))


def custom(name):
    return Layer(f"custom:{name}", (Tensor((1, 8, 8, 16)),), (Tensor((1, 8, 8, 16)),))


def test_a_custom_operator_is_left_out_of_a_total_that_says_so(time_model):
    found = time_model.predict(Network("n", (RELU, custom("Mine"), RELU)))
    alone = time_model.predict(Network("n", (RELU, RELU)))
    assert found.at_least
    assert found.whole
    assert found.predicted_ms == pytest.approx(alone.predicted_ms)
    assert found.coverage == pytest.approx(2 / 3)
    (reason,) = found.unknown
    assert found.unknown[reason] == ["custom:Mine"]
    assert found.why_unknown.startswith("Mine (a custom operator")
    value = found.to_dict()
    assert value["high_ms"] is None
    assert value["low_ms"] <= value["predicted_ms"]
    assert [row["predicted_ms"] is None for row in value["layers"]] == [False, True, False]


def test_a_network_that_is_one_unknown_operator_has_no_time(time_model):
    found = time_model.predict(Network("n", (custom("ethos-u"),)))
    assert not found.whole
    assert "compiled for another device (Arm Ethos-U)" in found.why_unknown
    value = found.to_dict()
    assert [value[name] for name in ("predicted_ms", "low_ms", "high_ms", "coverage")] == [
        None,
        None,
        None,
        0.0,
    ]


@pytest.mark.parametrize(
    ("op", "vendor"),
    [
        ("custom:ethos-u", "Arm Ethos-U"),
        ("custom:edgetpu-custom-op", "Google Edge TPU"),
        ("custom:NeutronGraph", "NXP eIQ Neutron"),
        ("custom:XC_conv2d_v2", "XMOS xcore"),
        ("custom:DISPATCH_OP", "an NPU by LiteRT's dispatch"),
        ("custom:vsi-npu", "VeriSilicon (NXP, Amlogic)"),
        ("custom:ennead", None),
        ("custom:MyOwnOperator", None),
        ("conv_2d", None),
    ],
)
def test_the_maker_of_an_accelerator_is_told_by_the_operators_name(op, vendor):
    assert compiled_for(op) == vendor


@pytest.mark.parametrize(
    ("layer", "says"),
    [
        (custom("FlexErf"), "needs the Flex delegate (FlexErf), which this runtime has not"),
        (
            operators.conv_2d(8, 8, 8, 8, dtype="int16"),
            "float32 only: profile with --dtype int16",
        ),
        (
            Layer("composite:odml.attention", (Tensor((1, 8)),), (Tensor((1, 8)),)),
            "a composite that the runtime takes whole",
        ),
        (Layer("builtin_900", (Tensor((1, 8)),), (Tensor((1, 8)),)), "never measured on this device"),
    ],
)
def test_the_reason_says_what_to_do(time_model, layer, says):
    found = time_model.predict(Network("n", (RELU, layer)))
    assert found.at_least
    assert says in found.why_unknown


def test_integers_of_16_bits_are_not_estimated_from_others_but_where_they_are_only_moved(time_model):
    moved = operators.reshape((1, 8, 8), (1, 64), "int16")
    times = time_model.setting().layer_times([moved, operators.fully_connected(8, 8, dtype="int16")])
    assert times.known.tolist() == [True, False]
    assert times.covered.tolist() == [False, False]


def test_what_prepares_variables_costs_nothing_in_an_inference(time_model):
    handle = Tensor((), "resource")
    once, made = Layer("call_once", (), ()), Layer("var_handle", (), (handle,))
    read, put = (
        Layer("read_variable", (handle,), (Tensor((1, 64)),)),
        Layer("assign_variable", (handle, Tensor((1, 64))), ()),
    )
    times = time_model.setting().layer_times([once, made, read, put, operators.reshape((1, 64), (64,))])
    assert times.covered.tolist() == [True] * 5
    assert times.predicted_ms[:2].tolist() == [0.0, 0.0]
    assert times.predicted_ms[2:4] == pytest.approx([times.predicted_ms[4]] * 2, rel=0.3)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(["conv_2d", "relu", "add", "concatenation"]), st.floats(1.0, 60.0))
def test_beyond_what_was_measured_time_grows_with_the_work_and_no_interval_is_wide(time_model, op, factor):
    side = round(112 * factor**0.5)
    shapes = [(1, 112, 112, 64), (1, side, side, 64)]
    layers = {
        "conv_2d": [operators.conv_2d(shape[1], shape[2], 64, 64) for shape in shapes],
        "relu": [operators.unary("relu", shape) for shape in shapes],
        "add": [operators.binary("add", shape, shape) for shape in shapes],
        "concatenation": [operators.concatenation([shape, shape], 3) for shape in shapes],
    }[op]
    times = time_model.setting().layer_times(layers)
    if times.known.all():
        assert times.predicted_ms[1] <= 1.3 * times.predicted_ms[0] * side**2 / 112**2
        assert (times.high_ms <= MOST_SPAN * times.low_ms * 1.01).all()
    else:
        assert factor > 4
        assert times.low_ms[1] == times.predicted_ms[1] == times.high_ms[1] > 0.0


def test_far_beyond_what_was_measured_a_larger_layer_takes_at_least_more(time_model):
    layers = [operators.conv_2d(side, side, 64, 64) for side in (1200, 2400, 4800, 9600)]
    times = time_model.setting().layer_times(layers)
    assert not times.known[-2:].any()
    assert (np.diff(times.low_ms) > 0).all()
    assert times.predicted_ms[-1] > times.predicted_ms[-2] > 0
    found = time_model.predict(Network("n", (RELU, layers[-1])))
    assert found.at_least
    assert found.predicted_ms > times.predicted_ms[-1] / 2
    assert found.to_dict()["layers"][1]["predicted_ms"] is None


def test_few_layers_of_a_number_type_measured_beside_another_are_no_reason_to_give_up():
    large = operators.conv_2d(900, 900, 64, 64, dtype="int16")
    assert why_unknown(large, ["int8"], True).endswith("profile with --dtype int16 too")


def test_a_cost_that_begins_beyond_a_size_does_not_run_away(time_model):
    """Of a price per byte beyond the cache little was seen: it may not be paid for all of a much larger layer."""
    setting = time_model.setting()
    model = setting.operators["relu", "float32"]
    names = model.names()[0]
    at = names.index("bytes_beyond_outer")
    bounds = model.bounds.copy()
    bounds[1, at] = 1.0
    nodes = [replace(node, coefficients=node.coefficients.copy()) for node in model.tree.nodes_]
    for node in nodes:
        node.coefficients[1 + at] = 1e-3
    tree = type(model.tree)(**model.tree.get_params())
    tree.restore(nodes, model.tree.scale_, model.tree.n_features_in_)
    wild = replace(model, tree=tree, bounds=bounds)
    mended = SettingModel(
        setting.key,
        setting.setting,
        setting.fingerprint,
        {**setting.operators, ("relu", "float32"): wild},
        setting.terms,
    )
    large = [operators.unary("relu", (1, 1500, 1500, 16))]
    tame, capped = setting.layer_times(large), mended.layer_times(large)
    assert np.all(capped.predicted_ms <= 40 * tame.predicted_ms)
    assert not capped.known[0] or capped.high_ms[0] <= MOST_SPAN * capped.low_ms[0] * 1.01


def test_what_is_not_known_is_named_whether_operator_or_loop(time_model):
    found = time_model.predict(Network("n", (RELU, custom("Mine")), unknown_loops=("turns",)))
    assert found.not_known.startswith("Mine (a custom operator")
    assert found.not_known.endswith("; how often turns turns")
    loop = time_model.predict(Network("n", (RELU,), unknown_loops=("loop",)))
    assert loop.at_least
    assert (loop.uncovered, loop.not_known) == ((), "how often loop turns")
    assert time_model.predict(Network("n", (RELU,))).not_known == ""


def test_networks_that_are_not_all_known_calibrate_nothing(time_model):
    model = time_model.setting()
    unknown = Probe("network", (custom("Mine"),))
    assert calibrated(model, [(unknown, 1.0)] * 20).terms.calibration == {}
    assert calibrated(model, [(Probe("network", (RELU, custom("Mine"))), 9.0)] * 20).terms.calibration == {}
