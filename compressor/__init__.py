"""Smaller, faster networks of the same accuracy; TFLite export."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from compressor.data import Data, load_data
    from compressor.export import ExportResult, export
    from compressor.finetune import Schedule
    from compressor.graph import ChannelGraph, build_graph
    from compressor.options import Options
    from compressor.pipeline import compress
    from compressor.result import CompressionResult
    from compressor.surgery import cut

__all__ = [
    "ChannelGraph",
    "CompressionResult",
    "Data",
    "ExportResult",
    "Options",
    "Schedule",
    "build_graph",
    "compress",
    "cut",
    "export",
    "load_data",
]

_HOMES = {
    "ChannelGraph": "compressor.graph",
    "CompressionResult": "compressor.result",
    "Data": "compressor.data",
    "ExportResult": "compressor.export",
    "Options": "compressor.options",
    "Schedule": "compressor.finetune",
    "build_graph": "compressor.graph",
    "compress": "compressor.pipeline",
    "cut": "compressor.surgery",
    "export": "compressor.export",
    "load_data": "compressor.data",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for, so that importing the package costs nothing."""
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
