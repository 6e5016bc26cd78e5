"""Search methods: `SearchMethod`, what it is given, and one file per method.

May import `compressor.costs` and below.
"""

from __future__ import annotations

from compressor.search.base import (
    OBJECTIVES,
    Candidate,
    Goal,
    SearchMethod,
    SearchOverError,
    SearchProblem,
    Trial,
)
from compressor.search.group_importance import GroupImportance, ranking, remaining
from compressor.search.knapsack import Filler, Knapsack, choose
from compressor.search.netadapt import NetAdapt
from compressor.search.registry import METHODS, get_method
from compressor.search.uniform import UniformWidth
from compressor.search.uniform_snapped import UniformSnapped

__all__ = [
    "METHODS",
    "OBJECTIVES",
    "Candidate",
    "Filler",
    "Goal",
    "GroupImportance",
    "Knapsack",
    "NetAdapt",
    "SearchMethod",
    "SearchOverError",
    "SearchProblem",
    "Trial",
    "UniformSnapped",
    "UniformWidth",
    "choose",
    "get_method",
    "ranking",
    "remaining",
]
