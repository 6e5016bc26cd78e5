"""The networks of candidates as the search left them: their full fine-tuning goes on from there."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from compressor.export import load_keras, save_keras
from compressor.search import Candidate, Trial
from profiler.errors import EdgetimeError
from profiler.tradeoff import pareto_front

FOLDER = "trained"
"""In that of the search."""

MOST = 64


def keep_trained(folder: Path, trial: Trial, network: Any, trials: Sequence[Trial] = ()) -> None:
    """Keep the network of a trial after its short fine-tuning, unless that diverged.

    Of more than `MOST` networks of `trials` the one goes that has the lowest score among those that are not on the front.
    """
    if not math.isfinite(trial.score):
        return
    path = _path(folder, trial.candidate)
    save_keras(network, path)
    kept = [one for one in trials if _path(folder, one.candidate).exists()]
    if len(kept) > MOST:
        marks = pareto_front([one.predicted_ms for one in kept], [one.score for one in kept])
        beaten = [one for one, mark in zip(kept, marks, strict=True) if not mark]
        _path(folder, min(beaten or kept, key=lambda one: one.score).candidate).unlink(missing_ok=True)


def is_trained(folder: Path, candidate: Candidate) -> bool:
    """Whether the network of a candidate after its short fine-tuning is there."""
    return _path(folder, candidate).exists()


def trained_network(folder: Path, candidate: Candidate) -> Any:
    """The network of a candidate after its short fine-tuning; None where it is not there or cannot be read."""
    path = _path(folder, candidate)
    if path.exists():
        with contextlib.suppress(EdgetimeError):
            return load_keras(path)
    return None


def _path(folder: Path, candidate: Candidate) -> Path:
    return folder / FOLDER / f"{candidate.key}.keras"
