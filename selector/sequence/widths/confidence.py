"""Jahier Pagliari, Daghero and Poncino (Electronics 9(2):337, 2020): the width follows how sure the decoder is.

The width is ``clip(floor(alpha * s + beta + 0.5), least, most)`` of a statistic s. What the paper's summary leaves open is an
option: whether s is of the best hypothesis or averaged over all, and whether it sets the width after this step or after the next.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from profiler.errors import UsageError
from selector.sequence.step import SearchStep
from selector.sequence.widths.base import Chooser, WidthPolicy, check_finite, check_widths

OF = ("best", "mean")
APPLIED = ("this", "next")


@dataclass(frozen=True)
class _Confidence(WidthPolicy):
    alpha: float
    beta: float
    least: int = 1
    widest: int = 5
    of: str = "best"
    applied: str = "this"

    def __post_init__(self) -> None:
        check_widths(self.least, self.widest)
        check_finite(self.kind, alpha=self.alpha, beta=self.beta)
        if self.of not in OF or self.applied not in APPLIED:
            raise UsageError(
                f"The width policy {self.kind} is of {' or '.join(OF)} and applied to {' or '.join(APPLIED)}, "
                f"not {self.of!r} and {self.applied!r}."
            )

    @property
    def most(self) -> int:
        """The widest width."""
        return self.widest

    def width(self, statistic: float) -> int:
        """The width of a statistic."""
        return min(max(math.floor(self.alpha * statistic + self.beta + 0.5), self.least), self.widest)

    def begin(self) -> Chooser:
        """Widths by the statistic; before it is known, the widest."""
        if self.applied == "this":
            return lambda step: self.width(self._statistic(step))
        before = [self.widest]

        def choose(step: SearchStep) -> int:
            before.append(self.width(self._statistic(step)))
            return before.pop(0)

        return choose

    @abstractmethod
    def _statistic(self, step: SearchStep) -> float:
        """How sure the decoder is."""


@dataclass(frozen=True)
class EntropyWidth(_Confidence):
    """By the Shannon entropy of the next token, in nats: `alpha` above 0, the less sure the wider."""

    alpha: float = 2.0
    beta: float = 1.0
    kind: ClassVar[str] = "entropy"

    def _statistic(self, step: SearchStep) -> float:
        return step.entropy() if self.of == "best" else float(step.entropies.mean())


@dataclass(frozen=True)
class DeviationWidth(_Confidence):
    """By the standard deviation of the `k` highest probabilities: `alpha` below 0, one that stands out makes it narrow."""

    alpha: float = -10.0
    beta: float = 5.0
    k: int = 5
    kind: ClassVar[str] = "deviation"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.k < 2:
            raise UsageError(f"A deviation is of 2 probabilities or more, not of {self.k}.")

    def _statistic(self, step: SearchStep) -> float:
        if self.of == "best":
            return step.deviation(self.k)
        return float(np.mean([step.deviation(self.k, row) for row in range(step.hypotheses)]))
