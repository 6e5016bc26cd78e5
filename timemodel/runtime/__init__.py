"""What a network adds to the sum of its layers: fusion, cache traffic, the call itself.

May import `timemodel.tree`.
"""

from __future__ import annotations

from timemodel.runtime.cache_traffic import KNOTS_MB, Traffic, risen, traffic_in_words
from timemodel.runtime.fusion import (
    APART,
    FUSED,
    INSIDE,
    PARTLY,
    Events,
    GraphRule,
    factors,
    graph_in_words,
    kept,
    learn_inside,
    learn_rules,
    other_share,
    ran_as_one,
    remaining,
    remaining_share,
)
from timemodel.runtime.reuse_distance import CLASSES, DATA, MATRIX, VECTOR, WINDOW, elapsed_ms, reuse
from timemodel.runtime.terms import RuntimeTerms, find_pairs

__all__ = [
    "APART",
    "CLASSES",
    "DATA",
    "FUSED",
    "INSIDE",
    "KNOTS_MB",
    "MATRIX",
    "PARTLY",
    "VECTOR",
    "WINDOW",
    "Events",
    "GraphRule",
    "RuntimeTerms",
    "Traffic",
    "elapsed_ms",
    "factors",
    "find_pairs",
    "graph_in_words",
    "kept",
    "learn_inside",
    "learn_rules",
    "other_share",
    "ran_as_one",
    "remaining",
    "remaining_share",
    "reuse",
    "risen",
    "traffic_in_words",
]
