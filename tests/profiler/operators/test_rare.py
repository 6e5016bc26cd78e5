"""Operators that few networks have, and a count of all: each is measured, runs as another one does, or there is a reason."""

from collections import Counter

import numpy as np
import pytest

from profiler import operators
from profiler.network import Layer, Tensor
from profiler.operators import UNPACKED, draw_layer, drawn_operators, why_not_probed
from profiler.probes import ALONGSIDE, Probe, plan_probes
from profiler.tflite import read_network
from profiler.tflite.objects import schema, to_bytes, to_objects
from profiler.tflite.schema import OPERATORS
from timemodel.features import kernel_of, kind_of
from timemodel.features.kernels import SAME_WORK


def test_every_builtin_operator_is_measured_or_stood_in_for_or_has_a_reason_why_not():
    drawn = {name.partition(":")[0] for name in drawn_operators()} - {"custom"}
    kinds = Counter(
        "measured"
        if op in drawn
        else "as another"
        if op in SAME_WORK
        else "reason"
        if why_not_probed(op)
        else op
        for op in OPERATORS
    )
    assert set(kinds) == {"measured", "as another", "reason"}
    assert kinds["measured"] >= 110
    assert not any(why_not_probed(op) for op in drawn)


@pytest.fixture(scope="module")
def plan():
    return [probe.layers[0] for probe in plan_probes() if probe.kind == "layer"]


def test_a_plan_of_int8_has_a_few_small_probes_of_int16_and_uint8_and_of_what_is_rare(plan):
    counts = Counter(kind_of(layer) for layer in plan)
    assert counts["conv_2d", "int16"] == 17
    assert 4 <= counts["softmax", "uint8"] <= 8
    for op in ("svdf", "custom:TFLite_Detection_PostProcess", "rfft2d", "conv_2d:unpacked"):
        assert 8 <= sum(count for (name, _), count in counts.items() if name == op) <= 40
    beside = [layer for layer in plan if layer.dtype in ALONGSIDE]
    assert max(layer.macs for layer in beside) <= 4_000_000
    assert len(beside) < len(plan) // 20
    assert not any(probe.layers[0].dtype in ALONGSIDE for probe in plan_probes(("float32",)))


def test_what_few_networks_have_takes_a_bounded_share_of_every_profile(plan):
    counts = Counter(kind_of(layer) for layer in plan)

    def is_rare(probe):
        layer = probe.layers[0]
        return probe.kind == "layer" and (counts[kind_of(layer)] <= 20 or layer.dtype in ALONGSIDE)

    rare = np.array([is_rare(probe) for probe in plan_probes()])
    # These take less time than others: networks and chains are met three times.
    for share in (0.05, 0.2, 0.5, 0.85, 1.0):
        assert rare[: int(share * len(rare))].mean() <= 0.16


def test_detectors_that_compare_boxes_class_by_class_are_another_kernel():
    kernels = []
    for regular in (False, True):
        layer = operators.detection_postprocess(100, 20, 25, regular)
        read = read_network(Probe("layer", (layer,)).build()).layers[0]
        assert read.outputs[0].shape == (1, 25, 4)
        kernels.append(kernel_of(read))
    assert kernels == ["custom:TFLite_Detection_PostProcess", "custom:TFLite_Detection_PostProcess:regular"]
    assert set(kernels) <= set(drawn_operators("float32"))


@pytest.mark.parametrize("content", [b"", b"\xff" * 40, bytes(range(256)), b"\0" * 4096])
def test_damaged_settings_of_a_custom_operator_say_nothing(content):
    from profiler.operators import operator

    assert operator("custom:TFLite_Detection_PostProcess").file.read_custom(content) == {}


def test_an_svdf_multiplies_units_by_inputs_and_memory():
    layer = operators.svdf(40, 128, 10)
    assert layer.macs == 128 * (40 + 10)
    assert read_network(Probe("layer", (layer,)).build()).layers[0].macs == 6400


@pytest.mark.parametrize(("op", "dtype"), [("conv_2d", "float32"), ("fully_connected", "float32")])
def test_weights_of_four_bits_that_are_unpacked_on_loading_are_another_kernel(op, dtype):
    layer = draw_layer(f"{op}:unpacked", dtype, np.random.default_rng(0))
    unpacking, read = read_network(Probe("layer", (layer,)).build()).layers
    assert (unpacking.op, unpacking.inputs[0].dtype) == ("dequantize", "int4")
    assert read.params[UNPACKED] == "int4"
    assert read.inputs[1] == Tensor(layer.inputs[1].shape, "float32", True)
    assert kind_of(read) == (f"{op}:unpacked", "float32")
    assert UNPACKED not in operators.with_dtype(read, "int8").params


def test_weights_of_half_precision_are_ordinary_weights():
    weights = Tensor((8, 4), "float32", True)
    layer = Layer("fully_connected", (Tensor((1, 4)), weights), (Tensor((1, 8)),), {"activation": "none"})
    assert kernel_of(layer) == "fully_connected"


@pytest.mark.parametrize(
    ("source", "target", "kernel"),
    [
        ("float32", "int8", "quantize"),
        ("int8", "int8", "quantize:rescaled"),
        ("uint8", "int8", "quantize:converted"),
    ],
)
def test_quantising_floats_scales_and_types_are_three_kernels(source, target, kernel):
    layer = operators.unary("quantize", (1, 8, 8, 3), source, target)
    assert kernel_of(layer) == kernel
    assert kernel in drawn_operators(source if source != "float32" else target)


def test_a_composite_that_the_runtime_takes_whole_is_not_what_the_file_says_it_is_made_of():
    content = Probe("layer", (operators.loop(2, [(1, 4)]),)).build()
    files = schema()
    for name, expected in (("odml.scaled_dot_product_attention", 1), ("my.own", 2)):
        model = to_objects(content)
        (operator,) = model.subgraphs[0].operators
        made = files.OperatorCodeT()
        made.builtinCode, made.deprecatedBuiltinCode = OPERATORS.index("stablehlo_composite"), 127
        model.operatorCodes.append(made)
        operator.opcodeIndex = len(model.operatorCodes) - 1
        operator.builtinOptions, operator.builtinOptionsType = None, 0
        options = files.StableHLOCompositeOptionsT()
        options.name, options.decompositionSubgraphIndex = name, 2
        operator.builtinOptions2, operator.builtinOptions2Type = options, 21
        layers = read_network(to_bytes(model)).layers
        assert len(layers) == expected
        whole = expected == 1
        assert layers[0].op == (f"composite:{name}" if whole else "stablehlo_composite")
