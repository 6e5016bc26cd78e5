"""Search methods: `SearchMethod`, what it is given, and one file per method.

May import `compressor.costs` and below.
"""

from __future__ import annotations

from compressor.search.base import SearchMethod, SearchOverError, SearchProblem
from compressor.search.effort import PHASES, Effort, rows_of_helpers
from compressor.search.registry import METHODS, get_method, register_method
from compressor.search.structure import without_all
from compressor.search.trial import MINIMIZE, Candidate, Goal, Trial

__all__ = [
    "METHODS",
    "MINIMIZE",
    "PHASES",
    "Candidate",
    "Effort",
    "Goal",
    "SearchMethod",
    "SearchOverError",
    "SearchProblem",
    "Trial",
    "get_method",
    "register_method",
    "rows_of_helpers",
    "without_all",
]
