"""Two files of one network: which layers do the same work, and why one file takes longer.

May import `timemodel.model` and what stands below it.
"""

from timemodel.compare.alignment import Alignment, Group, align
from timemodel.compare.comparison import AlignedLayers, Comparison, Difference, compare
from timemodel.compare.reasons import Reason

__all__ = ["AlignedLayers", "Alignment", "Comparison", "Difference", "Group", "Reason", "align", "compare"]
