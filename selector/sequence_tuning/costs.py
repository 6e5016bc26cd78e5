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
    SequenceNetwork,
    SequencePolicy,
    beam_search,
)

if TYPE_CHECKING:
    from timemodel.model import TimeModel

_ROUNDS = 15
_RUNS = 20


@dataclass(frozen=True)
class SequenceCosts:
    """Times in ms and, where they are known, energies in mJ.

    `search_ms` is what the search itself adds to a step, by the hypotheses run; empty where only the network counts.
    """

    encoder_ms: float
    step_ms: Mapping[int, float]
    encoder_mj: float | None = None
    step_mj: Mapping[int, float] = field(default_factory=dict)
    search_ms: Mapping[int, float] = field(default_factory=dict)
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
        )

    def sentence_ms(self, widths: Sequence[int], run_widths: Sequence[int]) -> float:
        """Of a sentence whose steps ran so many hypotheses at some widths of the palette; nothing where none ran."""
        if not widths:
            return 0.0
        around = sum(self._search(width) for width in widths) if self.search_ms else 0.0
        return self.encoder_ms + sum(self.step_ms[width] for width in run_widths) + around

    def _search(self, width: int) -> float:
        known = sorted(self.search_ms)
        return float(np.interp(width, known, [self.search_ms[one] for one in known]))


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
                f"The time model knows no time for {', '.join(found[signature].uncovered)} in {signature} of {file}: leave "
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
    """Times here: all widths in turns, so that a machine whose speed drifts slows all alike; and what the search adds.

    Time is this thread's own: what other processes take of the core is not in it.
    """
    network = policy.network
    fitting = [source for source in sources if 0 < len(source) <= network.source_longest][:_RUNS]
    if not fitting:
        raise EdgetimeError(
            "No line is short enough for the encoder: give development data that it was made for."
        )
    encoder: list[float] = []
    steps: dict[int, list[float]] = {width: [] for width in network.palette}
    for turn in range(_ROUNDS):
        begin = time.thread_time()
        network.start(fitting[turn % len(fitting)])
        encoder.append(time.thread_time() - begin)
        for width in network.palette:
            steps[width].append(_step_s(network, width, fitting[turn % len(fitting)]))
    search = {width: _search_s(policy, width, fitting) for width in network.palette}
    return SequenceCosts(
        1e3 * float(np.median(encoder)),
        {width: 1e3 * float(np.median(times)) for width, times in steps.items()},
        search_ms={width: 1e3 * value for width, value in search.items()},
        device=device,
    )


def _step_s(network: SequenceNetwork, width: int, source: Sequence[int]) -> float:
    """Median seconds of a step, its first of a sentence left out."""
    network.start(source)
    network.step(np.array([network.begin], np.int32), np.zeros(1, np.intp))
    tokens, parents = np.full(width, network.begin, np.int32), np.zeros(width, np.intp)
    times = []
    for _ in range(min(8, network.longest - 1)):
        begin = time.thread_time()
        network.step(tokens, parents)
        times.append(time.thread_time() - begin)
        parents = np.arange(width)
    return float(np.median(times[1:] or times))


def _search_s(policy: LoadedSequencePolicy, width: int, sources: Sequence[Sequence[int]]) -> float:
    """Median seconds that the search itself adds to a step of a fixed width."""
    found = []
    for source in sources:
        timing = SearchTimes(clock=time.thread_time)
        ran = beam_search(policy.network, source, FixedWidth(width), policy.policy.search, timing)
        found.append((timing.whole_s - timing.encoder_s - timing.decoder_s) / max(1, len(ran.widths)))
    return float(np.median(found))
