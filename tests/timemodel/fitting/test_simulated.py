from __future__ import annotations

import json

import pytest

from profiler.devices import Setting
from profiler.errors import UsageError
from profiler.measurement import ProbeTime
from profiler.network import Layer
from profiler.operators import conv_2d, depthwise_conv_2d, pad, unary
from profiler.probes import Probe, in_company
from timemodel import TimeModel
from timemodel.fitting.simulated import fit_simulated, read_rows, rules_of
from timemodel.model import SettingModel

SETTING = Setting("compiler", "1.0", "fast memory", 1, "sim:ethos-u55-128")
BORDER = ((0, 0), (1, 1), (1, 1), (0, 0))


def true_us(layer: Layer) -> float:
    """Blocks of 16 output channels, and bytes."""
    blocks = -(-layer.outputs[0].shape[-1] // 16) * 16
    return 1e-4 * blocks * layer.macs / layer.outputs[0].shape[-1] + 1e-3 * (
        layer.input_bytes + layer.output_bytes
    )


def told(probe: Probe, layers_us: list[float | None], energy_mj: float | None = None) -> ProbeTime:
    total = sum(time for time in layers_us if time is not None)
    return ProbeTime(
        SETTING.key, probe.key, probe.kind, total, 0.0, 1, True, None, energy_mj, tuple(layers_us)
    )


def company(layer: Layer) -> ProbeTime:
    probe = in_company(layer)
    return told(probe, [50.0, true_us(layer), 50.0])


def layers() -> list[Layer]:
    return [
        conv_2d(s, s, c, k, (1, 1), dtype="int8")
        for s in (4, 7, 14)
        for c in (8, 16, 24)
        for k in (8, 15, 16, 17, 32, 40)
    ]


def fitted(times: list[ProbeTime], setting: Setting = SETTING) -> SettingModel:
    model = fit_simulated(setting, {"machine": "simulated"}, times)
    assert model is not None
    return model


@pytest.fixture(scope="module")
def model() -> SettingModel:
    times = [company(layer) for layer in layers()]
    times += [
        told(Probe("layer", (layer,)), [4 * true_us(layer)], 1e-3 * true_us(layer)) for layer in layers()
    ]
    left = unary("sqrt", (1, 4, 4, 8), "int8")
    return fitted(
        [*times, told(Probe("pair", (conv_2d(4, 4, 8, 8, (1, 1), dtype="int8"), left)), [1.0, None])]
    )


def test_a_network_is_the_sum_of_its_layers_as_they_stand_in_it(model):
    layer = conv_2d(10, 10, 16, 24, (1, 1), dtype="int8")
    second = conv_2d(10, 10, 24, 24, (1, 1), dtype="int8")
    network = Probe("chain", (layer, second)).network
    expected = (4 * true_us(layer) + true_us(second)) / 1e3
    assert model.predict_total_ms(network) == pytest.approx(expected, rel=0.1)


def test_an_operator_left_to_the_cpu_is_unknown_and_never_nothing(model):
    network = Probe(
        "chain", (conv_2d(4, 4, 8, 8, (1, 1), dtype="int8"), unary("sqrt", (1, 4, 4, 8), "int8"))
    ).network
    found = model.predict(network, "X")
    assert found.at_least
    assert found.uncovered == ("sqrt",)
    assert found.to_dict()["layers"][1]["predicted_ms"] is None
    assert not model.predict(
        Probe("layer", (conv_2d(4, 4, 8, 8, (1, 1), dtype="int8"),)).network, "X"
    ).at_least


def test_a_float_network_is_refused_with_the_mend(model):
    with pytest.raises(
        UsageError, match="is a float32 network and X runs int8 only: convert it to int8 first"
    ):
        model.predict(Probe("layer", (conv_2d(4, 4, 8, 8),)).network, "X")


def test_energy_is_predicted_by_the_same_trees(model):
    layer = conv_2d(10, 10, 16, 24, (1, 1), dtype="int8")
    found = model.predict(Probe("layer", (layer,)).network, "X")
    assert found.energy_mj == pytest.approx(1e-3 * true_us(layer), rel=0.1)
    assert found.layers[0].energy_mj == found.energy_mj


def test_a_model_with_energy_and_cpu_survives_its_file(model, tmp_path):
    cpu_path = tmp_path / "cpu.timemodel.json"
    plain = SettingModel("litert", {"threads": 1}, {}, dict(model.operators), model.terms)
    TimeModel("a CPU", {"litert": plain}).save(cpu_path)
    setting = Setting("compiler", "1.0", "fast memory", 1, f"sim:ethos-u55-128?cpu={cpu_path}")
    times = [told(Probe("layer", (layer,)), [true_us(layer)], 1.0) for layer in layers()]
    times.append(told(Probe("pair", (layers()[0], depthwise_conv_2d(4, 4, 8, dtype="int8"))), [1.0, None]))
    mixed = fitted(times, setting)
    TimeModel("X", {mixed.key: mixed}).save(tmp_path / "a.timemodel.json")
    again = TimeModel.load(tmp_path / "a.timemodel.json").setting()
    assert json.dumps(again.to_dict()) == json.dumps(mixed.to_dict())
    assert again.cpu is not None
    # The CPU's model stands in where the accelerator's has nothing, whatever it knows itself.
    network = Probe("layer", (depthwise_conv_2d(8, 8, 16, dtype="int8"),)).network
    assert again.predict(network, "X").predicted_ms == pytest.approx(
        plain.predict_layers_ms(network.layers).sum()
    )


def test_a_border_that_takes_nothing_before_a_convolution_is_a_part_of_it():
    times = []
    for side in (8, 10, 12):
        border = pad((1, side, side, 16), BORDER, "int8")
        window = conv_2d(side + 2, side + 2, 16, 24, padding="valid", dtype="int8")
        times.append(told(in_company(border, window), [9.0, 0.0, 5.0, 9.0]))
    rules = {rule.pattern: rule.share for rule in rules_of(read_rows(times))}
    assert rules["pad+conv_2d"] == 0.0


def test_one_network_in_four_is_kept_to_judge_by():
    probe = [Probe("network", (conv_2d(4, 4, 8, width, (1, 1), dtype="int8"),)) for width in range(8, 16)]
    rows = read_rows([told(one, [1.0]) for one in probe])
    assert len(rows.judges) == 2
    assert sum(map(len, rows.times.values())) == 6
