"""Two networks: the small one answers first, and where it is not sure enough, by its own score per token, the large one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from profiler.errors import UsageError
from selector.sequence import LoadedSequencePolicy, SequencePolicy
from selector.sequence_tuning.costs import SequenceCosts
from selector.sequence_tuning.quality import Quality, paired_difference, quality_of

_THRESHOLDS = 40


@dataclass(frozen=True)
class TunedCascade:
    """A small policy that hands on what it is not sure of.

    Parameters
    ----------
    policy, then
        The small one, with its threshold, and the large one.
    handed_on
        Share of lines that the large one answers.
    quality, small_quality, large_quality
        Of the cascade, and of each alone.
    mean_ms, small_ms, large_ms
        Of a line, likewise.
    gap
        Of quality against the better of the two alone: ``(difference, low, high)``.
    """

    policy: SequencePolicy
    then: SequencePolicy
    handed_on: float
    quality: float
    small_quality: float
    large_quality: float
    mean_ms: float
    small_ms: float
    large_ms: float
    gap: tuple[float, float, float]


def tune_cascade(
    small: LoadedSequencePolicy,
    large: LoadedSequencePolicy,
    sources: Sequence[str],
    references: Sequence[str],
    small_costs: SequenceCosts,
    large_costs: SequenceCosts,
    metric: str = "bleu",
    max_drop: float = 0.0,
) -> TunedCascade:
    """Find below which score per token the small network's lines are handed on.

    The cheapest threshold that is no worse than the better of the two alone by more than `max_drop`. Both run all lines once.
    """
    if not sources:
        raise UsageError("There are no lines to tune on.")
    (ours, sure, our_ms), (theirs, _, their_ms) = (
        _answers(one, sources, costs) for one, costs in ((small, small_costs), (large, large_costs))
    )
    counted = [quality_of(metric, outputs, references) for outputs in (ours, theirs)]
    best = max(counted, key=lambda one: one.value)
    steps = np.quantile(sure, np.linspace(0, 1, _THRESHOLDS + 1)[1:])
    found = []
    for least in (-np.inf, *np.unique(steps), np.inf):
        handed = sure < least
        mixed = Quality(metric, np.where(handed[:, None], counted[1].counts, counted[0].counts))
        if mixed.value >= best.value - max_drop - 1e-9 or np.isinf(least):
            found.append(
                (float((our_ms + handed * their_ms).mean()), float(least), mixed, float(handed.mean()))
            )
    good = [one for one in found if one[2].value >= best.value - max_drop - 1e-9] or found[-1:]
    mean_ms, least, mixed, share = min(good, key=lambda one: one[0])
    policy = replace(small_costs.added_to(small.policy), least=float(np.clip(least, -1e9, 0.0)))
    return TunedCascade(
        policy,
        large_costs.added_to(large.policy),
        share,
        mixed.value,
        counted[0].value,
        counted[1].value,
        mean_ms,
        float(our_ms.mean()),
        float(their_ms.mean()),
        paired_difference(mixed, best),
    )


def _answers(
    policy: LoadedSequencePolicy, sources: Sequence[str], costs: SequenceCosts
) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Output, score per token and time of each line; one that the encoder cannot take is handed on."""
    outputs, sure, ms = [], [], []
    for line in sources:
        tokens = policy.tokens(line)
        found = policy.search(tokens if len(tokens) <= policy.network.source_longest else ())
        outputs.append(policy.text_of(found.best))
        sure.append(found.best.per_token if found.widths else -1e9)
        ms.append(costs.sentence_ms(found.widths, found.run_widths))
    return outputs, np.array(sure), np.array(ms)
