"""What a network of given widths costs: predicted or measured time, size, memory, energy; moves on the staircase.

May import `compressor.export` and below.
"""

from __future__ import annotations

from compressor.costs.lowering import (
    ConvertingLowering,
    Lowering,
    LoweringError,
    example_widths,
    learn_lowering,
)
from compressor.costs.measured import MeasuredCost, place_of
from compressor.costs.network_cost import (
    STEERINGS,
    CandidateCost,
    Costs,
    NetworkCost,
    flops_cost,
    steering_cost,
)
from compressor.costs.predicted_time import PredictedTime
from compressor.costs.staircase import (
    Ladders,
    coarse_ladders,
    descended,
    exactly_within,
    exchanged,
    fastest,
    filled,
    fitted,
    kept_value,
    kept_values,
    ladder,
    ladders,
    lowered,
    narrowed,
    scaled,
    thinned,
)

__all__ = [
    "STEERINGS",
    "CandidateCost",
    "ConvertingLowering",
    "Costs",
    "Ladders",
    "Lowering",
    "LoweringError",
    "MeasuredCost",
    "NetworkCost",
    "PredictedTime",
    "coarse_ladders",
    "descended",
    "exactly_within",
    "example_widths",
    "exchanged",
    "fastest",
    "filled",
    "fitted",
    "flops_cost",
    "kept_value",
    "kept_values",
    "ladder",
    "ladders",
    "learn_lowering",
    "lowered",
    "narrowed",
    "place_of",
    "scaled",
    "steering_cost",
    "thinned",
]
