"""The search for stages: which networks in which order, how their answers are combined, where rows stop.

May import `selector.policies.goal` and the rooms of candidates and runtime.
"""

from __future__ import annotations

from selector.policies.stages.choosing import Estimated, SingleNetwork, cautious_drop, choose, choose_tested
from selector.policies.stages.combining import Combiner
from selector.policies.stages.prefixes import Gate, Prefixes
from selector.policies.stages.search import (
    GATES,
    CascadeSearch,
    Point,
    SearchSettings,
    best_single,
    front,
    row_folds,
    shortlist,
)
from selector.policies.stages.thresholds import NEVER, StageRows, best_thresholds, class_thresholds, stops_at
from selector.policies.stages.uncertainty import mean_and_error

__all__ = [
    "GATES",
    "NEVER",
    "CascadeSearch",
    "Combiner",
    "Estimated",
    "Gate",
    "Point",
    "Prefixes",
    "SearchSettings",
    "SingleNetwork",
    "StageRows",
    "best_single",
    "best_thresholds",
    "cautious_drop",
    "choose",
    "choose_tested",
    "class_thresholds",
    "front",
    "mean_and_error",
    "row_folds",
    "shortlist",
    "stops_at",
]
