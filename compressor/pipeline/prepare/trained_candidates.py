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

FOLDER = "trained"
"""In that of the search."""

MOST = 64


def keep_trained(folder: Path, trial: Trial, network: Any, trials: Sequence[Trial] = ()) -> None:
    """Keep the network of a trial after its short fine-tuning, unless that diverged.

    Parameters
    ----------
    trials
        All trials so far, this one included. Of more than `MOST` networks those are removed that are least likely to be wanted: of
        the lowest score, where another trial is as fast and better.
    """
    if not math.isfinite(trial.score):
        return
    path = _path(folder, trial.candidate)
    save_keras(network, path)
    kept = [one for one in trials if _path(folder, one.candidate).exists()]
    if len(kept) > MOST:
        beaten = [one for one in kept if any(_is_better(other, one) for other in kept)]
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


def _is_better(one: Trial, other: Trial) -> bool:
    return one.predicted_ms <= other.predicted_ms and one.score > other.score


def _path(folder: Path, candidate: Candidate) -> Path:
    return folder / FOLDER / f"{candidate.key}.keras"
