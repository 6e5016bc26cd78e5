import copy
import dataclasses
import gc
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from profiler import operators
from profiler.network import Layer, Tensor
from profiler.probes import Probe
from timemodel.model import SettingModel, layer_times, setting_model


def mixed(count=40):
    """Layers of several kinds, some of them equal."""
    made = []
    for i in range(count // 4):
        made += [operators.conv_2d(8, 8, 4 + i % 7, 8), operators.unary("relu", (1, 8, 8, 3 + i))]
        made += [operators.fully_connected(16 + i, 10), operators.conv_2d(6, 6, 8, 8 + i % 3, dtype="int8")]
    return made


@pytest.fixture
def setting(time_model):
    """A model of its own, with nothing remembered."""
    one = time_model.setting()
    return SettingModel(one.key, one.setting, one.fingerprint, one.operators, copy.deepcopy(one.terms))


def columns(times):
    return np.column_stack([times.predicted_ms, times.low_ms, times.high_ms, times.covered])


def test_custom_operators_may_have_any_name(setting):
    made = Layer("custom:My Op", (Tensor((1, 4)),), (Tensor((1, 4)),))
    assert setting.layer_times([made]).covered.tolist() == [False]


def test_what_reads_constants_only_costs_nothing(setting):
    constant = Layer("dequantize", (Tensor((4,), "float16", True),), (Tensor((4,)),))
    times = setting.layer_times([constant])
    assert times.predicted_ms.tolist() == times.low_ms.tolist() == times.high_ms.tolist() == [0.0]
    assert times.covered.tolist() == [True]


def test_large_and_small_batches_agree(setting, monkeypatch):
    layers = [dataclasses.replace(layer, repeat=1 + i % 3) for i, layer in enumerate(mixed())]
    few = columns(setting.layer_times(layers))
    monkeypatch.setattr(layer_times, "FEW", 5)
    monkeypatch.setattr(layer_times, "BLOCK_ROWS", 7)
    assert np.allclose(columns(setting.layer_times(layers)), few, rtol=1e-12)
    assert np.allclose(setting.predict_layers_ms(layers), few[:, 0], rtol=1e-12)


def test_what_is_remembered_is_what_was_worked_out(setting):
    layers = mixed()
    first = columns(setting.layer_times(layers))
    assert np.array_equal(columns(setting.layer_times(layers)), first)
    assert np.array_equal(columns(setting.layer_times(list(reversed(layers)))), first[::-1])


def test_a_layer_costs_the_same_alone_and_among_others(setting):
    layers = mixed()
    together = setting.predict_layers_ms(layers)
    alone = [
        SettingModel("", {}, {}, setting.operators, setting.terms).predict_layers_ms([x])[0] for x in layers
    ]
    assert np.allclose(together, alone, rtol=1e-12)


def with_operator(setting, key, model):
    """The same model with another operator's model, or without it where that is None."""
    models = {**setting.operators, key: model}
    if model is None:
        del models[key]
    return SettingModel(setting.key, setting.setting, setting.fingerprint, models, setting.terms)


def test_another_overhead_interval_or_model_changes_what_is_remembered(setting):
    layers = [operators.conv_2d(12, 12, 8, 16)]
    before = setting.layer_times(layers)
    more = dataclasses.replace(setting.terms, overhead_ms=setting.terms.overhead_ms + 0.0001)
    setting = setting.with_terms(more)
    after = setting.layer_times(layers)
    assert after.predicted_ms[0] == pytest.approx(before.predicted_ms[0] - 0.0001)
    key = "conv_2d", "float32"
    model = setting.operators[key]
    wider = with_operator(setting, key, dataclasses.replace(model, high=model.high * 2))
    assert wider.layer_times(layers).high_ms[0] > after.high_ms[0]
    assert not with_operator(setting, key, None).layer_times(layers).covered[0]


def test_a_model_refuses_to_be_changed(setting):
    """What it remembers would be wrong from then on."""
    key = "conv_2d", "float32"
    with pytest.raises(TypeError):
        setting.operators[key] = None
    with pytest.raises(AttributeError):
        setting.terms = None
    with pytest.raises(AttributeError):
        setting.terms.overhead_ms = 1.0
    with pytest.raises(AttributeError):
        setting.operators[key].high = 2.0


def test_predicting_writes_nothing_into_layers_and_networks(setting):
    network = sixty()
    setting.predict(network, "d")
    for one in (network, *network.layers):
        known = {*dir(type(one)), *(field.name for field in dataclasses.fields(one))}
        assert [name for name in vars(one) if name not in known] == []


def test_the_last_large_batch_is_remembered_and_no_other(setting, monkeypatch):
    monkeypatch.setattr(layer_times, "FEW", 5)
    one, other = mixed(40), mixed(80)
    expected = setting.predict_layers_ms(one)
    monkeypatch.setattr(layer_times, "geometry", None)
    assert np.array_equal(setting.predict_layers_ms(list(one)), expected)
    monkeypatch.undo()
    monkeypatch.setattr(layer_times, "FEW", 5)
    assert len(setting.predict_layers_ms(other)) == 80
    assert np.array_equal(setting.predict_layers_ms(one), expected)


def test_memory_of_layers_is_bounded(setting, monkeypatch):
    monkeypatch.setattr(layer_times, "MOST_LAYERS", 10)
    layers = [operators.conv_2d(8, 8, 4, c) for c in range(1, 36)]
    expected = setting.predict_layers_ms(layers)
    kept = setting._layers._rows
    assert len(kept) <= 10
    for at in range(0, 35, 4):
        assert np.allclose(setting.predict_layers_ms(layers[at : at + 4]), expected[at : at + 4], rtol=1e-12)
        assert len(kept) <= 10


def test_models_can_be_copied_and_sent(setting):
    layers = mixed()
    expected = columns(setting.layer_times(layers))
    for other in (copy.deepcopy(setting), pickle.loads(pickle.dumps(setting))):
        assert np.array_equal(columns(other.layer_times(layers)), expected)


# ---- whole networks


def sixty(width=8):
    layers = [operators.conv_2d(8, 8, 8, width), operators.conv_2d(8, 8, width, 8)] * 3
    return Probe("network", tuple(dataclasses.replace(x, index=i) for i, x in enumerate(layers))).network


def test_a_network_asked_for_again_is_not_worked_out_again(setting, monkeypatch):
    network = sixty()
    first, total = setting.predict(network, "d"), setting.predict_total_ms(network)
    assert total == pytest.approx(first.predicted_ms)
    monkeypatch.setattr(SettingModel, "in_network_ms", None)
    assert setting.predict(network, "d") is first
    assert setting.predict_total_ms(network) == total


def test_an_equal_network_of_another_name_gets_its_own_result(setting):
    one, other = sixty(), dataclasses.replace(sixty(), name="other")
    assert setting.predict(one, "d").network == "network"
    assert setting.predict(other, "d").network == "other"
    assert setting.predict(one, "elsewhere").device == "elsewhere"


def change_terms(setting):
    calibration = {"float32": 2 * setting.terms.calibration.get("float32", 1.0)}
    return setting.with_terms(dataclasses.replace(setting.terms, calibration=calibration))


def change_overhead(setting):
    more = setting.terms.overhead_ms + 1.0
    return setting.with_terms(dataclasses.replace(setting.terms, overhead_ms=more))


def change_model(setting):
    key = "conv_2d", "float32"
    model = setting.operators[key]
    tree = copy.deepcopy(model.tree)
    tree.restore(tree.nodes_, tree.scale_ * 3, tree.n_features_in_)
    return with_operator(setting, key, dataclasses.replace(model, tree=tree))


def drop_model(setting):
    return with_operator(setting, ("conv_2d", "float32"), None)


@pytest.mark.parametrize("change", [change_terms, change_overhead, change_model, drop_model])
def test_nothing_is_remembered_of_a_model_that_changed(setting, change):
    network = sixty()
    before, total = setting.predict(network, "d"), setting.predict_total_ms(network)
    setting = change(setting)
    fresh = SettingModel(setting.key, setting.setting, setting.fingerprint, setting.operators, setting.terms)
    assert setting.predict_total_ms(network) != total
    assert setting.predict_total_ms(network) == fresh.predict_total_ms(network)
    assert setting.predict(network, "d") == fresh.predict(network, "d")
    assert setting.predict(network, "d") != before


def test_a_search_over_many_networks_keeps_none_of_them(setting):
    for width in range(1, 400):
        setting.predict_total_ms(sixty(width))
    gc.collect()
    assert len(setting._totals._results) == 0


def test_networks_that_live_on_are_kept_up_to_a_bound(setting, monkeypatch):
    monkeypatch.setattr(setting_model, "MOST_NETWORKS", 5)
    alive = [sixty(width) for width in range(1, 12)]
    totals = [setting.predict_total_ms(network) for network in alive]
    assert len(setting._totals._results) == 5
    assert [setting.predict_total_ms(network) for network in alive] == totals


def test_several_threads_get_what_one_gets(setting, monkeypatch):
    monkeypatch.setattr(layer_times, "MOST_LAYERS", 8)
    monkeypatch.setattr(setting_model, "MOST_NETWORKS", 3)
    networks = [sixty(width) for width in range(1, 30)] * 4
    expected = [
        SettingModel("", {}, {}, setting.operators, setting.terms).predict_total_ms(network)
        for network in networks
    ]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(setting.predict_total_ms, networks)) == expected


def test_two_changed_layers_are_all_that_is_worked_out(setting, monkeypatch):
    setting.predict_total_ms(sixty(8))
    asked = []
    model = setting.operators["conv_2d", "float32"]
    times = type(model).times
    monkeypatch.setattr(type(model), "times", lambda self, rows: asked.append(len(rows)) or times(self, rows))
    setting.predict_total_ms(sixty(9))
    assert asked == [2]
