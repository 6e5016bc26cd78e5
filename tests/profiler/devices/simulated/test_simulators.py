from __future__ import annotations

import pytest

from profiler.devices import Setting, default_target, list_targets, open_target
from profiler.devices.simulated import EthosUTarget, ZigZagTarget, simulator
from profiler.errors import MissingExtraError, ProfileError, UsageError
from profiler.measurement import Profile
from profiler.operators import conv_2d
from profiler.probes import Probe

FLOAT = Probe("layer", (conv_2d(8, 8, 3, 5),))
INT8 = Probe("layer", (conv_2d(8, 8, 3, 5, dtype="int8"),))


@pytest.mark.parametrize(
    "spec",
    [
        "sim:ethos-u55-32",
        "sim:ethos-u65-512",
        "sim:ethos-u85-2048",
        "sim:edge_tpu_like",
        "sim:eyeriss_like?mhz=200",
    ],
)
def test_a_design_is_opened_by_its_name_and_named_so_again(spec):
    assert open_target(spec).name == spec


def test_options_are_kept_for_opening_the_same_simulator_again():
    spec = "sim:ethos-u55-128?memory_mode=Sram_Only&cpu=M.timemodel.json"
    target = open_target(spec)
    assert target.configuration() == {
        "design": "ethos-u55-128",
        "memory_mode": "Sram_Only",
        "system_config": None,
    }
    assert target.given["cpu"] == "M.timemodel.json"
    assert open_target(target.name).given == target.given


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("sim:ethos-u99", "no design 'ethos-u99': choose from ethos-u55-32"),
        ("sim:ethos-u55-128?mhz=3", "mhz=3 is no option; the options are memory_mode=, system_config=, cpu="),
        ("sim:edge_tpu_like?mhz=", "mhz= is no option"),
    ],
)
def test_what_is_not_there_is_named_with_what_is(spec, words):
    with pytest.raises(UsageError, match=words):
        open_target(spec)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("mhz=0", "mhz must be a whole number from 1"),
        ("weight_bits=x", "weight_bits must be"),
        ("optimise=size", "latency or energy"),
    ],
)
def test_a_bad_value_of_an_option_is_a_usage_error(option, words):
    with pytest.raises(UsageError, match=words):
        open_target(f"sim:edge_tpu_like?{option}").configuration()


@pytest.mark.parametrize(("spec", "extra"), [("sim:ethos-u55-128", "ethos-u"), ("sim:tpu_like", "zigzag")])
def test_a_missing_extra_is_named_with_the_command_that_installs_it(spec, extra, monkeypatch):
    monkeypatch.setattr(simulator, "installed_version", lambda distribution: None)
    with pytest.raises(MissingExtraError, match=rf'not installed: pip install "edgetime\[{extra}\]"'):
        open_target(spec).hello()
    rows = {row["spec"]: row["offers"] for row in list_targets()}
    mine = [offers for name, offers in rows.items() if spec.rpartition("-")[0] in name or "tpu_like" in name]
    assert any(f'missing: pip install "edgetime[{extra}]"' in offers for offers in mine)


@pytest.mark.parametrize("kind", [EthosUTarget, ZigZagTarget])
def test_only_layers_of_the_number_types_that_run_are_planned(kind):
    target = kind(kind.designs[0])
    plan = target.plan(["float32", "int8"], ["conv_2d"])
    assert plan
    assert {layer.dtype for probe in plan for layer in probe.layers} == {"int8"}
    with pytest.raises(UsageError, match="runs int8 networks only: add --dtype int8"):
        target.plan(["float32"])


def test_a_float_network_is_refused_in_words_before_anything_is_started(monkeypatch):
    monkeypatch.setattr(simulator, "installed_version", lambda distribution: None)
    answer = open_target("sim:ethos-u55-128").measure_network(FLOAT.build())
    assert answer == {
        "error": "it is a float32 network and Ethos-U55-128 runs int8 only: convert it to int8 first"
    }


def simulated(version: str) -> Setting:
    return Setting("compiler", version, "fast memory", 1, "sim:ethos-u55-128")


def test_the_setting_of_a_simulator_survives_and_says_what_to_open():
    setting = simulated("1.0")
    assert Setting.from_dict(setting.to_dict()) == setting
    assert setting.simulated
    assert setting.key == "compiler 1.0, fast memory"
    assert not Setting("litert", "2").simulated
    assert "target" not in Setting("litert", "2").to_dict()


def test_another_version_of_the_simulator_is_refused_and_nothing_is_lost(tmp_path):
    fingerprint = {"machine": "simulated", "cpu": "X", "cores": 1}
    answer = {
        "min_us": 1.0,
        "p20_us": 1.0,
        "median_us": 1.0,
        "spread": 0.0,
        "samples": 1,
        "layers_us": [0.25, None],
    }
    with Profile.append(tmp_path / "a.db") as store:
        store.register(simulated("1.0"), fingerprint)
        store.add(simulated("1.0").key, INT8.key, "layer", 0, {**answer, "energy_mj": 0.5})
        with pytest.raises(
            ProfileError, match=r"made with compiler 1\.0 and 1\.1 is installed: pip install compiler==1\.0"
        ):
            store.register(simulated("1.1"), fingerprint)
    with Profile.open(tmp_path / "a.db") as store:
        (time,) = store.measurements(simulated("1.0").key)
    assert (time.energy_mj, time.layers_us, time.uncertainty) == (0.5, (0.25, None), 0.0)


def test_the_default_place_to_measure_is_the_simulator_that_was_profiled():
    class Known:
        setting = simulated("1.0").to_dict()

    assert default_target(Known()) == "sim:ethos-u55-128"
