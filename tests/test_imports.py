"""What importing loads: boards have no TensorFlow, and nobody should wait for what they do not use."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import edgetime

HEAVY = ("tensorflow", "keras", "sklearn", "scipy", "optuna", "plotly", "ai_edge_litert", "ai_edge_quantizer")

REPORT = "; print('loaded:' + __import__('json').dumps(sorted(__import__('sys').modules)))"


def loaded_by(code: str) -> set[str]:
    """Top-level modules that are loaded after `code` ran in an interpreter of its own."""
    command = [sys.executable, "-c", code + REPORT]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    listed = next(line for line in output.splitlines() if line.startswith("loaded:"))
    return {name.split(".")[0] for name in json.loads(listed.removeprefix("loaded:"))}


def test_importing_edgetime_loads_nothing_heavy():
    assert not loaded_by("import edgetime").intersection(HEAVY)


def test_help_loads_nothing_heavy():
    code = "from edgetime.cli import app; status = app(['--help'], standalone_mode=False); assert status == 0"
    loaded = loaded_by(code)
    assert "edgetime" in loaded
    assert not loaded.intersection({*HEAVY, "numpy"})


@pytest.mark.parametrize("verb", ["predict", "profile", "compress", "export", "select", "demo"])
def test_help_of_a_verb_loads_nothing_heavy(verb: str):
    code = f"from edgetime.cli import app; app(['{verb}', '--help'], standalone_mode=False)"
    assert not loaded_by(code).intersection(HEAVY)


def test_the_arithmetic_of_staircases_loads_nothing_heavy():
    """The search uses it without a time model."""
    assert not loaded_by("import timemodel.staircases").intersection(HEAVY)


@pytest.mark.parametrize("package", ["profiler", "timemodel", "compressor", "selector"])
def test_importing_a_package_loads_no_training_library(package: str):
    assert not loaded_by(f"import {package}").intersection({"tensorflow", "keras", "optuna"})


def test_what_runs_on_boards_works_without_the_compress_extra():
    """Every module of the packages that boards use imports where TensorFlow and its kin cannot be found."""
    code = (
        "import sys, pkgutil, importlib\n"
        "for name in ('tensorflow', 'keras', 'optuna', 'ai_edge_quantizer'): sys.modules[name] = None\n"
        "for package in ('profiler', 'timemodel', 'selector', 'edgetime'):\n"
        "    for found in pkgutil.walk_packages(importlib.import_module(package).__path__, package + '.'):\n"
        "        importlib.import_module(found.name)\n"
        "print('imported all')"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "imported all" in result.stdout


def test_public_names_are_sorted_and_there():
    assert edgetime.__all__ == sorted(edgetime.__all__)
    for name in edgetime.__all__:
        assert getattr(edgetime, name) is not None
    assert set(edgetime.__all__) <= set(dir(edgetime))


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = edgetime.no_such_name
