"""How each Keras layer passes channels on, and which of its weights stand for them.

A rule gets the channels of a layer's inputs as arrays of ids and returns those of its outputs. A layer without a rule
is frozen whole and named. Imports the room of the topology.
"""

from __future__ import annotations

from compressor.graph.rules.base import Outputs, Rule, in_words
from compressor.graph.rules.recorder import (
    ChannelAxis,
    ChannelIds,
    Count,
    Frozen,
    FrozenLayer,
    Recorder,
    joined,
)
from compressor.graph.rules.recurrent import RULES as RECURRENT
from compressor.graph.rules.registry import load_rules, register_rule, rule_of

__all__ = [
    "RECURRENT",
    "ChannelAxis",
    "ChannelIds",
    "Count",
    "Frozen",
    "FrozenLayer",
    "Outputs",
    "Recorder",
    "Rule",
    "in_words",
    "joined",
    "load_rules",
    "register_rule",
    "rule_of",
]
