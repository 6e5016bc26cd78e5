"""What a layer is, and how long it takes on a device."""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "BundleSummary": "profiler.measurement",
    "Edge": "profiler.network",
    "ImportSummary": "profiler.measurement",
    "Layer": "profiler.network",
    "LocalTarget": "profiler.devices",
    "Measurement": "profiler.measurement",
    "Network": "profiler.network",
    "Probe": "profiler.probes",
    "ProbeTime": "profiler.measurement",
    "Profile": "profiler.measurement",
    "ProfileSummary": "profiler.measurement",
    "Setting": "profiler.devices",
    "SshTarget": "profiler.devices",
    "Target": "profiler.devices",
    "Tensor": "profiler.network",
    "import_results": "profiler.measurement",
    "list_targets": "profiler.devices",
    "measure_network": "profiler.measurement",
    "open_target": "profiler.devices",
    "plan_probes": "profiler.probes",
    "profile": "profiler.measurement",
    "read_network": "profiler.tflite",
    "register_target": "profiler.devices",
    "write_bundle": "profiler.measurement",
}
"""Where each public name lives; `__getattr__` imports it from there."""

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'profiler' has no attribute {name!r}")
    # Layers ask the entries of operators how they calculate, which `profiler.network` below them may not import.
    importlib.import_module("profiler.operators")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
