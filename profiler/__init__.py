"""What a layer is, and how long it takes on a device."""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "BundleSummary": "profiler.measurement.bundle",
    "Edge": "profiler.network.network",
    "ImportSummary": "profiler.measurement.bundle",
    "Layer": "profiler.network.layer",
    "LocalTarget": "profiler.devices.target",
    "Measurement": "profiler.measurement.whole_network",
    "Network": "profiler.network.network",
    "Probe": "profiler.probes.probe",
    "ProbeTime": "profiler.measurement.combining",
    "Profile": "profiler.measurement.store",
    "ProfileSummary": "profiler.measurement.profiling",
    "Setting": "profiler.devices.setting",
    "SshTarget": "profiler.devices.target",
    "Target": "profiler.devices.target",
    "Tensor": "profiler.network.layer",
    "import_results": "profiler.measurement.bundle",
    "list_targets": "profiler.devices.target",
    "measure_network": "profiler.measurement.whole_network",
    "open_target": "profiler.devices.target",
    "plan_probes": "profiler.probes.plan",
    "profile": "profiler.measurement.profiling",
    "read_network": "profiler.tflite.reader",
    "write_bundle": "profiler.measurement.bundle",
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
