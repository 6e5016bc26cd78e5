import sys

import keras
import numpy as np
import pytest
from keras import layers

from compressor.data import Data
from compressor.export import Turns, check_target, file_score, measure_in_turns, target_of, to_tflite_bytes
from compressor.testing.device import FormulaSetting, FormulaTimeModel
from compressor.training import task_of
from profiler.devices import device_name, open_target
from profiler.devices.default import note_python
from profiler.errors import UsageError


def test_the_ratio_is_that_of_the_medians_with_the_range_of_rounds():
    turns = Turns({"a": [4.0, 6.0, 5.0], "b": [2.0, 2.0, 10.0]}, {"a": [5.0, 7.0, 6.0], "b": [3.0, 3.0, 3.0]})
    assert turns.median_ms("a") == 5.0
    assert turns.median_p90_ms("a") == 6.0
    assert turns.ratio("a", "b") == (2.5, 0.5, 3.0)


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(0)
    return keras.Sequential([layers.Input((4,)), layers.Dense(8), layers.Dense(3, activation="softmax")])


def test_networks_take_turns_on_a_target(network, tmp_path):
    path = tmp_path / "net.tflite"
    path.write_bytes(to_tflite_bytes(network))
    order = []
    with open_target("local") as target:
        turns = measure_in_turns(
            {"a": path, "b": path},
            target,
            rounds=2,
            seconds=0.02,
            progress=lambda done, note: order.append(done),
        )
    assert order == [0.0, 0.25, 0.5, 0.75]
    assert len(turns.measured_ms["a"]) == len(turns.measured_ms["b"]) == 2
    assert 0 < turns.median_ms("a") <= turns.median_p90_ms("a")


def test_the_score_of_a_file_is_that_of_its_network(network, tmp_path):
    x = np.random.default_rng(0).normal(size=(40, 4)).astype("float32")
    y = np.asarray(network(x)).argmax(axis=1)
    y[:10] = (y[:10] + 1) % 3
    path = tmp_path / "net.tflite"
    path.write_bytes(to_tflite_bytes(network))
    assert file_score(task_of(network, Data(x=x, y=y)), path, x, y) == 0.75


def test_this_machine_is_only_taken_for_the_device_of_its_own_time_model():
    target, reason = target_of(FormulaTimeModel("a phone, 8 cores"), None)
    assert target is None
    assert "of a phone, 8 cores, this is" in reason
    with open_target("local") as here:
        name = device_name(here.hello())
    target, reason = target_of(FormulaTimeModel(name), None)
    assert reason == ""
    assert target is not None
    target.close()
    named, _ = target_of(FormulaTimeModel("a phone"), "ssh://pi@nowhere")
    assert named.name == "ssh://pi@nowhere"


def test_another_python_of_the_time_model_measures_compressed_networks_too(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGETIME_CONFIG_DIR", str(tmp_path / "settings"))
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\n: > {tmp_path}/started\nexec {sys.executable} "$@"\n')
    python.chmod(0o700)
    with open_target("local") as here:
        fingerprint = here.hello()
    model = FormulaTimeModel(device_name(fingerprint))
    setting = FormulaSetting(
        setting={"threads": 1, "kernels": "xnnpack"}, fingerprint={**fingerprint, "executable": str(python)}
    )
    monkeypatch.setattr(model, "setting", lambda name=None: setting)
    with pytest.raises(UsageError, match="because a file says so"):
        target_of(model, None)
    with pytest.raises(UsageError, match="because a file says so"):
        check_target(setting, None)
    assert not (tmp_path / "started").exists()
    note_python(str(python), setting.fingerprint)
    target, _ = target_of(model, None)
    assert target.python == str(python)
    assert (tmp_path / "started").exists()
    target.close()


def test_another_runtime_than_the_time_models_is_told_and_not_measured(monkeypatch):
    with open_target("local") as here:
        model = FormulaTimeModel(device_name(here.hello()))
    monkeypatch.setattr(
        model, "setting", lambda name=None: FormulaSetting(setting={"runtime": "tflite-micro"})
    )
    target, reason = target_of(model, None)
    assert target is None
    assert "the time model is of tflite-micro, this Python has " in reason


def test_a_target_that_does_not_exist_is_told_before_any_work():
    with pytest.raises(UsageError, match="Unknown target 'nix'"):
        check_target(FormulaSetting(), "nix")
