"""What a sentence costs: its encoder, and each step by the width at which the decoder runs."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from profiler.errors import EdgetimeError
from profiler.tflite import only_signature, read_network
from selector.sequence import (
    FixedWidth,
    LoadedSequencePolicy,
    SearchResult,
    SearchStep,
    SearchTimes,
    SequencePolicy,
    WidthPolicy,
    changes_ms_of,
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
    palette costs more than others, as it is given the source, `switch_ms` one that follows a step of another width; empty where
    only the network counts.
    """

    encoder_ms: float
    step_ms: Mapping[int, float]
    encoder_mj: float | None = None
    step_mj: Mapping[int, float] = field(default_factory=dict)
    search_ms: Mapping[int, float] = field(default_factory=dict)
    first_ms: Mapping[int, float] = field(default_factory=dict)
    switch_ms: Mapping[int, float] = field(default_factory=dict)
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
            switch_ms=dict(self.switch_ms),
        )

    def with_search(self, measured: SequenceCosts) -> SequenceCosts:
        """The same network with what was measured around its steps."""
        return replace(
            self,
            search_ms=measured.search_ms,
            first_ms=measured.first_ms,
            switch_ms=measured.switch_ms,
        )

    def decoder_ms(self, run_widths: Sequence[int]) -> float:
        """Of the steps of a sentence, which ran at some widths of the palette."""
        steps = sum(self.step_ms[width] for width in run_widths)
        return steps + changes_ms_of(self.first_ms, self.switch_ms, run_widths)

    def sentence_ms(self, widths: Sequence[int], run_widths: Sequence[int]) -> float:
        """Of a sentence whose steps ran so many hypotheses at some widths of the palette; nothing where none ran."""
        if not widths:
            return 0.0
        return self.encoder_ms + self.decoder_ms(run_widths) + search_ms_of(self.search_ms, widths)


def best_palette(costs: SequenceCosts, ran: Sequence[Sequence[int]], most: int) -> tuple[int, ...]:
    """Which widths of a palette are best used by a policy that ran so many hypotheses in the steps of some sentences.

    A width costs most the first time in a sentence: a wider one that runs anyway may be cheaper. `most` is the widest that the
    policy may run in other sentences (`WidthPolicy.most`): the palette holds it.
    """
    most = max((most, *(max(widths) for widths in ran if len(widths))))
    known = sorted(costs.step_ms)
    (top, *_) = [width for width in known if width >= most] or known[-1:]
    narrower = [width for width in known if width < top]
    palettes = [
        (*some, top) for count in range(len(narrower) + 1) for some in itertools.combinations(narrower, count)
    ]

    def of(palette: tuple[int, ...]) -> float:
        wider = {width: min(one for one in palette if one >= width) for width in range(1, most + 1)}
        return sum(costs.decoder_ms([wider[width] for width in widths]) for widths in ran)

    return min(palettes, key=of)


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


class CostMeter:
    """Measures what encoder, steps and search cost here, in searches of every fixed width, and of changing ones, in turns.

    A step is slower in a search than alone, as the search's work takes its place in the processor's caches, and slower still after
    one of another width. Time is this thread's own: what other processes take of the core is not in it. Of rounds the median
    counts, step by step, and of steps the mean.

    Parameters
    ----------
    policy
        What is measured.
    sources
        As tokens; those that the encoder cannot take are left out, and of the rest the first are enough.

    Raises
    ------
    EdgetimeError
        It can take none.
    """

    def __init__(self, policy: LoadedSequencePolicy, sources: Sequence[Sequence[int]]) -> None:
        network = policy.network
        self.sources = [one for one in sources if 0 < len(one) <= network.source_longest][:_SOURCES]
        if not self.sources:
            raise EdgetimeError(
                "No line is short enough for the encoder: give development data that it was made for."
            )
        self._policy = policy
        self._rounds: dict[tuple[int, int], list[SearchTimes]] = {}
        self._found: dict[tuple[int, int], SearchResult] = {}

    def run(self, place: int) -> None:
        """One round: search a source's outputs once at every width of the palette, and at changing ones."""
        palette = self._policy.network.palette
        ways: dict[int, WidthPolicy] = {width: FixedWidth(width) for width in palette}
        if len(palette) > 1:
            ways[0] = _Changing(palette, place)
        for way, widths in ways.items():
            timing = SearchTimes(clock=time.thread_time)
            key = place, way
            self._found[key] = self._policy.search(self.sources[place], timing, widths)
            self._rounds.setdefault(key, []).append(timing)

    def costs(self, device: str = "") -> SequenceCosts:
        """What the rounds so far say."""
        palette = self._policy.network.palette
        encoder: list[float] = []
        steps, first, switched, search = ({width: list[float]() for width in palette} for _ in range(4))
        for (place, width), rounds in self._rounds.items():
            ran = self._found[place, width]
            times = np.median([one.steps_s for one in rounds], axis=0)
            if width == 0:
                for number, after in enumerate(ran.run_widths):
                    if after in ran.run_widths[:number] and after != ran.run_widths[number - 1]:
                        switched[after].append(float(times[number]))
                continue
            # Others only begin or end at this width: with what a source's first step costs, and no more.
            ours = times[np.array(ran.run_widths) == width].tolist()
            first[width] += ours[:1]
            steps[width] += ours[1:] or ours
            around = [one.whole_s - one.encoder_s - one.decoder_s for one in rounds]
            search[width].append(float(np.median(around)) / len(ran.widths))
            encoder.append(float(np.median([one.encoder_s for one in rounds])))
        # A width that no search runs, as the vocabulary is too small for it, costs no less than those below it.
        slowest = max(float(np.mean(times)) for times in steps.values() if times)

        def more(found: Mapping[int, list[float]]) -> dict[int, float]:
            return {
                width: 1e3 * max(0.0, float(np.mean(times)) - float(np.mean(steps[width])))
                for width, times in found.items()
                if times and steps[width]
            }

        return SequenceCosts(
            1e3 * float(np.mean(encoder)),
            {width: 1e3 * (float(np.mean(times)) if times else slowest) for width, times in steps.items()},
            search_ms={width: 1e3 * float(np.mean(times)) for width, times in search.items() if times},
            first_ms=more(first),
            switch_ms=more(switched),
            device=device,
        )


@dataclass(frozen=True)
class _Changing(WidthPolicy):
    """Widths of a palette at random, never the same twice in a row."""

    widths: tuple[int, ...]
    seed: int
    kind: ClassVar[str] = "changing"

    @property
    def most(self) -> int:
        """The widest of the palette."""
        return self.widths[-1]

    def begin(self) -> Callable[[SearchStep], int]:
        """The next one by chance."""
        generator = np.random.default_rng(self.seed)
        place = [0]

        def choose(step: SearchStep) -> int:
            place[0] += int(generator.integers(1, len(self.widths)))
            return self.widths[place[0] % len(self.widths)]

        return choose


def measured_costs(
    policy: LoadedSequencePolicy, sources: Sequence[Sequence[int]], device: str = ""
) -> SequenceCosts:
    """Times here, of searches of every fixed width on some sources in turns; and around them: see `CostMeter`."""
    meter = CostMeter(policy, sources)
    for place in range(len(meter.sources)):
        for _ in range(_ROUNDS):
            meter.run(place)
    return meter.costs(device)
