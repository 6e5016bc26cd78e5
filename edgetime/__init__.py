"""edgetime: how long a network takes on a device, why, and how to make it faster without losing accuracy.

Everything public is here and is imported when first used, so that ``import edgetime`` costs nothing and
works on boards without TensorFlow::

    import edgetime as et

    model = et.load_time_model("device.timemodel.json")
    print(et.predict(model, "net.tflite").predicted_ms)
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "Advice": "timemodel.advise",
    "BudgetError": "profiler.errors",
    "CompressionResult": "compressor.pipeline.result",
    "Data": "compressor.data",
    "EdgetimeError": "profiler.errors",
    "Layer": "profiler.network",
    "LayerPrediction": "timemodel.model",
    "Measurement": "profiler.measurement",
    "Network": "profiler.network",
    "NetworkPrediction": "timemodel.model",
    "LoadedPolicy": "selector.runtime",
    "Tensor": "profiler.network",
    "TimeModel": "timemodel.model",
    "advise": "timemodel.advise",
    "compress": "compressor.pipeline",
    "export": "compressor.export",
    "fit": "edgetime.facade",
    "load_data": "compressor.data",
    "load_policy": "selector.runtime",
    "load_time_model": "edgetime.facade",
    "measure": "edgetime.facade",
    "open_lct": "compressor.weights.line_compress",
    "open_target": "profiler.devices",
    "pack": "compressor.weights.line_compress",
    "predict": "edgetime.facade",
    "profile": "edgetime.facade",
    "read_network": "profiler.tflite",
    "register_target": "profiler.devices",
    "run_policy": "selector.running",
    "select": "selector.selection",
    "select_per_input": "selector.fitting",
    "unpack": "compressor.weights.line_compress",
    "write_report": "edgetime.report",
}
"""Where each public name lives; `__getattr__` imports it from there."""

__all__ = sorted([*_HOMES, "__version__"])


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'edgetime' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
