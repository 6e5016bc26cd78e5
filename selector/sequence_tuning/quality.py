"""How good outputs are: BLEU or exact match, from counts per sentence, so that they can be drawn anew."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from profiler.errors import EdgetimeError, UsageError

METRICS = ("bleu", "exact")
"""BLEU on sacrebleu's tokens (13a), 0 to 100; or the share of outputs that are as they should be, in percent."""

_ORDER = 4


@dataclass(frozen=True)
class Quality:
    """Counts of each sentence, which add up to those of all [sentences, counts].

    For BLEU: matched and given n-grams for n of 1 to 4, length, length of the reference. For exact match: whether it is, and 1.
    """

    metric: str
    counts: NDArray[np.float64]

    @property
    def value(self) -> float:
        """Of all sentences, 0 to 100."""
        return float(_values(self.metric, self.counts.sum(axis=0)[None])[0])

    def drawn(self, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        """The value of each of some draws of sentences, [draws, sentences] to [draws]."""
        weights = np.stack([np.bincount(draw, minlength=len(self.counts)) for draw in rows])
        return _values(self.metric, weights @ self.counts)


def quality_of(metric: str, outputs: Sequence[str], references: Sequence[str]) -> Quality:
    """Count outputs against what they should be."""
    if metric not in METRICS:
        raise UsageError(f"The metric is {' or '.join(METRICS)}, not {metric!r}.")
    if len(outputs) != len(references):
        raise UsageError(
            f"{len(outputs)} outputs and {len(references)} references: give one of each per line."
        )
    if metric == "exact":
        right = [output.strip() == wanted.strip() for output, wanted in zip(outputs, references, strict=True)]
        return Quality(metric, np.array([[float(one), 1.0] for one in right]))
    rows = [
        _bleu_counts(output.strip(), wanted.strip())
        for output, wanted in zip(outputs, references, strict=True)
    ]
    return Quality(metric, np.array(rows, float))


@functools.lru_cache(
    1 << 17
)  # policies agree on most outputs, and counting takes longer than a search that remembers
def _bleu_counts(output: str, wanted: str) -> tuple[float, ...]:
    """Matched and given n-grams, length and length of the reference; they do not depend on how scores are smoothed."""
    one = _scorer().sentence_score(output, [wanted])
    return (*one.counts, *one.totals, one.sys_len, one.ref_len)


@functools.cache
def _scorer() -> Any:
    try:
        from sacrebleu.metrics import BLEU
    except ModuleNotFoundError:
        raise EdgetimeError("BLEU needs sacrebleu: pip install sacrebleu, or take --metric exact.") from None
    return BLEU(effective_order=True)


def paired_difference(
    one: Quality, other: Quality, draws: int = 1000, seed: int = 0, confidence: float = 0.95
) -> tuple[float, float, float]:
    """How much better `one` is than `other` on the same sentences: ``(difference, low, high)`` by paired bootstrap."""
    count = len(one.counts)
    rows = np.random.default_rng(seed).integers(0, count, (draws, count))
    gaps = one.drawn(rows) - other.drawn(rows)
    low, high = np.quantile(gaps, [(1 - confidence) / 2, (1 + confidence) / 2])
    return one.value - other.value, float(low), float(high)


def _values(metric: str, sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values of sums of counts [sets, counts]: for BLEU smoothed as sacrebleu does ("exp")."""
    if metric == "exact":
        shares: NDArray[np.float64] = 100 * sums[:, 0] / sums[:, 1]
        return shares
    matched, given = sums[:, :_ORDER], sums[:, _ORDER : 2 * _ORDER]
    length, wanted = sums[:, -2], sums[:, -1]
    logs = np.zeros(len(sums))
    halved = np.ones(len(sums))
    for order in range(_ORDER):
        halved = np.where((matched[:, order] == 0) & (given[:, order] > 0), 2 * halved, halved)
        share = np.where(matched[:, order] > 0, matched[:, order], 1 / halved) / np.maximum(
            given[:, order], 1
        )
        logs += np.log(share) / _ORDER
    brevity = np.where(length < wanted, np.exp(1 - wanted / np.maximum(length, 1)), 1.0)
    values: NDArray[np.float64] = 100 * brevity * np.exp(logs) * (given.min(axis=1) > 0)
    return values
