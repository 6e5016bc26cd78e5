"""What a configuration costs: predicted or measured time, size, memory, energy; moves on the staircase.

May import `compressor.export` and below.
"""

from __future__ import annotations

from compressor.costs.configuration import Configuration
from compressor.costs.lowering import ConvertingLowering, Lowering, LoweringError, learn_lowering
from compressor.costs.measured import MeasuredCost, place_of
from compressor.costs.network_cost import STEERINGS, CandidateCost, Costs, NetworkCost, steering_cost
from compressor.costs.predicted_time import PredictedTime, flops_cost
from compressor.costs.staircase import (
    CandidateWidths,
    candidate_widths,
    even_widths,
    exchange_widths,
    fastest,
    fill_budget,
    fit_exactly,
    kept_value,
    kept_values,
    narrowest,
    round_down,
    scale_to,
    scaled,
    shrink_to,
    widen_free,
)

__all__ = [
    "STEERINGS",
    "CandidateCost",
    "CandidateWidths",
    "Configuration",
    "ConvertingLowering",
    "Costs",
    "Lowering",
    "LoweringError",
    "MeasuredCost",
    "NetworkCost",
    "PredictedTime",
    "candidate_widths",
    "even_widths",
    "exchange_widths",
    "fastest",
    "fill_budget",
    "fit_exactly",
    "flops_cost",
    "kept_value",
    "kept_values",
    "learn_lowering",
    "narrowest",
    "place_of",
    "round_down",
    "scale_to",
    "scaled",
    "shrink_to",
    "steering_cost",
    "widen_free",
]
