"""Which widths of a `.tflite` network change together, and the network at other widths.

May import `profiler.operators`, whose entries say what operators do to widths, and `profiler.axes`.
"""

from __future__ import annotations

from profiler.widths.groups import WidthGroup, Widths, width_groups, with_widths

__all__ = ["WidthGroup", "Widths", "width_groups", "with_widths"]
