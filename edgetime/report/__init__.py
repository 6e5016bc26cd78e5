"""Self-contained HTML pages of tables and plots."""

from __future__ import annotations

from edgetime.report.compression_charts import front, given_back, has_front, interval
from edgetime.report.explanation import explanation_page, write_explanation
from edgetime.report.page import Page
from edgetime.report.results import collect, write_report

__all__ = [
    "Page",
    "collect",
    "explanation_page",
    "front",
    "given_back",
    "has_front",
    "interval",
    "write_explanation",
    "write_report",
]
