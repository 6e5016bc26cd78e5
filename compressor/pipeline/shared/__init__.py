"""Searches that several processes and machines take part in."""

from __future__ import annotations

from compressor.pipeline.shared.joining import Joined, join, main
from compressor.pipeline.shared.sharing import FILES, STORAGE, Sharing
from compressor.pipeline.shared.workers import PARENT, Workers, cores, end_with_parent, thread_limits

__all__ = [
    "FILES",
    "PARENT",
    "STORAGE",
    "Joined",
    "Sharing",
    "Workers",
    "cores",
    "end_with_parent",
    "join",
    "main",
    "thread_limits",
]
