"""What a network is: layers with shapes and types, how they are connected, and what memory they take.

Imports no other room of the profiler.
"""

from __future__ import annotations

from profiler.network.activation_memory import peak_memory_bytes, plan_arena
from profiler.network.fusion_patterns import ACTIVATIONS, FUSION_PATTERNS, FusionMatch, pattern_name
from profiler.network.layer import DTYPE_BYTES, Arithmetic, Edge, Layer, Param, Shape, Tensor, use_arithmetic
from profiler.network.network import Network
from profiler.network.process_memory import Footprint, footprint

__all__ = [
    "ACTIVATIONS",
    "DTYPE_BYTES",
    "FUSION_PATTERNS",
    "Arithmetic",
    "Edge",
    "Footprint",
    "FusionMatch",
    "Layer",
    "Network",
    "Param",
    "Shape",
    "Tensor",
    "footprint",
    "pattern_name",
    "peak_memory_bytes",
    "plan_arena",
    "use_arithmetic",
]
