"""Measured time of several width policies on the same sentences in turns, and what costs of the same turns predict of it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from selector.sequence import LoadedSequencePolicy, SearchTimes, WidthPolicy
from selector.sequence_tuning import CostMeter


@dataclass(frozen=True)
class MeasuredPolicy:
    """Means of a sentence, ms: whole, decoder, encoder, policy, and whole as predicted."""

    whole_ms: float
    decoder_ms: float
    encoder_ms: float
    policy_ms: float
    predicted_ms: float


def measure(
    policy: LoadedSequencePolicy,
    widths: Mapping[str, WidthPolicy],
    sources: Sequence[Sequence[int]],
    others: Sequence[Sequence[int]],
    rounds: int = 5,
) -> dict[str, MeasuredPolicy]:
    """Each sentence is translated by every policy before the next one is; of the rounds the median counts, sentence by sentence.

    In the same turns searches of every fixed width on `others` say what encoder, steps and search cost: times are predicted from
    these. Time is the thread's own: what other processes take of the core is in none.
    """
    names = list(widths)
    meter = CostMeter(policy, others)
    times = np.zeros((rounds, len(names), len(sources), 4))
    found = {}
    for turn in range(rounds):
        for place, source in enumerate(sources):
            if place < len(meter.sources):
                meter.run(place)
            # Nobody always runs behind the same neighbour.
            for which in np.random.default_rng([turn, place]).permutation(len(names)).tolist():
                timing = SearchTimes(clock=time.thread_time)
                found[which, place] = policy.search(source, timing, widths[names[which]])
                parts = timing.whole_s, timing.decoder_s, timing.encoder_s, timing.policy_s
                times[turn, which, place] = parts
    costs = meter.costs()
    predicted = [
        float(
            np.mean(
                [
                    costs.sentence_ms(found[index, place].widths, found[index, place].run_widths)
                    for place in range(len(sources))
                ]
            )
        )
        for index in range(len(names))
    ]
    median = 1e3 * np.median(times, axis=0).mean(axis=1)
    return {
        name: MeasuredPolicy(*parts, ms)
        for name, parts, ms in zip(names, median.tolist(), predicted, strict=True)
    }
