from __future__ import annotations

import json

import pytest

from profiler.devices import Setting
from profiler.errors import UsageError
from profiler.measurement import ProbeTime
from profiler.network import Layer, Tensor
from profiler.operators import binary, conv_2d, depthwise_conv_2d, pad, unary
from profiler.probes import Probe, in_company
from timemodel import TimeModel
from timemodel.advise import advise
from timemodel.advise.precision import number_types
from timemodel.fitting.simulated import fit_simulated, read_rows, rules_of
from timemodel.model import OperatorModel, SettingModel
from timemodel.runtime import RuntimeTerms

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


def test_of_two_neighbours_that_run_as_one_the_one_that_takes_nothing_is_found():
    shape = (1, 4, 4, 8)
    first, gate = conv_2d(4, 4, 8, 8, dtype="int8"), unary("logistic", shape, "int8")
    probe = Probe(
        "company",
        (first, gate, binary("mul", shape, shape, dtype="int8"), first),
        ((-1,), (0,), (0, 1), (2,)),
    )
    times = [told(probe, [1.0, 0.5, 0.0, 1.0])] * 3
    (rule,) = [rule for rule in rules_of(read_rows(times)) if rule.pattern == "logistic+mul"]
    assert (rule.share, rule.other) == (1.0, 0.0)


def test_the_size_of_fast_memory_comes_from_the_device_and_survives_the_file():
    times = [company(layer) for layer in layers()]
    found = fit_simulated(SETTING, {"fast_bytes": 1000}, times)
    assert found is not None
    assert found.terms.fast_bytes == 1000
    assert RuntimeTerms.from_dict(found.terms.to_dict()).to_dict() == found.terms.to_dict()
    assert "fast_bytes" not in fitted(times).terms.to_dict()


def test_one_network_in_four_is_kept_to_judge_by():
    probe = [Probe("network", (conv_2d(4, 4, 8, width, (1, 1), dtype="int8"),)) for width in range(8, 16)]
    rows = read_rows([told(one, [1.0]) for one in probe])
    assert len(rows.judges) == 2
    assert sum(map(len, rows.times.values())) == 6


def strided(stride: int, side: int) -> Layer:
    return conv_2d(side, side, 8, 16, (3, 3), (stride, stride), dtype="int8")


def with_strides() -> list[ProbeTime]:
    """A compiler that leaves convolutions of strides above 3 to the CPU."""
    times = [company(layer) for layer in layers()]
    times += [company(strided(stride, side)) for stride in (1, 2, 3) for side in (12, 16, 20)]
    times += [
        told(in_company(strided(stride, side)), [50.0, None, 50.0])
        for stride in (4, 5)
        for side in (16, 20, 24)
    ]
    return times


def test_a_layer_that_is_left_to_the_cpu_for_its_sizes_is_told_as_such():
    network = Probe("chain", (conv_2d(24, 24, 8, 8, (1, 1), dtype="int8"), strided(6, 24))).network
    found = fitted(with_strides()).predict(network, "X")
    assert found.at_least
    assert [bool(layer.left) for layer in found.layers] == [False, True]
    assert found.layers[1].left in ("stride height above 3", "stride width above 3")
    assert found.to_dict()["layers"][1]["predicted_ms"] is None


def test_a_layer_left_for_its_sizes_has_the_cpus_price_where_one_is_given(model, tmp_path):
    cpu_path = tmp_path / "cpu.timemodel.json"
    plain = SettingModel("litert", {"threads": 1}, {}, dict(model.operators), model.terms)
    TimeModel("a CPU", {"litert": plain}).save(cpu_path)
    mixed = fitted(with_strides(), Setting("compiler", "1.0", "x", 1, f"sim:ethos-u55-128?cpu={cpu_path}"))
    network = Probe("chain", (conv_2d(24, 24, 8, 8, (1, 1), dtype="int8"), strided(6, 24))).network
    found = mixed.predict(network, "X")
    assert not found.at_least
    assert found.layers[1].predicted_ms == pytest.approx(
        plain.predict_layers_ms(network.layers[1:]).sum() * mixed.terms.calibration.get("int8", 1.0)
    )


def test_what_reads_the_floats_that_the_cpu_makes_integers_reads_from_outside(model):
    shape = (1, 10, 10, 16)
    quantize = Layer("quantize", (Tensor(shape),), (Tensor(shape, "int8"),))
    layer = conv_2d(10, 10, 16, 24, (1, 1), dtype="int8")
    behind, first = (Probe("chain", layers).network for layers in ((quantize, layer), (layer,)))
    assert quantize.activations[0].dtype == "float32"
    assert model.predict_total_ms(behind) == pytest.approx(model.predict_total_ms(first))


def test_no_advice_is_sought_in_number_types_that_an_accelerator_does_not_run(model):
    network = Probe("chain", (layers()[0],)).network
    assert not model.runs("float32")
    assert number_types(TimeModel("X", {model.key: model}), network) == ()


def test_advice_names_what_is_left_to_the_cpu_and_compares_no_number_types_without_it(model):
    convolution = layers()[0]
    left = unary("sqrt", convolution.outputs[0].shape, "int8")
    known, partly = (Probe("chain", row).network for row in ((convolution,), (convolution, left)))
    time_model = TimeModel("X", {model.key: model})
    found = [advise(time_model, one).to_dict() for one in (known, partly)]
    assert [(one["at_least"], one["unknown"]) for one in found] == [(False, []), (True, ["sqrt"])]
    assert found[1]["number_types"] == []
    assert json.loads(json.dumps(found[1]))["unknown"] == ["sqrt"]

    class BothTypes(SettingModel):
        def runs(self, dtype: str) -> bool:
            return True

    both = BothTypes(model.key, model.setting, {}, {**model.operators, **as_floats(model)}, model.terms)
    kinds = [
        [kind.dtype for kind in number_types(TimeModel("X", {both.key: both}), one)]
        for one in (known, partly)
    ]
    assert kinds == [["float32"], []]


def as_floats(model: SettingModel) -> dict[tuple[str, str], OperatorModel]:
    return {(op, "float32"): tree for (op, _), tree in model.operators.items()}


def test_a_cost_that_was_never_met_widens_the_interval_by_little(model):
    spilling = conv_2d(64, 64, 24, 24, (1, 1), dtype="int8")
    found = model.predict(Probe("chain", (spilling, spilling)).network, "X")
    assert found.high_ms < 100 * found.predicted_ms
