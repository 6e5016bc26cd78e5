"""What a network adds to the sum of its layers: fusion, cache traffic, the call itself.

May import `timemodel.features` and `timemodel.tree`.
"""

from timemodel.runtime.cache_traffic import CacheTraffic
from timemodel.runtime.company import borders_through, marked, placed
from timemodel.runtime.dispatch import Dispatch
from timemodel.runtime.fusion import (
    APART,
    EVERYTHING,
    FUSED,
    INSIDE,
    OUTSIDE,
    RENAMES,
    SPLIT,
    FusionShares,
    GraphRule,
)
from timemodel.runtime.fusion_learning import Events, learn_rules
from timemodel.runtime.in_words import dispatch_in_words, graph_in_words, traffic_in_words
from timemodel.runtime.left import LeftRule, learn_left, left_by_size
from timemodel.runtime.row_loop import RowLoop
from timemodel.runtime.terms import RuntimeTerms

__all__ = [
    "APART",
    "EVERYTHING",
    "FUSED",
    "INSIDE",
    "OUTSIDE",
    "RENAMES",
    "SPLIT",
    "CacheTraffic",
    "Dispatch",
    "Events",
    "FusionShares",
    "GraphRule",
    "LeftRule",
    "RowLoop",
    "RuntimeTerms",
    "borders_through",
    "dispatch_in_words",
    "graph_in_words",
    "learn_left",
    "learn_rules",
    "left_by_size",
    "marked",
    "placed",
    "traffic_in_words",
]
