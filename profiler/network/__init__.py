"""What a network is: layers with shapes and types, how they are connected, and what memory they take.

Imports no other room of the profiler.
"""

from __future__ import annotations

from profiler.network.activation_memory import peak_memory_bytes, plan_arena
from profiler.network.fusion_patterns import ABSORBED, ACTIVATIONS, Neighbours, find_neighbours, role
from profiler.network.layer import DTYPE_BYTES, WEIGHTED, Layer, Param, Tensor
from profiler.network.network import Edge, Network
from profiler.network.process_memory import Footprint, footprint, packed_bytes, patch_bytes, table_bytes

__all__ = [
    "ABSORBED",
    "ACTIVATIONS",
    "DTYPE_BYTES",
    "WEIGHTED",
    "Edge",
    "Footprint",
    "Layer",
    "Neighbours",
    "Network",
    "Param",
    "Tensor",
    "find_neighbours",
    "footprint",
    "packed_bytes",
    "patch_bytes",
    "peak_memory_bytes",
    "plan_arena",
    "role",
    "table_bytes",
]
