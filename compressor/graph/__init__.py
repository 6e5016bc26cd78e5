"""Which channels of a Keras model go together, and the surgery that removes them.

Imports no other room of the compressor.
"""

from __future__ import annotations

from compressor.graph.builder import Axis, ChannelGraph, Group, SizeForm, Widths, build_graph
from compressor.graph.surgery import Keep, along, cut, masked, resize

__all__ = [
    "Axis",
    "ChannelGraph",
    "Group",
    "Keep",
    "SizeForm",
    "Widths",
    "along",
    "build_graph",
    "cut",
    "masked",
    "resize",
]
