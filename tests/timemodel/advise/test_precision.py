"""A network in another number type."""

from __future__ import annotations

import numpy as np
import pytest

from profiler import operators
from profiler.network import Layer, Network
from profiler.operators import network_with_dtype, with_dtype
from profiler.probes import Probe
from timemodel.advise.precision import number_types
from timemodel.model import FALLBACK, SettingModel, fit_operator
from timemodel.runtime import RuntimeTerms


@pytest.mark.parametrize("dtype", ["int8", "dynamic_int8", "int16"])
def test_layers_become_what_they_would_be_and_back(dtype: str):
    for made in (
        lambda kind: operators.conv_2d(8, 8, 3, 16, dtype=kind),
        lambda kind: operators.depthwise_conv_2d(8, 8, 3, dtype=kind),
        lambda kind: operators.fully_connected(16, 4, dtype=kind),
    ):
        assert with_dtype(made("float32"), dtype) == made(dtype)
        assert with_dtype(made(dtype), "float32") == made("float32")


def test_data_changes_its_type_and_indices_do_not():
    mean = operators.reduce("mean", (1, 8, 8, 16), (1, 2))
    changed = with_dtype(mean, "int8")
    assert changed == operators.reduce("mean", (1, 8, 8, 16), (1, 2), dtype="int8")
    assert with_dtype(mean, "dynamic_int8") == mean
    assert with_dtype(operators.transpose_conv(8, 8, 4, 4), "int8").inputs[0].dtype == "int32"


def test_bridges_between_types_go():
    layers = (
        operators.unary("quantize", (1, 16), "float32", "int8"),
        operators.fully_connected(16, 4, dtype="int8"),
        operators.unary("dequantize", (1, 4), "int8", "float32"),
    )
    changed = network_with_dtype(Probe("network", layers).network, "float32")
    assert [layer.op for layer in changed.layers] == ["fully_connected"]
    assert len(changed.edges) == 1
    assert changed.dtype == "float32"


def device_ms(layer: Layer) -> float:
    """Fully connected layers are four times as fast in int8, relu ten times as slow."""
    factor = {"fully_connected": 0.25, "relu": 10.0}[layer.op] if layer.dtype == "int8" else 1.0
    return 0.001 + factor * (layer.macs + 20 * layer.outputs[0].size) * 1e-6


class Model:
    """As much of a `TimeModel` as is asked of it."""

    def __init__(self, setting: SettingModel) -> None:
        self._setting = setting

    def setting(self, name=None):
        return self._setting

    def predict(self, network, setting=None):
        return self._setting.predict(network, "paper")

    def predict_total_ms(self, network, setting=None):
        return self._setting.predict_total_ms(network)


@pytest.fixture(scope="module")
def model() -> Model:
    learned = {}
    for dtype in ("float32", "int8"):
        sizes = [(a, b) for a in (16, 40, 64, 128, 200, 400) for b in (8, 24, 64, 100, 200, 500)]
        for op, layers in (
            ("fully_connected", [operators.fully_connected(a, b, dtype=dtype) for a, b in sizes]),
            ("relu", [operators.unary("relu", (a, b), dtype) for a, b in sizes]),
        ):
            times = np.array([device_ms(layer) for layer in layers])
            learned[op, dtype] = fit_operator(op, dtype, layers, times)
        learned[FALLBACK, dtype] = learned["relu", dtype]
    return Model(SettingModel("paper", {}, {}, learned, RuntimeTerms()))


def network(*layers: Layer) -> Network:
    return Probe("network", layers).network


def test_operators_that_are_slower_in_int8_are_named(model):
    mixed = network(
        operators.fully_connected(300, 400),
        operators.unary("relu", (1, 400)),
        operators.fully_connected(400, 10),
    )
    (int8,) = number_types(model, mixed)
    assert int8.dtype == "int8"
    assert int8.saving_ms == pytest.approx(
        sum(device_ms(la) for la in mixed.layers)
        - sum(device_ms(la) for la in network_with_dtype(mixed, "int8").layers),
        rel=0.05,
    )
    by_op = {row.op: row for row in int8.operators}
    assert by_op["relu"].slower
    assert not by_op["relu"].faster
    assert by_op["fully_connected"].faster
    assert by_op["fully_connected"].layers == 2
    assert by_op["relu"].other_ms > 5 * by_op["relu"].now_ms


def test_the_other_way_round(model):
    mixed = network_with_dtype(
        network(operators.fully_connected(300, 400), operators.unary("relu", (1, 400))), "int8"
    )
    (floats,) = number_types(model, mixed)
    assert floats.dtype == "float32"
    assert {row.op for row in floats.operators if row.faster} == {"relu"}


def test_what_is_not_measured_there_is_marked(model):
    mixed = network(operators.fully_connected(300, 400), operators.unary("tanh", (1, 128)))
    (int8,) = number_types(model, mixed)
    assert {row.op: row.measured for row in int8.operators} == {"fully_connected": True, "tanh": False}


def test_nothing_is_said_of_types_or_by_models_that_do_not_know(model):
    assert number_types(object(), network(operators.fully_connected(8, 8))) == ()
    assert number_types(model, network(operators.fully_connected(8, 8, dtype="int16"))) == ()
