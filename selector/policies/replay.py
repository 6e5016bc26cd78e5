"""What a policy of stages would have answered on rows whose answers are known: no network runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from selector.runtime import Specification
from selector.runtime.cascade import Said, combine, decide


@dataclass(frozen=True)
class Replay:
    """A policy on rows: which class it names, where it stops, how long it takes.

    Parameters
    ----------
    named
        Class [rows].
    stopped
        Stage where each row stops, from 0 [rows].
    ms
        Predicted time of each row [rows].
    longest_ms
        Predicted time of the worst row that there can be.
    """

    named: NDArray[np.int64]
    stopped: NDArray[np.int64]
    ms: NDArray[np.float64]
    longest_ms: float


def replay(specification: Specification, log_probabilities: Sequence[NDArray[np.float32]]) -> Replay:
    """Run the stages of a specification on logarithms of probabilities [rows, classes] of each of its networks, in their order."""
    stages = specification.stages
    so_far = np.cumsum([specification.networks[stage.network].predicted_ms for stage in stages])
    so_far += specification.decide_ms * np.arange(1, len(stages) + 1)
    rows = len(log_probabilities[0])
    named = np.zeros(rows, np.int64)
    stopped = np.full(rows, -1)
    before: list[NDArray[np.float32]] = []
    for place, stage in enumerate(stages):
        before.append(log_probabilities[stage.network])
        combined = combine(stage, before, stages[: place + 1])
        own = combined.argmax(axis=1)
        means = own
        if stage.answers is not None:
            means = np.array([-1 if one is None else one for one in stage.answers])[own]
        stops = decide(stage, before, Said.of(combined))
        stopping = stopped < 0 if stops is None else (stopped < 0) & stops
        named[stopping], stopped[stopping] = means[stopping], place
    return Replay(named, stopped, so_far[stopped], float(so_far[-1]))
