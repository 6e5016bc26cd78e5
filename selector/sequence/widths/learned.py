"""A width that was learned: the narrowest of which a small model says that the best output would still be found."""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from profiler.errors import UsageError
from selector.sequence.step import SearchStep
from selector.sequence.widths.base import Chooser, WidthPolicy, check_widths

FEATURES = (
    "1",
    "gap to the second candidate",
    "gap to the third candidate",
    "gap to the fifth candidate",
    "log-probability of the best candidate's token",
    "whether the best candidate continues the best hypothesis",
    "spread of the hypotheses run",
    "logarithm of how many were run",
    "logarithm of the step",
    "share of places whose hypotheses ended",
)
"""What the model looks at: only what the search has at hand."""

_FAR = 10.0


@dataclass(frozen=True)
class LearnedWidth(WidthPolicy):
    """For each of some widths, the logistic of a weighted sum of `FEATURES` is the probability that it is enough.

    Parameters
    ----------
    widths
        Rising; the last one is taken where none is enough.
    weights
        For each width but the last, a weight for each feature.
    sure
        A width is enough where its probability is at least this.
    """

    widths: tuple[int, ...] = (1, 5)
    weights: tuple[tuple[float, ...], ...] = ((0.0,) * len(FEATURES),)
    sure: float = 0.95
    kind: ClassVar[str] = "learned"

    def __post_init__(self) -> None:
        if list(self.widths) != sorted(set(self.widths)):
            raise UsageError(f"The widths of a learned policy rise, unlike {self.widths}.")
        check_widths(self.widths[0], self.widths[-1])
        lengths = [len(row) for row in self.weights]
        if lengths != [len(FEATURES)] * (len(self.widths) - 1):
            raise UsageError(
                f"A learned policy of {len(self.widths)} widths has {len(self.widths) - 1} rows of {len(FEATURES)} weights, "
                f"not {len(lengths)} of {lengths}."
            )
        if not (all(np.isfinite(row).all() for row in self.weights) and 0 < self.sure < 1):
            raise UsageError(
                "A learned policy has weights that are numbers, and is sure by more than 0 and less than 1."
            )

    @property
    def most(self) -> int:
        """The last width."""
        return self.widths[-1]

    def begin(self) -> Chooser:
        """The narrowest width that is probably enough."""
        least = math.log(self.sure / (1 - self.sure))
        rows = tuple(zip(self.widths, self.weights))  # noqa: B905 (Python 3.9; the last width has no weights)
        last = self.widths[-1]

        def choose(step: SearchStep) -> int:
            # So few numbers that numpy's calls would take longer than the sums.
            x = features(step, last)
            for width, weights in rows:
                if sum(map(operator.mul, weights, x)) >= least:
                    return width
            return last

        return choose


def features(step: SearchStep, most: int) -> list[float]:
    """`FEATURES` of a step, in their order."""
    scores, rows, _ = step.ranked
    count = len(scores)
    gaps = [min(scores[0] - scores[place], _FAR) if place < count else _FAR for place in (1, 2, 4)]
    best = scores[0] - step.before[rows[0]]
    spread = step.before[0] - step.before[-1]
    return [
        1.0,
        *gaps,
        max(best, -_FAR),
        float(rows[0] == 0),
        min(spread, _FAR),
        math.log(step.hypotheses),
        math.log1p(step.number),
        step.ended / most,
    ]
