"""Predictor: which setting is predicted, and what is said of the device."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from edgetime.prediction import Predictor, _default_limit_s, _matching, differences
from profiler.devices import LocalTarget, Setting, agent, default_target
from profiler.devices.default import note_python
from profiler.errors import UsageError
from timemodel.model import TimeModel


@pytest.fixture
def two_settings(time_model_file: Path) -> TimeModel:
    model = TimeModel.load(time_model_file)
    other = TimeModel.load(time_model_file).setting()
    other.key = "ai-edge-litert 2.3.0, builtin, 2 threads"
    other.setting = {**other.setting, "kernels": "builtin", "threads": 2}
    return TimeModel(model.device, {**model.settings, other.key: other})


def test_a_target_chooses_the_setting(two_settings: TimeModel):
    assert Predictor(two_settings).setting.threads == 1
    assert Predictor(two_settings, "local:threads=2,kernels=builtin").setting.threads == 2
    with pytest.raises(UsageError, match="no setting with threads=2, kernels=xnnpack"):
        Predictor(two_settings, "local:threads=2")


def test_measuring_is_done_as_the_model_was_measured(two_settings: TimeModel):
    first, second = two_settings.settings.values()
    assert default_target(first) == "local:threads=1,kernels=xnnpack"
    assert default_target(second) == "local:threads=2,kernels=builtin"


class Asked(LocalTarget):
    """Another Python, whose runtime is known without starting it."""

    def __init__(self, runtime: str, version: str, python: str = "elsewhere") -> None:
        super().__init__()
        self.python = python
        self.answer = Setting(runtime, version)

    @property
    def setting(self) -> Setting:
        return self.answer


def test_two_runtimes_are_distinguished_by_asking_the_device(two_settings: TimeModel):
    first, second = two_settings.settings.values()
    second.setting = {**first.setting, "runtime": "tflite-runtime", "version": "2.14.0"}
    assert _matching(two_settings, Asked("tflite-runtime", "2.14.0")) is second
    assert _matching(two_settings, Asked("tflite-runtime", "2.13.0")) is second
    assert _matching(two_settings, Asked("ai-edge-litert", "2.3.0", sys.executable)) is first
    with pytest.raises(UsageError, match=r"runtime=tensorflow, version=2.21.0 \(only ai-edge"):
        _matching(two_settings, Asked("tensorflow", "2.21.0"))


def test_one_setting_needs_no_question(time_model_file: Path):
    class Silent(LocalTarget):
        def hello(self) -> dict:
            raise AssertionError("the device was asked")

    model = TimeModel.load(time_model_file)
    assert _matching(model, Silent()) is model.setting()


def test_the_python_of_a_profile_made_here_is_found_again(two_settings: TimeModel, tmp_path: Path):
    setting = two_settings.setting()
    python = tmp_path / "python"
    here = {"machine": platform.machine(), "cpu": agent.cpu_model(), "cores": os.cpu_count() or 1}
    setting.fingerprint = {**here, "executable": str(python)}
    assert default_target(setting) == "local:threads=1,kernels=xnnpack"  # gone meanwhile
    python.touch(0o700)
    note_python(str(python), setting.fingerprint)
    assert default_target(setting) == f"local:threads=1,kernels=xnnpack,python={python}"
    setting.fingerprint = {**setting.fingerprint, "cpu": "of a board"}
    assert default_target(setting) == "local:threads=1,kernels=xnnpack"


def test_an_open_batch_is_reported_once(time_model_file: Path, shared_data: Path):
    with Predictor(TimeModel.load(time_model_file)) as predictor:
        net = shared_data / "models" / "pretrainedResnet.tflite"
        assert predictor.predict(net)[1] == ["Networks that leave the batch open are taken at batch 1."]
        assert predictor.predict(net)[1] == []


def test_differences_are_named():
    then = {
        "governor": "performance",
        "threads": 1,
        "version": "2.3.0",
        "python": "3.11",
        "memory_bytes": 1000,
    }
    now = {"governor": "powersave", "threads": 2, "version": "2.4.0", "python": "3.12", "memory_bytes": 990}
    assert differences(then, now) == [
        "frequency governor was performance, is powersave",
        "runtime's version was 2.3.0, is 2.4.0",
        "number of threads was 1, is 2",
    ]


def test_what_only_one_side_knows_is_no_difference():
    assert differences({"governor": None, "cpu": "a"}, {"governor": "performance"}) == []


def test_much_less_memory_is_a_difference():
    assert differences({"memory_bytes": 1000}, {"memory_bytes": 500}) == ["memory (bytes) was 1000, is 500"]


def test_what_takes_at_least_its_time_is_given_more_to_be_measured():
    known = SimpleNamespace(predicted_ms=10.0, at_least=False)
    assert _default_limit_s(known) == 21.0
    assert _default_limit_s(SimpleNamespace(predicted_ms=0.0, at_least=True)) == 300.0
    assert _default_limit_s(SimpleNamespace(predicted_ms=1e4, at_least=True)) == 1020.0
