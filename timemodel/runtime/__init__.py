"""What a network adds to the sum of its layers: fusion, cache traffic, the call itself.

May import `timemodel.features` and `timemodel.tree`.
"""

from timemodel.runtime.cache_traffic import CacheTraffic
from timemodel.runtime.company import marked, placed
from timemodel.runtime.dispatch import Dispatch
from timemodel.runtime.fusion import (
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
from timemodel.runtime.row_loop import RowLoop
from timemodel.runtime.terms import RuntimeTerms

__all__ = [
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
    "RowLoop",
    "RuntimeTerms",
    "dispatch_in_words",
    "graph_in_words",
    "learn_rules",
    "marked",
    "placed",
    "traffic_in_words",
]
