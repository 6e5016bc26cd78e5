"""Which widths of a `.tflite` network change together, and the network at other widths.

May import `profiler.network`.
"""

from __future__ import annotations

from profiler.widths.axes import Axis, Segment, Size, Variables, scaled
from profiler.widths.groups import WidthGroup, Widths, analyse_widths, width_groups, with_widths
from profiler.widths.reshaping import reshape
from profiler.widths.step import Analysis, Step

__all__ = [
    "Analysis",
    "Axis",
    "Segment",
    "Size",
    "Step",
    "Variables",
    "WidthGroup",
    "Widths",
    "analyse_widths",
    "reshape",
    "scaled",
    "width_groups",
    "with_widths",
]
