"""What can be taken out of a network besides channels: blocks, branches, time steps, borders of kernels, rank.

Each kind is a `Dimension`, registered by its name, that finds `Change`s in a network and says what it refuses. Imports the
room of the graph.
"""

from __future__ import annotations

from compressor.changes.base import Dimension, ExaminedNetwork, FoundChanges, LayerTimes, RefusedChange
from compressor.changes.registry import (
    changed,
    find_changes,
    get_dimension,
    in_effect,
    is_inside,
    names_in_effect,
    register_dimension,
)

__all__ = [
    "Dimension",
    "ExaminedNetwork",
    "FoundChanges",
    "LayerTimes",
    "RefusedChange",
    "changed",
    "find_changes",
    "get_dimension",
    "in_effect",
    "is_inside",
    "names_in_effect",
    "register_dimension",
]
