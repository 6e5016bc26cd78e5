"""What a policy of stages would have answered on rows whose answers are known: no network runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from selector.policies.combining import combine
from selector.runtime import Specification, confidence, log_softmax


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
    times = [specification.networks[stage.network].predicted_ms for stage in stages]
    so_far = np.cumsum(times)
    rows = len(log_probabilities[0])
    named = np.zeros(rows, np.int64)
    stopped = np.full(rows, -1)
    seen: list[NDArray[np.float32]] = []
    for place, stage in enumerate(stages):
        seen.append(log_probabilities[stage.network])
        combined = log_softmax(combine(stage.weights, seen))
        own = combined.argmax(axis=1)
        meaning = own
        if stage.answers is not None:
            table = np.array([-1 if one is None else one for one in stage.answers])
            meaning = table[own]
        if stage.threshold is None:
            stops = np.ones(rows, bool)
        else:
            stops = (
                confidence(combined, stage.confidence)
                >= np.broadcast_to(stage.threshold, combined.shape[1:])[own]
            )
            stops &= meaning >= 0
            if stage.agree and place:
                stops &= seen[-1].argmax(axis=1) == seen[-2].argmax(axis=1)
        stops &= stopped < 0
        named[stops], stopped[stops] = meaning[stops], place
    return Replay(named, stopped, so_far[stopped], float(so_far[-1]))
