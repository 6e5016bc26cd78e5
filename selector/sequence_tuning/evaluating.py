"""A policy on all lines: outputs, widths, and what they cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from selector.sequence import (
    LoadedSequencePolicy,
    RememberingDecoder,
    StepDecoder,
    WidthPolicy,
    beam_search,
)
from selector.sequence_tuning.costs import SequenceCosts
from selector.sequence_tuning.quality import Quality, quality_of


@dataclass(frozen=True)
class Evaluated:
    """What a width policy did on some lines, by one network or by several that were trained from other seeds.

    Parameters
    ----------
    widths
        The policy.
    quality
        Of its outputs; of several networks a line counts with all its outputs, so that they are drawn together.
    outputs
        One for each line, network after network.
    ms
        Cost of each line, by the costs that are known of encoder and step; of several networks the mean.
    decoder_ms
        What of that is the decoder's.
    mean_width
        Hypotheses per step, over all steps.
    steps
        Of all lines together.
    hypotheses
        Run in all steps together.
    """

    widths: WidthPolicy
    quality: Quality
    outputs: tuple[str, ...]
    ms: NDArray[np.float64]
    decoder_ms: NDArray[np.float64]
    mean_width: float
    steps: int
    hypotheses: int

    @property
    def mean_ms(self) -> float:
        """Of a line."""
        return float(self.ms.mean())

    @property
    def lines(self) -> int:
        """How many there were."""
        return len(self.ms)


class Judge:
    """Runs width policies on lines, by networks that are the same but for the seed of their training; remembers what decoders said.

    Parameters
    ----------
    networks
        Each with what it costs.
    sources, references
        Lines, and what they should become.
    metric
        One of `METRICS`.
    """

    def __init__(
        self,
        networks: Sequence[tuple[LoadedSequencePolicy, SequenceCosts]],
        sources: Sequence[str],
        references: Sequence[str],
        metric: str,
    ) -> None:
        self.networks = networks
        self.references, self.metric = references, metric
        self.tokens = [[policy.tokens(line) for line in sources] for policy, _ in networks]
        self.decoders: list[StepDecoder] = [
            policy.network
            if policy.policy.search.prefix
            else RememberingDecoder(policy.network, policy.policy.search)
            for policy, _ in networks
        ]

    def __call__(self, widths: WidthPolicy, every: int = 1) -> Evaluated:
        """Judge a policy on every so many lines, the first of them."""
        references = self.references[::every]
        return pooled(
            [
                evaluate(policy, widths, tokens[::every], references, costs, self.metric, decoder)
                for (policy, costs), tokens, decoder in zip(
                    self.networks, self.tokens, self.decoders, strict=True
                )
            ]
        )


def evaluate(
    policy: LoadedSequencePolicy,
    widths: WidthPolicy,
    sources: Sequence[Sequence[int]],
    references: Sequence[str],
    costs: SequenceCosts,
    metric: str = "bleu",
    decoder: StepDecoder | None = None,
) -> Evaluated:
    """Run a width policy on sources, as tokens; those that the encoder cannot take get an empty output, as in all policies alike.

    `decoder`, where given, runs in place of the policy's network: one that remembers.
    """
    outputs: list[str] = []
    ms: list[float] = []
    decoder_ms: list[float] = []
    ran: list[int] = []
    for source in sources:
        fits = len(source) <= policy.network.source_longest
        found = beam_search(decoder or policy.network, source if fits else (), widths, policy.policy.search)
        outputs.append(policy.text_of(found.best))
        ms.append(costs.sentence_ms(found.widths, found.run_widths))
        decoder_ms.append(costs.decoder_ms(found.run_widths))
        ran.extend(found.widths)
    return Evaluated(
        widths,
        quality_of(metric, outputs, references),
        tuple(outputs),
        np.array(ms),
        np.array(decoder_ms),
        float(np.mean(ran)) if ran else 0.0,
        len(ran),
        int(np.sum(ran)),
    )


def pooled(parts: Sequence[Evaluated]) -> Evaluated:
    """What a width policy did by several networks on the same lines, as one."""
    if len(parts) == 1:
        return parts[0]
    steps = sum(one.steps for one in parts)
    hypotheses = sum(one.hypotheses for one in parts)
    return Evaluated(
        parts[0].widths,
        Quality(parts[0].quality.metric, np.sum([one.quality.counts for one in parts], axis=0)),
        tuple(output for one in parts for output in one.outputs),
        np.mean([one.ms for one in parts], axis=0),
        np.mean([one.decoder_ms for one in parts], axis=0),
        hypotheses / max(steps, 1),
        steps,
        hypotheses,
    )
