"""Which widths of a `.tflite` network change together, and networks and layers at other widths.

May import `profiler.operators`, whose entries say what operators do to widths, and `profiler.axes`.
"""

from __future__ import annotations

from profiler.widths.groups import WidthGroup, Widths, width_of, with_input_width, with_width

__all__ = [
    "WidthGroup",
    "Widths",
    "width_of",
    "with_input_width",
    "with_width",
]
