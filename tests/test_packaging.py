"""The wheel: light by default, and the light one does a board's whole job in an empty environment."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

PACKAGES = ("profiler", "timemodel", "compressor", "selector", "edgetime")


def run(*command: str | Path, **options) -> subprocess.CompletedProcess[str]:
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
    assert result.returncode == 0, f"{command} failed:\n{result.stdout}\n{result.stderr}"
    return result


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Path:
    # Built from a copy: a build leaves files behind.
    source = tmp_path_factory.mktemp("source")
    for package in PACKAGES:
        shutil.copytree(repository / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(repository / file, source / file)
    out = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", out, source)
    (built,) = out.glob("edgetime-*.whl")
    return built


@pytest.fixture(scope="module")
def light(wheel: Path, tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Path:
    """The ``bin`` folder of an empty environment with the wheel and what it needs, from the registry."""
    if os.environ.get("EDGETIME_OFFLINE"):
        pytest.skip("EDGETIME_OFFLINE is set, and this installs packages from the registry")
    venv = tmp_path_factory.mktemp("light") / "venv"
    run(sys.executable, "-m", "venv", venv)
    pins = repository / "constraints.txt"
    run(venv / "bin" / "python", "-m", "pip", "install", "--quiet", "-c", pins, wheel)
    return venv / "bin"


@pytest.fixture
def clean_environment(tmp_path: Path) -> dict[str, str]:
    """An environment that cannot see this checkout."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))}
    return {**kept, "HOME": str(tmp_path)}


def test_wheel_holds_all_packages_and_what_they_read(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = archive.read(next(name for name in names if name.endswith("METADATA"))).decode()
    assert {name.split("/")[0] for name in names if not name.split("/")[0].endswith(".dist-info")} == set(
        PACKAGES
    )
    assert {f"{package}/py.typed" for package in PACKAGES} <= names
    assert "edgetime/report/page.html" in names
    assert "profiler/devices/agent.py" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    required = [line for line in metadata.splitlines() if line.startswith("Requires-Dist")]
    assert any("tensorflow" in line and "compress" in line for line in required)
    assert not any("tensorflow" in line and "extra ==" not in line for line in required)


def test_pins_name_exact_versions_only(repository: Path):
    lines = (repository / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert pins
    for pin in pins:
        name, _, version = pin.partition("==")
        assert name.replace("-", "").replace("_", "").replace(".", "").isalnum(), pin
        assert version, pin
        assert not any(mark in version for mark in "*/@:"), pin


@pytest.mark.slow
def test_help_in_the_light_install_has_and_loads_no_tensorflow(
    light: Path, clean_environment: dict[str, str]
):
    assert (
        "predict"
        in run(light / "edgetime", "--help", env=clean_environment, cwd=clean_environment["HOME"]).stdout
    )
    code = (
        "import sys, importlib.util as u\n"
        "from edgetime.cli import app\n"
        "app(['--help'], standalone_mode=False)\n"
        "assert not [m for m in sys.modules if m.split('.')[0] in ('tensorflow', 'keras')]\n"
        "assert u.find_spec('tensorflow') is None and u.find_spec('keras') is None\n"
    )
    run(light / "python", "-c", code, env=clean_environment, cwd=clean_environment["HOME"])


@pytest.mark.slow
def test_light_install_profiles_fits_and_predicts(
    light: Path, clean_environment: dict[str, str], tmp_path: Path
):
    """The whole way from nothing to a prediction, as on a board."""

    def edgetime(*arguments: str) -> str:
        return run(light / "edgetime", *arguments, env=clean_environment, cwd=tmp_path).stdout

    network = tmp_path / "net.tflite"
    network.write_bytes(small_network())
    edgetime("profile", "local", "-o", "here.db", "--minutes", "0.3", "--dtype", "float32")
    edgetime("fit", "here.db", "-o", "here.timemodel.json")
    (line,) = edgetime("predict", "here.timemodel.json", "net.tflite", "--measure", "--json").splitlines()
    result = json.loads(line)
    assert result["network"] == "net.tflite"
    assert result["predicted_ms"] > 0
    assert result["measured_ms"] > 0
    assert result["low_ms"] <= result["predicted_ms"] <= result["high_ms"]
    assert [layer["op"] for layer in result["layers"]] == ["conv_2d"]


@pytest.mark.slow
def test_light_install_says_what_a_keras_file_needs(
    light: Path, clean_environment: dict[str, str], tmp_path: Path
):
    with zipfile.ZipFile(tmp_path / "net.keras", "w") as archive:
        for name in ("metadata.json", "config.json", "model.weights.h5"):
            archive.writestr(name, "{}")
    command = [str(light / "edgetime"), "export", "net.keras", "-o", "net.tflite"]
    result = subprocess.run(command, capture_output=True, text=True, env=clean_environment, cwd=tmp_path)
    assert result.returncode == 1
    assert 'pip install "edgetime[compress]"' in result.stderr
    assert "Traceback" not in result.stderr


def small_network() -> bytes:
    """One convolution as a ``.tflite`` file."""
    from profiler.operators import conv_2d
    from profiler.probes import Probe

    return Probe("layer", (conv_2d(16, 16, 8, 16, activation="relu"),)).build()


def test_make_bench_names_every_benchmark_that_can_be_run(repository: Path):
    told = subprocess.run(
        ["make", "-o", ".venv/.installed", "bench", "NAME="], cwd=repository, capture_output=True, text=True
    )
    assert told.returncode == 2
    named = told.stderr.split()
    assert {"compression", "demo", "surgery", "time_model"} <= set(named)
    assert not {"own", "catalogue", "baselines"} & set(named)
