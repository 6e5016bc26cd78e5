"""Sequence to sequence on the device: beam search whose width follows the input; numpy and LiteRT, nothing else.

May import the run-time room and what reads plug-ins.
"""

from __future__ import annotations

from selector.sequence.best_first import best_first_search
from selector.sequence.decoder import StepDecoder
from selector.sequence.files import is_sequence_policy, load_sequence_policy, save_sequence_policy
from selector.sequence.loaded import LoadedSequencePolicy, Translated
from selector.sequence.network import SequenceNetwork
from selector.sequence.policy import SequencePolicy, changes_ms_of, search_ms_of
from selector.sequence.remembering import RememberingDecoder
from selector.sequence.scoring import SearchOptions
from selector.sequence.search import Hypothesis, SearchResult, SearchTimes, beam_search
from selector.sequence.step import SearchStep
from selector.sequence.tokens import Tokenizer
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
    "LoadedSequencePolicy",
    "RememberingDecoder",
    "SearchOptions",
    "SearchResult",
    "SearchStep",
    "SearchTimes",
    "SequenceNetwork",
    "SequencePolicy",
    "StepDecoder",
    "ThresholdPruning",
    "Tokenizer",
    "Translated",
    "WidthPolicy",
    "beam_search",
    "best_first_search",
    "changes_ms_of",
    "is_sequence_policy",
    "load_sequence_policy",
    "register_width_policy",
    "save_sequence_policy",
    "search_ms_of",
    "width_policy",
]
