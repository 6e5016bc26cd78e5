"""Self-contained HTML pages of tables and plots."""

from __future__ import annotations

from edgetime.report.comparison import write_comparison
from edgetime.report.explanation import write_explanation
from edgetime.report.footprint import write_footprint
from edgetime.report.results import write_report
from edgetime.report.selection import write_selection
from edgetime.report.thumbnails import pictures_of

__all__ = [
    "pictures_of",
    "write_comparison",
    "write_explanation",
    "write_footprint",
    "write_report",
    "write_selection",
]
