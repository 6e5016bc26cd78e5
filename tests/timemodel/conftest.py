import pytest
from made_up_device import probe_ms

from profiler.operators import unary
from profiler.probes import Probe, plan_probes
from timemodel.fitting import fit_setting
from timemodel.model import SettingModel, TimeModel

KEY = "made-up 1.0, xnnpack, 1 thread"


@pytest.fixture(scope="session")
def measured():
    probes = [p for p in plan_probes(("float32",), scale=0.35) if p.layers[0].op not in ("softmax", "gelu")]
    probes.append(Probe("empty", (unary("relu", (1, 1)),)))
    return [(probe, probe_ms(probe)) for probe in probes]


@pytest.fixture(scope="session")
def time_model(measured):
    operators, terms = fit_setting(measured)
    setting = {"runtime": "made-up", "version": "1.0", "kernels": "xnnpack", "threads": 1}
    return TimeModel("paper, 1 core", {KEY: SettingModel(KEY, setting, {"cpu": "paper"}, operators, terms)})
