"""A time model in words: findings, their evidence, trees, and why a changed layer is faster.

May import `timemodel.staircases` and below.
"""

from timemodel.explain.change_reasons import Reason, reason
from timemodel.explain.dependence import Dependence, dependences
from timemodel.explain.explanation import energy_in_words, explain, explain_runtime, how_sure, summary
from timemodel.explain.finding import Finding
from timemodel.explain.findings import findings
from timemodel.explain.tree_in_words import Branch, drawing

__all__ = [
    "Branch",
    "Dependence",
    "Finding",
    "Reason",
    "dependences",
    "drawing",
    "energy_in_words",
    "explain",
    "explain_runtime",
    "findings",
    "how_sure",
    "reason",
    "summary",
]
