"""What a configuration costs: predicted or measured time, size, memory, energy; moves on the staircase.

May import `compressor.export` and below.
"""

from __future__ import annotations

from compressor.costs import staircase
from compressor.costs.configuration import Configuration
from compressor.costs.lowering import ConvertingLowering, Lowering, LoweringError, learn_lowering
from compressor.costs.measured import MeasuredCost, place_of
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
from compressor.costs.precision_costs import LeastCost, LeastTime
from compressor.costs.staircase import CandidateWidths, narrowest, scaled

__all__ = [
    "STEERINGS",
    "CandidateCost",
    "CandidateWidths",
    "Configuration",
    "ConvertingLowering",
    "Costs",
    "LeastCost",
    "LeastTime",
    "Lowering",
    "LoweringError",
    "MeasuredCost",
    "NetworkCost",
    "PredictedEnergy",
    "PredictedTime",
    "flops_cost",
    "learn_lowering",
    "narrowest",
    "place_of",
    "scaled",
    "staircase",
    "steering_cost",
]
