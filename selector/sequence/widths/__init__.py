"""How wide the beam is, step by step: fixed, by how sure the decoder is, by thresholds, learned.

May import the steps of a search. Each kind of policy is one file.
"""

from __future__ import annotations

from selector.sequence.widths.base import Chooser, WidthPolicy
from selector.sequence.widths.confidence import DeviationWidth, EntropyWidth
from selector.sequence.widths.fixed import FixedWidth
from selector.sequence.widths.learned import FEATURES, LearnedWidth, features
from selector.sequence.widths.registry import WIDTH_POLICIES, register_width_policy, width_policy
from selector.sequence.widths.threshold import ThresholdPruning

__all__ = [
    "FEATURES",
    "WIDTH_POLICIES",
    "Chooser",
    "DeviationWidth",
    "EntropyWidth",
    "FixedWidth",
    "LearnedWidth",
    "ThresholdPruning",
    "WidthPolicy",
    "features",
    "register_width_policy",
    "width_policy",
]
