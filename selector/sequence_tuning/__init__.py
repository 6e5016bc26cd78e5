"""Which widths a beam search runs at: policies searched on development data for quality and time.

May import the rooms of sequences, run-time and candidates. Optuna and sacrebleu are imported here, and not where policies run.
"""

from __future__ import annotations

from selector.sequence_tuning.cascading import TunedCascade, tune_cascade
from selector.sequence_tuning.costs import (
    CostMeter,
    SequenceCosts,
    best_palette,
    measured_costs,
    predicted_costs,
)
from selector.sequence_tuning.evaluating import Evaluated, Judge, evaluate, pooled
from selector.sequence_tuning.learning import fit_learned_width
from selector.sequence_tuning.pairs import read_pairs
from selector.sequence_tuning.quality import METRICS, Quality, paired_difference, quality_of
from selector.sequence_tuning.tuning import Tuned, TunedPoint, cheapest, tune_widths

__all__ = [
    "METRICS",
    "CostMeter",
    "Evaluated",
    "Judge",
    "Quality",
    "SequenceCosts",
    "Tuned",
    "TunedCascade",
    "TunedPoint",
    "best_palette",
    "cheapest",
    "evaluate",
    "fit_learned_width",
    "measured_costs",
    "paired_difference",
    "pooled",
    "predicted_costs",
    "quality_of",
    "read_pairs",
    "tune_cascade",
    "tune_widths",
]
