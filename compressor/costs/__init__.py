"""What a configuration costs: predicted or measured time, size, memory, energy; moves on the staircase.

May import `compressor.export` and below.
"""

from __future__ import annotations

from compressor.costs import staircase
from compressor.costs.configuration import Configuration
from compressor.costs.lowering import ConvertingLowering, LoweringError, learn_lowering
from compressor.costs.measured import MeasuredCost, place_of
from compressor.costs.naming import Ranks, name_of, ranks_of
from compressor.costs.network_cost import (
    STEERINGS,
    CandidateCost,
    Costs,
    NetworkCost,
    PredictedEnergy,
    PredictedTime,
    flops_cost,
    steering_cost,
)
from compressor.costs.precision_costs import MIXED, LeastCost, LeastTime
from compressor.costs.staircase import CandidateWidths, narrowest, scaled
from compressor.costs.structures import Structure, Structures

__all__ = [
    "MIXED",
    "STEERINGS",
    "CandidateCost",
    "CandidateWidths",
    "Configuration",
    "ConvertingLowering",
    "Costs",
    "LeastCost",
    "LeastTime",
    "LoweringError",
    "MeasuredCost",
    "NetworkCost",
    "PredictedEnergy",
    "PredictedTime",
    "Ranks",
    "Structure",
    "Structures",
    "flops_cost",
    "learn_lowering",
    "name_of",
    "narrowest",
    "place_of",
    "ranks_of",
    "scaled",
    "staircase",
    "steering_cost",
]
