"""The task, fine-tuning with the original as the teacher, importance of channels, the masked twin.

May import the rooms of graph and data.
"""

from __future__ import annotations

from compressor.training.finetuning import FineTuner, Outcome, Schedule, TrainingError, let_go, outputs_of
from compressor.training.importance import (
    Importance,
    magnitude_importance,
    measure_importance,
    normalised,
    strongest,
    taylor_importance,
    weights_of,
)
from compressor.training.options import Options
from compressor.training.task import Task, task_of

__all__ = [
    "FineTuner",
    "Importance",
    "Options",
    "Outcome",
    "Schedule",
    "Task",
    "TrainingError",
    "let_go",
    "magnitude_importance",
    "measure_importance",
    "normalised",
    "outputs_of",
    "strongest",
    "task_of",
    "taylor_importance",
    "weights_of",
]
