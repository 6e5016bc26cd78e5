"""Sequence to sequence on the device: beam search whose width follows the input; numpy and LiteRT, nothing else.

May import the run-time room and what reads plug-ins.
"""

from __future__ import annotations

from selector.sequence.best_first import best_first_search
from selector.sequence.decoder import StepDecoder
from selector.sequence.scoring import SearchOptions
from selector.sequence.search import Hypothesis, SearchResult, Timing, beam_search
from selector.sequence.step import Step
from selector.sequence.widths import (
    DeviationWidth,
    EntropyWidth,
    FixedWidth,
    LearnedWidth,
    ThresholdPruning,
    WidthPolicy,
    register_width_policy,
    width_policy,
)

__all__ = [
    "DeviationWidth",
    "EntropyWidth",
    "FixedWidth",
    "Hypothesis",
    "LearnedWidth",
    "SearchOptions",
    "SearchResult",
    "Step",
    "StepDecoder",
    "ThresholdPruning",
    "Timing",
    "WidthPolicy",
    "beam_search",
    "best_first_search",
    "register_width_policy",
    "width_policy",
]
