"""Measured time of several width policies on the same sentences in turns, and what costs of the same turns predict of it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from selector.sequence import LoadedSequencePolicy, SearchTimes, WidthPolicy
from selector.sequence_tuning import CostMeter, best_palette, measured_costs

_METERED = 12


@dataclass(frozen=True)
class MeasuredPolicy:
    """Means of a sentence, ms: whole, decoder, encoder, policy, and whole as predicted; and the widths that ran."""

    whole_ms: float
    decoder_ms: float
    encoder_ms: float
    policy_ms: float
    predicted_ms: float
    palette: str


def measure(
    policy: LoadedSequencePolicy,
    widths: Mapping[str, WidthPolicy],
    sources: Sequence[Sequence[int]],
    others: Sequence[Sequence[int]],
    rounds: int = 5,
) -> dict[str, MeasuredPolicy]:
    """Each sentence is translated by every policy before the next one is; of the rounds the median counts, sentence by sentence.

    Each policy runs on those widths of the palette that are best for it. In the same turns searches of every fixed width on
    `others` say what encoder, steps and search cost on its palette: times are predicted from these. Time is the thread's own:
    what other processes take of the core is in none.
    """
    names = list(widths)
    others = [one for one in others if 0 < len(one) <= policy.network.source_longest]
    known = measured_costs(policy, others)
    palettes = {
        name: best_palette(known, [policy.search(one, widths=one_of).widths for one in others], one_of.most)
        for name, one_of in widths.items()
    }
    loaded = {palette: policy.with_palette(palette) for palette in set(palettes.values())}
    meters = {palette: CostMeter(one, others[:_METERED]) for palette, one in loaded.items()}
    times = np.zeros((rounds, len(names), len(sources), 4))
    found = {}
    for turn in range(rounds):
        for place, source in enumerate(sources):
            for meter in meters.values():
                if place < len(meter.sources):
                    meter.run(place)
            # Nobody always runs behind the same neighbour.
            for which in np.random.default_rng([turn, place]).permutation(len(names)).tolist():
                name = names[which]
                timing = SearchTimes(clock=time.thread_time)
                found[name, place] = loaded[palettes[name]].search(source, timing, widths[name])
                parts = timing.whole_s, timing.decoder_s, timing.encoder_s, timing.policy_s
                times[turn, which, place] = parts
    costs = {palette: meter.costs() for palette, meter in meters.items()}
    predicted = [
        float(
            np.mean(
                [
                    costs[palettes[name]].sentence_ms(
                        found[name, place].widths, found[name, place].run_widths
                    )
                    for place in range(len(sources))
                ]
            )
        )
        for name in names
    ]
    median = 1e3 * np.median(times, axis=0).mean(axis=1)
    return {
        name: MeasuredPolicy(*parts, ms, " ".join(map(str, palettes[name])))
        for name, parts, ms in zip(names, median.tolist(), predicted, strict=True)
    }
