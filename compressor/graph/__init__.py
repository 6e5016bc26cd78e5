"""Which channels of a Keras model go together, the rules per layer, and the surgery that removes channels and blocks.

Imports no other room of the compressor. Inside: topology, then rules, then the graph, then surgery and editing, then blocks.
"""

from __future__ import annotations

from compressor.graph.blocks import FoundBlocks, RemovableBlock, find_blocks, without
from compressor.graph.builder import build_graph
from compressor.graph.change import Change
from compressor.graph.channel_graph import ChannelGraph, Group, SizeForm, Widths
from compressor.graph.editing import Editing, entry_name, free_name, prefix_of
from compressor.graph.rules import RECURRENT, ChannelAxis, Frozen, Recorder, load_rules, register_rule
from compressor.graph.surgery import (
    Keep,
    along,
    cut,
    inherited,
    inside,
    masked,
    normalise_masked,
    recount,
    resize,
    silenced,
)
from compressor.graph.topology import Call, TensorKey, Topology, layers_of, read_topology, weight_names

__all__ = [
    "RECURRENT",
    "Call",
    "Change",
    "ChannelAxis",
    "ChannelGraph",
    "Editing",
    "FoundBlocks",
    "Frozen",
    "Group",
    "Keep",
    "Recorder",
    "RemovableBlock",
    "SizeForm",
    "TensorKey",
    "Topology",
    "Widths",
    "along",
    "build_graph",
    "cut",
    "entry_name",
    "find_blocks",
    "free_name",
    "inherited",
    "inside",
    "layers_of",
    "load_rules",
    "masked",
    "normalise_masked",
    "prefix_of",
    "read_topology",
    "recount",
    "register_rule",
    "resize",
    "silenced",
    "weight_names",
    "without",
]
