"""Which candidates are trained in full, and which of them is handed over."""

from __future__ import annotations

from compressor.pipeline.final.front import (
    POINTS,
    check_points,
    derived,
    nearest,
    on_front,
    targets,
    train_points,
)
from compressor.pipeline.final.shortlist import contenders
from compressor.pipeline.final.training import Chosen, Finals

__all__ = [
    "POINTS",
    "Chosen",
    "Finals",
    "check_points",
    "contenders",
    "derived",
    "nearest",
    "on_front",
    "targets",
    "train_points",
]
