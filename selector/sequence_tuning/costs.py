"""What a sentence costs: its encoder, and each step by the width at which the decoder runs."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from profiler.errors import EdgetimeError
from profiler.tflite import only_signature, read_network
from selector.sequence import (
    FixedWidth,
    LoadedSequencePolicy,
    SearchTimes,
    SequencePolicy,
    beam_search,
    first_ms_of,
    search_ms_of,
)

if TYPE_CHECKING:
    from timemodel.model import TimeModel

_ROUNDS = 3
_SOURCES = 20


@dataclass(frozen=True)
class SequenceCosts:
    """Times in ms and, where they are known, energies in mJ.

    `search_ms` is what the search itself adds to a step, by the hypotheses run, `first_ms` what the first step at a width of the
    palette costs more than others, as it is given the source; empty where only the network counts.
    """

    encoder_ms: float
    step_ms: Mapping[int, float]
    encoder_mj: float | None = None
    step_mj: Mapping[int, float] = field(default_factory=dict)
    search_ms: Mapping[int, float] = field(default_factory=dict)
    first_ms: Mapping[int, float] = field(default_factory=dict)
    device: str = ""

    def added_to(self, policy: SequencePolicy) -> SequencePolicy:
        """A policy that says what its network costs."""
        return replace(
            policy,
            device=self.device,
            encoder_ms=self.encoder_ms,
            step_ms=dict(self.step_ms),
            encoder_mj=self.encoder_mj,
            step_mj=dict(self.step_mj),
            search_ms=dict(self.search_ms),
            first_ms=dict(self.first_ms),
        )

    def sentence_ms(self, widths: Sequence[int], run_widths: Sequence[int]) -> float:
        """Of a sentence whose steps ran so many hypotheses at some widths of the palette; nothing where none ran."""
        if not widths:
            return 0.0
        around = search_ms_of(self.search_ms, widths) + first_ms_of(self.first_ms, run_widths)
        return self.encoder_ms + sum(self.step_ms[width] for width in run_widths) + around


def predicted_costs(model: TimeModel, file: Path, palette: Sequence[int]) -> SequenceCosts:
    """What a time model says of each signature of a file.

    Raises
    ------
    EdgetimeError
        It does not know the whole network.
    """
    found = {}
    for signature in ("encode", *(f"step_{width}" for width in palette)):
        network = read_network(only_signature(file, signature), name=f"{file.name}, {signature}")
        found[signature] = model.predict(network)
        if found[signature].at_least:
            raise EdgetimeError(
                f"The time model does not know all of the time of {signature} of {file}: {found[signature].not_known}. Leave "
                "--time-model out, and it is measured here."
            )
    energies = {name: one.energy_mj for name, one in found.items()}
    known = all(value is not None for value in energies.values())
    return SequenceCosts(
        float(found["encode"].predicted_ms),
        {width: float(found[f"step_{width}"].predicted_ms) for width in palette},
        float(energies["encode"] or 0.0) if known else None,
        {width: float(energies[f"step_{width}"] or 0.0) for width in palette} if known else {},
        device=found["encode"].device,
    )


def measured_costs(
    policy: LoadedSequencePolicy, sources: Sequence[Sequence[int]], device: str = ""
) -> SequenceCosts:
    """Times here, of searches of every fixed width on some sources in turns; and what the search adds to a step.

    A step is slower in a search than alone, as the search's work takes its place in the processor's caches. Time is this thread's
    own: what other processes take of the core is not in it. Of rounds the median counts, step by step, and of steps the mean.
    """
    network = policy.network
    fitting = [source for source in sources if 0 < len(source) <= network.source_longest][:_SOURCES]
    if not fitting:
        raise EdgetimeError(
            "No line is short enough for the encoder: give development data that it was made for."
        )
    encoder: list[float] = []
    steps: dict[int, list[float]] = {width: [] for width in network.palette}
    first: dict[int, list[float]] = {width: [] for width in network.palette}
    search: dict[int, list[float]] = {width: [] for width in network.palette}
    for source in fitting:
        rounds: dict[int, list[SearchTimes]] = {width: [] for width in network.palette}
        for _ in range(_ROUNDS):
            for width in network.palette:
                timing = SearchTimes(clock=time.thread_time)
                ran = beam_search(network, source, FixedWidth(width), policy.policy.search, timing)
                rounds[width].append(timing)
                if len(rounds[width]) < _ROUNDS:
                    continue
                times = np.median([one.steps_s for one in rounds[width]], axis=0)
                # Others only begin or end at this width: with what a source's first step costs, and no more.
                own = np.array(ran.run_widths) == width
                ours = times[own].tolist()
                first[width] += ours[:1]
                steps[width] += ours[1:] or ours
                around = [one.whole_s - one.encoder_s - one.decoder_s for one in rounds[width]]
                search[width].append(float(np.median(around)) / len(ran.widths))
                encoder.append(float(np.median([one.encoder_s for one in rounds[width]])))
    # A width that no search runs, as the vocabulary is too small for it, costs no less than those below it.
    slowest = max(float(np.mean(times)) for times in steps.values() if times)
    return SequenceCosts(
        1e3 * float(np.mean(encoder)),
        {width: 1e3 * (float(np.mean(times)) if times else slowest) for width, times in steps.items()},
        search_ms={width: 1e3 * float(np.mean(times)) for width, times in search.items()},
        first_ms={
            width: 1e3 * max(0.0, float(np.mean(times)) - float(np.mean(steps[width])))
            for width, times in first.items()
            if times
        },
        device=device,
    )
