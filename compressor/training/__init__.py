"""The task, fine-tuning with the original as the teacher, importance of channels.

May import the rooms of graph and data.
"""

from __future__ import annotations

from compressor.training.dead_channels import dead_in_words, without_dead_channels
from compressor.training.finetuning import FineTuner, Outcome, TrainingError, behind
from compressor.training.importance import Importance, measure_importance, normalised, strongest
from compressor.training.model_io import (
    as_called,
    by_name,
    input_names,
    output_names,
    outputs_of,
    run,
    without_dropout,
)
from compressor.training.options import Options, Schedule, check_least
from compressor.training.reconstruction import RECONSTRUCTED_FROM, Reconstruction
from compressor.training.shape import let_go
from compressor.training.supernet import Supernet
from compressor.training.task import Answered, Task, task_of

__all__ = [
    "RECONSTRUCTED_FROM",
    "Answered",
    "FineTuner",
    "Importance",
    "Options",
    "Outcome",
    "Reconstruction",
    "Schedule",
    "Supernet",
    "Task",
    "TrainingError",
    "as_called",
    "behind",
    "by_name",
    "check_least",
    "dead_in_words",
    "input_names",
    "let_go",
    "measure_importance",
    "normalised",
    "output_names",
    "outputs_of",
    "run",
    "strongest",
    "task_of",
    "without_dead_channels",
    "without_dropout",
]
