import copy
from dataclasses import replace

import numpy as np
import pytest
from made_up_device import OVERHEAD_MS, layer_ms, probe_ms

from profiler import operators
from profiler.errors import UsageError
from profiler.network import Layer, Network, Tensor
from profiler.probes import Probe, draw_network
from timemodel.explain import explain
from timemodel.model import TimeModel
from timemodel.runtime import CacheTraffic
from timemodel.runtime.cache_traffic import KNOTS_MB


def test_finds_the_tiles_of_the_device(time_model):
    assert time_model.setting().operators["conv_2d", "float32"].tiles["out_channels"] == 16


def test_predicts_layers_it_never_saw(time_model):
    layers = [operators.conv_2d(20, 20, c, 3 * c) for c in (8, 13, 32)]
    layers += [operators.depthwise_conv_2d(20, 20, 24), operators.binary("add", (1, 9, 9, 70), (1, 9, 9, 70))]
    expected = np.array([layer_ms(layer) for layer in layers])
    assert np.allclose(time_model.predict_layers_ms(layers), expected, rtol=0.08)


def test_a_network_is_its_layers_and_one_call(time_model):
    network = Probe("network", (operators.conv_2d(16, 16, 8, 8), operators.conv_2d(16, 16, 8, 8))).network
    prediction = time_model.predict(network)
    assert prediction.predicted_ms == pytest.approx(
        sum(layer.predicted_ms for layer in prediction.layers) + time_model.setting().terms.overhead_ms
    )
    assert time_model.setting().terms.overhead_ms == pytest.approx(OVERHEAD_MS, rel=0.05)
    assert prediction.low_ms <= prediction.predicted_ms <= prediction.high_ms
    assert prediction.coverage == 1.0


def test_whole_networks_come_out_right(time_model):
    rng = np.random.default_rng(77)
    errors = []
    for _ in range(20):
        probe = draw_network(rng, "float32")
        errors.append(time_model.predict_total_ms(probe.network) / probe_ms(probe) - 1)
    assert np.mean(np.abs(errors)) < 0.06


def test_the_interval_of_networks_holds_about_as_often_as_it_says(time_model):
    rng = np.random.default_rng(78)
    inside = 0
    for _ in range(40):
        probe = draw_network(rng, "float32")
        prediction = time_model.predict(probe.network)
        inside += prediction.low_ms <= probe_ms(probe) <= prediction.high_ms
    assert inside >= 34


def test_an_operator_that_was_not_measured_is_estimated_and_named(time_model):
    made = Layer("one_hot", (Tensor((1, 8, 8, 16)),), (Tensor((1, 8, 8, 16)),))
    prediction = time_model.predict(
        Network("n", (operators.unary("relu", (1, 8, 8, 16)), replace(made, op="softmax")))
    )
    assert prediction.uncovered == ("softmax",)
    assert prediction.layers[1].predicted_ms > 0
    assert not prediction.layers[1].covered
    assert 0 < prediction.coverage < 1


def test_an_operator_in_another_arithmetic_is_estimated_and_named(time_model):
    prediction = time_model.predict(Network("n", (operators.conv_2d(8, 8, 16, 16, dtype="int8"),)))
    assert prediction.uncovered == ("conv_2d",)
    assert prediction.predicted_ms > 0


def test_a_pad_that_the_runtime_fuses_costs_nothing_there_but_something_alone(time_model):
    pad = operators.pad((1, 16, 16, 32), ((0, 0), (1, 1), (1, 1), (0, 0)))
    conv = operators.conv_2d(18, 18, 32, 32, padding="valid")
    assert time_model.setting().terms.fusion_shares.absorbed["float32"]["pad+conv_2d"] == 0.0
    assert time_model.predict(Probe("pair", (pad, conv)).network).layers[0].predicted_ms == 0.0
    assert time_model.predict_layers_ms([pad])[0] > 0


def test_what_only_reads_constants_is_done_at_loading(time_model):
    weights = Layer("dequantize", (Tensor((64, 64), "float16", True),), (Tensor((64, 64)),))
    assert time_model.predict_layers_ms([weights])[0] == 0.0


def test_a_loop_counts_every_round(time_model):
    layer = operators.fully_connected(64, 64)
    looped = Layer(layer.op, layer.inputs, layer.outputs, layer.params, repeat=7)
    once, seven = time_model.predict_layers_ms([layer, looped])
    assert seven == pytest.approx(7 * once)


def test_intervals_widen_where_the_model_extrapolates(time_model):
    setting = time_model.setting()
    inside, outside = operators.conv_2d(32, 32, 64, 64), operators.conv_2d(400, 400, 256, 512)
    times = setting.layer_times([inside, outside])
    width = times.high_ms / times.predicted_ms
    assert width[1] > 1.5 * width[0]


def test_equal_layers_are_equally_wrong_and_different_ones_partly_average_out(time_model):
    setting = time_model.setting()
    sure = setting.with_terms(replace(setting.terms, low={"float32": 1.0}, high={"float32": 1.0}))
    one, other = operators.conv_2d(16, 16, 32, 32), operators.conv_2d(16, 16, 32, 48)
    above = {}
    for layers in ((one,), (other,), (one,) * 4, (one, other)):
        found = sure.predict(Network("n", layers), "d")
        above[layers] = found.high_ms - found.predicted_ms
    assert above[(one,) * 4] == pytest.approx(4 * above[one,])
    assert above[one, other] == pytest.approx(np.hypot(above[one,], above[other,]))


def test_an_interval_widens_by_what_the_price_of_traffic_is_off(time_model):
    setting = time_model.setting()
    network = Probe("chain", (operators.fully_connected(512, 512),) * 8).network
    prices = np.full((4, len(KNOTS_MB)), 0.01)
    sure, unsure = (
        setting.with_terms(replace(setting.terms, cache_traffic=CacheTraffic(prices, 0.0, error)))
        for error in (0.0, 0.5)
    )
    traffic_ms = float(sure.cache_traffic_ms(network).sum() / setting.terms.calibration["float32"])
    narrow, wide = (model.predict(network, "d") for model in (sure, unsure))
    assert traffic_ms > 0
    assert wide.predicted_ms == narrow.predicted_ms
    assert wide.high_ms - wide.predicted_ms == pytest.approx(
        np.hypot(narrow.high_ms - narrow.predicted_ms, 0.5 * traffic_ms)
    )


def test_no_layers_no_times(time_model):
    assert time_model.predict_layers_ms([]).shape == (0,)


def test_saving_and_loading_changes_nothing(time_model, tmp_path):
    path = tmp_path / "m.timemodel.json"
    time_model.save(path)
    loaded = TimeModel.load(path)
    network = draw_network(np.random.default_rng(5), "float32").network
    assert loaded.predict(network) == time_model.predict(network)
    assert explain(loaded.setting()) == explain(time_model.setting())
    assert [e.to_dict() for e in loaded.errors] == [e.to_dict() for e in time_model.errors]


def test_the_setting_asked_for_must_exist(time_model):
    with pytest.raises(UsageError, match="it knows made-up"):
        time_model.predict_layers_ms([], setting="other")


def test_models_are_not_changed_by_predicting(time_model):
    before = copy.deepcopy(time_model.to_dict())
    time_model.predict(draw_network(np.random.default_rng(6), "float32").network)
    assert time_model.to_dict() == before
