"""Which channels of a Keras model go together, the rules per layer, and the surgery that removes channels and blocks.

Imports no other room of the compressor. Inside: topology, then rules, then the graph, then surgery, then blocks.
"""

from __future__ import annotations

from compressor.graph.blocks import FoundBlocks, RemovableBlock, find_blocks, without
from compressor.graph.builder import build_graph
from compressor.graph.channel_graph import ChannelGraph, Group, SizeForm, Widths
from compressor.graph.rules import ChannelAxis, Frozen, Recorder, load_rules, register_rule
from compressor.graph.surgery import Keep, along, cut, inside, masked, normalise_masked, resize
from compressor.graph.topology import Call, layers_of, read_topology, weight_names

__all__ = [
    "Call",
    "ChannelAxis",
    "ChannelGraph",
    "FoundBlocks",
    "Frozen",
    "Group",
    "Keep",
    "Recorder",
    "RemovableBlock",
    "SizeForm",
    "Widths",
    "along",
    "build_graph",
    "cut",
    "find_blocks",
    "inside",
    "layers_of",
    "load_rules",
    "masked",
    "normalise_masked",
    "read_topology",
    "register_rule",
    "resize",
    "weight_names",
    "without",
]
