"""Freitag and Al-Onaizan (2017): candidates far below the best one go, however wide the beam may be."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from profiler.errors import UsageError
from selector.sequence.step import SearchStep
from selector.sequence.widths.base import Chooser, WidthPolicy, check_finite, check_widths


@dataclass(frozen=True)
class ThresholdPruning(WidthPolicy):
    """Drops candidates by their distance from the best one, in nats of log-probability.

    The best one is the best candidate, or the best hypothesis that ended before where that is better: a search ends where nothing
    is near enough to it.

    Parameters
    ----------
    absolute
        Dropped where the sum of log-probabilities is more than this below the best sum (0: only equals of the best stay); None:
        not.
    relative
        Dropped where the sum is below ``best * (1 + relative)``: sums are negative and fall with the length, so later steps allow
        more. (A threshold r relative to the best probability, and not to its logarithm, is ``absolute = -log(r)``.) None: not.
    token
        Dropped where the log-probability of its last token alone is more than this below the best last token's (a local
        threshold); None: not.
    per_hypothesis
        At most so many candidates that continue the same hypothesis; None: as many as come.
    widest
        Never more than this.
    """

    absolute: float | None = 1.0
    relative: float | None = None
    token: float | None = None
    per_hypothesis: int | None = None
    widest: int = 7
    kind: ClassVar[str] = "threshold"

    def __post_init__(self) -> None:
        check_widths(1, self.widest)
        for name in ("absolute", "relative", "token"):
            value = getattr(self, name)
            if value is not None:
                check_finite(self.kind, **{name: value})
                if value < 0:
                    raise UsageError(
                        f"{name} of the width policy threshold is a distance from 0, not {value:g}."
                    )
        if self.per_hypothesis is not None and self.per_hypothesis < 1:
            raise UsageError(f"per_hypothesis is at least 1, not {self.per_hypothesis}.")

    @property
    def most(self) -> int:
        """The widest width."""
        return self.widest

    def begin(self) -> Chooser:
        """Candidates that are near enough to the best one."""
        return self._choose

    def _choose(self, step: SearchStep) -> int | NDArray[np.intp]:
        least, best = -math.inf, max(step.ranked.scores[0], step.best_ended)
        if self.absolute is not None:
            least = best - self.absolute
        if self.relative is not None:
            least = max(least, best * (1 + self.relative))
        if self.token is None and self.per_hypothesis is None:
            near = 0
            for score in step.ranked.scores[: self.widest]:
                if score < least:
                    break
                near += 1
            return near
        token_scores = None if self.token is None else step.token_scores
        least_token = -math.inf if token_scores is None else max(token_scores) - (self.token or 0.0)
        most = self.per_hypothesis or len(step.ranked.scores)
        counts = [0] * step.hypotheses
        stays: list[int] = []
        for place, (score, row) in enumerate(zip(step.ranked.scores, step.ranked.rows)):  # noqa: B905 (Python 3.9)
            counts[row] += 1
            if score < least or len(stays) == self.widest:
                break
            if counts[row] <= most and (token_scores is None or token_scores[place] >= least_token):
                stays.append(place)
        # The best token may follow a poor hypothesis only: something has to go on.
        return np.array(stays or ([] if step.ended else [0]), np.intp)
