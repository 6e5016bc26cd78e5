"""Smaller, faster networks of the same accuracy; TFLite export."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from compressor.data import Data, load_data
    from compressor.export import ExportResult
    from compressor.graph import ChannelGraph, build_graph, cut, register_rule
    from compressor.pipeline import compress
    from compressor.pipeline.result import CompressionResult
    from compressor.training import Options, Schedule

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
    "load_data",
    "register_rule",
]

_HOMES = {
    "ChannelGraph": "compressor.graph",
    "CompressionResult": "compressor.pipeline.result",
    "Data": "compressor.data",
    "ExportResult": "compressor.export",
    "Options": "compressor.training",
    "Schedule": "compressor.training",
    "build_graph": "compressor.graph",
    "compress": "compressor.pipeline",
    "cut": "compressor.graph",
    "load_data": "compressor.data",
    "register_rule": "compressor.graph",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for, so that importing the package costs nothing."""
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
