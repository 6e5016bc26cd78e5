"""Measured time of several width policies on the same sentences, sentence by sentence in turns."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from selector.sequence import LoadedSequencePolicy, SearchTimes, WidthPolicy, beam_search


@dataclass(frozen=True)
class MeasuredPolicy:
    """Means of a sentence, ms: whole, decoder, encoder; and shares of the policy and of the search's other work in the whole."""

    whole_ms: float
    decoder_ms: float
    encoder_ms: float
    policy_share: float
    search_share: float


def measure(
    policy: LoadedSequencePolicy,
    widths: Mapping[str, WidthPolicy],
    sources: Sequence[Sequence[int]],
    rounds: int = 5,
) -> dict[str, MeasuredPolicy]:
    """Each sentence is translated by every policy before the next one is; of the rounds the median counts, sentence by sentence.

    Time is the thread's own: what other processes take of the core is in none.
    """
    names = list(widths)
    times = np.zeros((rounds, len(names), len(sources), 4))
    for turn in range(rounds):
        for place, source in enumerate(sources):
            for index in range(len(names)):
                # Nobody always runs behind the same neighbour.
                which = (
                    (index * (1 + turn) + place) % len(names)
                    if len(names) > rounds
                    else (index + place) % len(names)
                )
                timing = SearchTimes(clock=time.thread_time)
                beam_search(policy.network, source, widths[names[which]], policy.policy.search, timing)
                times[turn, which, place] = (
                    timing.whole_s,
                    timing.decoder_s,
                    timing.encoder_s,
                    timing.policy_s,
                )
    median = 1e3 * np.median(times, axis=0).mean(axis=1)
    return {
        name: MeasuredPolicy(
            whole, decoder, encoder, decision / whole, (whole - decoder - encoder - decision) / whole
        )
        for name, (whole, decoder, encoder, decision) in zip(names, median.tolist(), strict=True)
    }
