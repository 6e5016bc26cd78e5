"""A time model in words: findings, staircases, evidence, and why a changed layer is faster.

May import `timemodel.model` and below.
"""

from __future__ import annotations

from timemodel.explain.change_reasons import Reason, reason, steps_of, traffic_ms, tread, widths_ms
from timemodel.explain.dependence import Dependence, Staircase, dependences, staircases
from timemodel.explain.evidence import split_text, why
from timemodel.explain.explanation import explain, explain_operator, explain_runtime, staircase
from timemodel.explain.findings import Statement, statements
from timemodel.explain.overview import how_sure, summary
from timemodel.explain.preferred_widths import finer_period, main_period
from timemodel.explain.tree_in_words import Branch, drawing, rows_of

__all__ = [
    "Branch",
    "Dependence",
    "Reason",
    "Staircase",
    "Statement",
    "dependences",
    "drawing",
    "explain",
    "explain_operator",
    "explain_runtime",
    "finer_period",
    "how_sure",
    "main_period",
    "reason",
    "rows_of",
    "split_text",
    "staircase",
    "staircases",
    "statements",
    "steps_of",
    "summary",
    "traffic_ms",
    "tread",
    "why",
    "widths_ms",
]
