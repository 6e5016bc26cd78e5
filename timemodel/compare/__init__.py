"""Two files of one network: which layers do the same work, and why one file takes longer.

May import `timemodel.model` and what stands below it.
"""

from timemodel.compare.alignment import AlignedGroup, Alignment, align
from timemodel.compare.comparison import AlignedLayers, Difference, FileComparison, compare
from timemodel.compare.reasons import DifferenceReason

__all__ = [
    "AlignedGroup",
    "AlignedLayers",
    "Alignment",
    "Difference",
    "DifferenceReason",
    "FileComparison",
    "align",
    "compare",
]
