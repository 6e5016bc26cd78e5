"""Self-contained HTML pages of tables and plots."""

from __future__ import annotations

from edgetime.report.explanation import write_explanation
from edgetime.report.results import write_report

__all__ = ["write_explanation", "write_report"]
