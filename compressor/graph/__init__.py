"""Which channels of a Keras model go together, the rules per layer, and the surgery that removes channels.

Imports no other room of the compressor. Inside: topology, then rules, then the graph, then surgery.
"""

from __future__ import annotations

from compressor.graph.builder import build_graph
from compressor.graph.channel_graph import ChannelGraph
from compressor.graph.masking import normalise_masked
from compressor.graph.records import ChannelAxis, Group, SizeForm, Widths
from compressor.graph.rules import Frozen, Recorder, load_rules, register_rule
from compressor.graph.surgery import Keep, along, cut, inside, masked, resize
from compressor.graph.topology import Call

__all__ = [
    "Call",
    "ChannelAxis",
    "ChannelGraph",
    "Frozen",
    "Group",
    "Keep",
    "Recorder",
    "SizeForm",
    "Widths",
    "along",
    "build_graph",
    "cut",
    "inside",
    "load_rules",
    "masked",
    "normalise_masked",
    "register_rule",
    "resize",
]
