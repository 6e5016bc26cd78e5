from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

from profiler.network import Network
from profiler.operators import conv_2d, fully_connected, unary
from timemodel.explain import explain_runtime
from timemodel.features import kind_of
from timemodel.model import PowerModel, SettingModel
from timemodel.runtime import RuntimeTerms

LAYERS = [
    *(conv_2d(8 + i, 8, 8, 8 + 4 * i) for i in range(8)),
    *(fully_connected(100 + 40 * i, 50) for i in range(6)),
    *(unary("relu", (1, 64, 8 + i)) for i in range(6)),
    *(conv_2d(8 + i, 8, 8, 16, dtype="int8") for i in range(4)),
]
PER_GMAC = {"float32": 30.0, "int8": 8.0}
TIMES_MS = 1e-3 * np.array([5.0 + 3.0 * (i % 5) + 1e-5 * layer.macs for i, layer in enumerate(LAYERS)])


def energy_mj(layer, time_ms):
    moved = layer.input_bytes + layer.output_bytes + layer.weight_bytes
    return 1.5 * time_ms + (PER_GMAC[layer.dtype] * layer.macs + 40.0 * moved) / 1e9


ENERGIES_MJ = np.array([energy_mj(*row) for row in zip(LAYERS, TIMES_MS, strict=True)])


@pytest.fixture(scope="module")
def power():
    return PowerModel.fit("a sensor", LAYERS, TIMES_MS, ENERGIES_MJ / TIMES_MS, idle_w=2.0)


def test_what_draws_by_time_multiplications_and_bytes_is_found(power):
    assert power.base_w == pytest.approx(1.5, rel=0.01)
    assert power.mj_per_gmac == pytest.approx(PER_GMAC, rel=0.05)
    assert power.mj_per_gb == pytest.approx(40.0, rel=0.1)
    assert power.energies_mj(LAYERS, TIMES_MS) == pytest.approx(ENERGIES_MJ, rel=0.02)
    assert (power.layers, power.idle_w, power.error < 0.02) == (len(LAYERS), 2.0, True)


def test_an_operator_that_draws_more_is_believed_the_more_layers_say_so():
    more = np.array([1.5 if layer.op == "relu" else 1.0 for layer in LAYERS]) * ENERGIES_MJ / TIMES_MS
    factors = PowerModel.fit("", LAYERS, TIMES_MS, more).factors
    one = [layer.op != "relu" or layer is LAYERS[14] for layer in LAYERS]
    few = [layer for layer, keep in zip(LAYERS, one, strict=True) if keep]
    doubted = PowerModel.fit("", few, TIMES_MS[one], more[one]).factors
    relu = kind_of(LAYERS[14])
    assert 1.0 < doubted[relu] < factors[relu] < 1.5


def test_no_layer_draws_far_more_or_less_than_any_that_was_measured(power):
    huge, tiny = conv_2d(8, 8, 256, 1024), unary("relu", (1, 1))
    most, least = (ENERGIES_MJ / TIMES_MS).max(), (ENERGIES_MJ / TIMES_MS).min()
    found = power.energies_mj([huge, tiny, huge], np.array([1e-3, 10.0, 0.0]))
    assert found[0] == pytest.approx(1.1 * most * 1e-3)
    assert found[1] >= least / 1.1 * 10.0
    assert found[2] == 0.0  # what is part of its neighbour takes nothing


def test_it_is_read_as_it_was_written(power):
    again = PowerModel.from_dict(json.loads(json.dumps(power.to_dict())))
    assert again == power
    with pytest.raises(ValueError, match="its power"):
        PowerModel.from_dict({**power.to_dict(), "base_w": -1.0})
    with pytest.raises(KeyError):
        PowerModel.from_dict({key: value for key, value in power.to_dict().items() if key != "factors"})


def test_one_layer_is_enough_and_says_nothing_of_its_error():
    power = PowerModel.fit("", LAYERS[:1], TIMES_MS[:1], np.array([3.0]))
    assert power.error is None
    assert power.energies_mj(LAYERS[:1], TIMES_MS[:1])[0] == pytest.approx(3.0 * TIMES_MS[0], rel=0.1)


def test_a_networks_energy_is_that_of_its_layers_and_of_the_call(power, monkeypatch):
    model = SettingModel("s", {"threads": 1}, {}, {}, RuntimeTerms(0.5), energy=power)
    times = SimpleNamespace(predicted_ms=TIMES_MS[:3])
    network = Network("n", tuple(LAYERS[:3]), (), (), (), ())
    total, layers = model._energy_mj(network, times)
    assert layers == pytest.approx(ENERGIES_MJ[:3].tolist(), rel=0.02)
    assert total == pytest.approx(sum(layers) + 0.5 * power.base_w)


def test_explain_says_where_power_was_read_and_what_draws_much(power):
    model = SettingModel("s", {"threads": 1}, {}, {}, RuntimeTerms(), energy=power)
    text = explain_runtime(model)
    assert "energy is time times power, read by a sensor; 2 W at rest are taken off" in text
    assert "what runs draws 1.5 W" in text
    assert "mJ for each GMAC in float32" in text
    assert "energy" not in explain_runtime(SettingModel("s", {"threads": 1}, {}, {}, RuntimeTerms()))
