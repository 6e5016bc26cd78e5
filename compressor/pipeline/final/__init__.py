"""Full fine-tuning: which candidates get it (`Shortlist`), the training, and further points along the front.

May import `compressor.pipeline.prepare` and below.
"""

from __future__ import annotations

from compressor.pipeline.final.points import POINTS, family_targets, in_proportion, train_points
from compressor.pipeline.final.shortlist import Finalist
from compressor.pipeline.final.training import FinalTraining

__all__ = [
    "POINTS",
    "FinalTraining",
    "Finalist",
    "family_targets",
    "in_proportion",
    "train_points",
]
