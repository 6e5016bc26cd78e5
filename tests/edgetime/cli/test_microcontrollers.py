"""``edgetime predict --mcu``: memory without a time model, and time with one."""

from __future__ import annotations

import json

import pytest

from profiler.microcontrollers import installed
from profiler.operators import conv_2d, unary
from profiler.probes import Probe
from tests.edgetime.cli.test_verbs import KEYS, LAYER_KEYS, fails, run


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mcu")
    (folder / "small.tflite").write_bytes(Probe("layer", (conv_2d(8, 8, 3, 16, dtype="int8"),)).build())
    (folder / "gelu.tflite").write_bytes(Probe("layer", (unary("gelu", (1, 8)),)).build())
    return folder


def test_memory_needs_no_time_model(files):
    shown = run("predict", files / "small.tflite", "--mcu").stdout
    assert "arena 2.34 kB: tensors 1.22 kB" in shown
    assert "flash" in shown
    assert "order of magnitude only" in shown
    assert ("its interpreter uses 2.34 kB" in shown) is installed()


def test_json_keeps_the_contract_of_predict_with_null_times(files):
    value = json.loads(run("predict", files / "small.tflite", "--mcu", "--json").stdout)
    assert set(value) >= KEYS
    assert set(value["layers"][0]) >= LAYER_KEYS
    assert value["arena_bytes"] == 2336
    assert value["missing_operators"] == []
    assert value["flash_bytes"] == value["model_bytes"] + value["code_bytes"]
    assert value["predicted_ms"] is None
    assert value["measured_arena_bytes"] == (2336 if installed() else None)


def test_with_a_time_model_time_is_said_too(networks_folder, time_model_file):
    file = networks_folder / "conv.tflite"
    value = json.loads(run("predict", time_model_file, file, "--mcu", "--json").stdout)
    assert value["predicted_ms"] > 0
    assert value["arena_bytes"] > 0
    assert "predicted" in run("predict", time_model_file, file, "--mcu").stdout


def test_several_networks_are_one_table_and_what_cannot_run_is_named(files):
    shown = run("predict", files, "--mcu").stdout
    assert "small.tflite" in shown
    assert "lacks gelu" in " ".join(shown.split())


def test_bad_arguments_are_one_sentence(files, time_model_file, tmp_path):
    assert "Name the networks" in fails(2, "predict", time_model_file, "--mcu")
    assert "not measured" in fails(2, "predict", files / "small.tflite", "--mcu", "--measure")
    assert "does not exist" in fails(2, "predict", tmp_path / "no.tflite", "--mcu")
    assert "--setting" in fails(2, "predict", files / "small.tflite", "--mcu", "--setting", "x")
    torn = tmp_path / "torn.tflite"
    torn.write_bytes((files / "small.tflite").read_bytes()[:300])
    assert "torn.tflite is damaged" in fails(1, "predict", torn, "--mcu")
