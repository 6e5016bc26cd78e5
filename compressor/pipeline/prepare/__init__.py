"""What a compression begins with: its goal, its folder, and everything made from the user's files."""

from __future__ import annotations

from compressor.pipeline.prepare.evaluator import Evaluator
from compressor.pipeline.prepare.limits import (
    Limits,
    budget_notes,
    check_goal,
    in_words,
    least_configuration,
    missed,
    over_in_words,
    shown_ms,
)
from compressor.pipeline.prepare.preparation import Prepared, converter, prepare
from compressor.pipeline.prepare.tolerance import standard_error, tolerance
from compressor.pipeline.prepare.trained_candidates import is_trained, keep_trained, trained_network
from compressor.pipeline.prepare.workspace import Workspace, data_digest, file_digest, json_digest, read_json

__all__ = [
    "Evaluator",
    "Limits",
    "Prepared",
    "Workspace",
    "budget_notes",
    "check_goal",
    "converter",
    "data_digest",
    "file_digest",
    "in_words",
    "is_trained",
    "json_digest",
    "keep_trained",
    "least_configuration",
    "missed",
    "over_in_words",
    "prepare",
    "read_json",
    "shown_ms",
    "standard_error",
    "tolerance",
    "trained_network",
]
