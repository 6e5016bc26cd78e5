"""What all tests share."""

from __future__ import annotations

import os
import random
import sys
import tempfile
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Before anything imports TensorFlow, which is talkative.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

# No test reads or writes the user's own settings, nor does a process that it starts.
_SETTINGS = tempfile.TemporaryDirectory(prefix="edgetime-tests-")
os.environ["EDGETIME_CONFIG_DIR"] = _SETTINGS.name

ROOT = Path(__file__).resolve().parent.parent

# Never a deadline: how long an example takes depends on the machine. CI tries the same examples each time.
_COMMON = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large]}
settings.register_profile("dev", **_COMMON)
settings.register_profile("ci", derandomize=True, **_COMMON)
settings.load_profile("ci" if os.environ.get("CI") else "dev")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Draw the same random weights in every run: one network in thousands has no live channel to test."""
    seed = zlib.crc32(item.nodeid.encode())
    random.seed(seed)
    for name, function in (("numpy.random", "seed"), ("keras.utils", "set_random_seed")):
        # Never imported for this alone: TensorFlow takes seconds.
        if name in sys.modules:
            getattr(sys.modules[name], function)(seed)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of public data (``../shared/data``, ``$EDGETIME_SHARED_DATA``); else the test is skipped."""
    named = os.environ.get("EDGETIME_SHARED_DATA")
    folder = Path(named) if named else ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"needs public data, and {folder} is not there (name it with EDGETIME_SHARED_DATA)")
    return folder


@pytest.fixture(scope="session")
def repository() -> Path:
    """The checkout's root."""
    return ROOT


@pytest.fixture(scope="session")
def tflite_runtime() -> str:
    """A Python that has tflite-runtime (``$EDGETIME_TFLITE_RUNTIME``); else the test is skipped."""
    python = os.environ.get("EDGETIME_TFLITE_RUNTIME")
    if not python:
        pytest.skip("needs a Python with tflite-runtime (name it with EDGETIME_TFLITE_RUNTIME)")
    return python
