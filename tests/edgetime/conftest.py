"""A profile with made-up times, so that these tests need no quiet machine and always see the same."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from profiler.devices import Setting
from profiler.measurement import Profile
from profiler.network import Layer
from profiler.operators import conv_2d, fully_connected, unary
from profiler.probes import Probe, empty_probe, plan_probes

OPS = ("conv_2d", "fully_connected", "add", "mean", "softmax")
FINGERPRINT = {"machine": "x86_64", "cpu": "A made-up processor", "cores": 4, "governor": "performance"}


def made_up_us(layer: Layer) -> float:
    """Time with a staircase of 16 output channels."""
    width = (layer.outputs[0].shape or (1,))[-1]
    steps = math.ceil(width / 16) * 16 / width
    return 1.0 + 2e-5 * layer.macs * steps + 1e-4 * (layer.input_bytes + layer.output_bytes)


@pytest.fixture(scope="session")
def true_us() -> Callable[[Layer], float]:
    """What the made-up device takes for a layer."""
    return made_up_us


@pytest.fixture(scope="session")
def profile_db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A profile of a device with 4 cores, of five operators in float32."""
    path = tmp_path_factory.mktemp("profile") / "device.db"
    setting = Setting("ai-edge-litert", "2.3.0")
    with Profile.append(path) as profile:
        profile.register(setting, FINGERPRINT)
        probes = [p for p in plan_probes(("float32",), OPS) if p.kind == "layer"][:1200]
        for probe in [empty_probe(), *probes]:
            us = sum(made_up_us(layer) for layer in probe.layers)
            times = {
                "median_us": us,
                "min_us": us,
                "p20_us": us,
                "spread": 0.0,
                "samples": 9,
                "canaries_us": [10.0, 10.0],
            }
            profile.add(setting.key, probe.key, probe.kind, 0, times)
    return path


@pytest.fixture(scope="session")
def time_model_file(profile_db: Path) -> Path:
    """The time model that is learned from it."""
    from timemodel import fit_profile

    path = profile_db.with_name("device.timemodel.json")
    fit_profile(profile_db).save(path)
    return path


@pytest.fixture(scope="session")
def networks_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two small networks as ``.tflite`` files; one has an operator that the made-up device never ran."""
    folder = tmp_path_factory.mktemp("networks")
    conv = Probe("pair", (conv_2d(16, 16, 8, 17, activation="relu"), conv_2d(16, 16, 17, 32)))
    (folder / "conv.tflite").write_bytes(conv.build())
    dense = Probe("pair", (fully_connected(64, 32), unary("tanh", (1, 32))))
    (folder / "dense.tflite").write_bytes(dense.build())
    return folder
