"""A policy on all lines: outputs, widths, and what they cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from selector.sequence import LoadedSequencePolicy, StepDecoder, WidthPolicy, beam_search
from selector.sequence_tuning.costs import SequenceCosts
from selector.sequence_tuning.quality import Quality, quality_of


@dataclass(frozen=True)
class Evaluated:
    """What a width policy did on some lines.

    Parameters
    ----------
    widths
        The policy.
    quality
        Of its outputs.
    outputs
        One for each line.
    ms
        Cost of each line, by the costs that are known of encoder and step.
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
        decoder_ms.append(sum(costs.step_ms[width] for width in found.run_widths))
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
