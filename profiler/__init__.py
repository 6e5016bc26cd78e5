"""What a layer is, and how long it takes on a device."""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "BundleSummary": "profiler.bundle",
    "Edge": "profiler.network",
    "ImportSummary": "profiler.bundle",
    "Layer": "profiler.layer",
    "LocalTarget": "profiler.target",
    "Measurement": "profiler.measurement",
    "Network": "profiler.network",
    "Probe": "profiler.probe",
    "ProbeTime": "profiler.combine",
    "Profile": "profiler.store",
    "ProfileSummary": "profiler.profiling",
    "Setting": "profiler.setting",
    "SshTarget": "profiler.target",
    "Target": "profiler.target",
    "Tensor": "profiler.layer",
    "import_results": "profiler.bundle",
    "list_targets": "profiler.target",
    "measure_network": "profiler.measurement",
    "open_target": "profiler.target",
    "plan_probes": "profiler.sampler",
    "profile": "profiler.profiling",
    "read_network": "profiler.tflite_reader",
    "write_bundle": "profiler.bundle",
}
"""Where each public name lives; `__getattr__` imports it from there."""

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'profiler' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
