"""What a compression begins with: its goal, its folder, and everything made from the user's files.

May import all rooms of the compressor but `compressor.testing`.
"""

from __future__ import annotations

from compressor.pipeline.prepare.aside import LEVEL, Aside, least_aside, told_apart
from compressor.pipeline.prepare.effort import SEARCHING, TRAINING, effort_of
from compressor.pipeline.prepare.judging import Evaluator, search_problem
from compressor.pipeline.prepare.limits import (
    Limits,
    budget_notes,
    check_goal,
    enough_minutes,
    in_minutes,
    in_words,
    missed,
    shown_ms,
)
from compressor.pipeline.prepare.preparation import Prepared, prepare
from compressor.pipeline.prepare.time_limit import TimeLimit
from compressor.pipeline.prepare.workspace import (
    Workspace,
    data_digest,
    file_digest,
    is_trained,
    json_digest,
    keep_trained,
    read_json,
    trained_network,
)

__all__ = [
    "LEVEL",
    "SEARCHING",
    "TRAINING",
    "Aside",
    "Evaluator",
    "Limits",
    "Prepared",
    "TimeLimit",
    "Workspace",
    "budget_notes",
    "check_goal",
    "data_digest",
    "effort_of",
    "enough_minutes",
    "file_digest",
    "in_minutes",
    "in_words",
    "is_trained",
    "json_digest",
    "keep_trained",
    "least_aside",
    "missed",
    "prepare",
    "read_json",
    "search_problem",
    "shown_ms",
    "told_apart",
    "trained_network",
]
