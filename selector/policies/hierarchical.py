"""Hierarchical policies: a cheap detector wakes the rest, or the first network may stop only for some classes.

How often classes come up in the field is rarely how often they are in the data: a detector of rare events is worth most where
nearly nothing happens. So rows are weighted by the classes' shares in the field (the prior).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from profiler.errors import UsageError
from profiler.progress import ProgressCallback, silent
from selector.candidates import Answers
from selector.policies.base import Policy, PolicyFit
from selector.policies.cascade import fit_cascade
from selector.policies.goal import PolicyGoal
from selector.policies.stages import SearchSettings


class HierarchicalPolicy(Policy):
    """A cascade whose first stage is a detector (`Answers.detector`), or may stop only for some classes.

    Parameters
    ----------
    stops_for
        Classes for which the first stage may stop, such as "nothing there"; None for all.
    prior
        Share of each class in the field, 0 to 1; classes that are not named share the rest as they do in the data. None for the
        shares of the data.
    settings
        How wide the search is.
    """

    kind = "hierarchical"

    def __init__(
        self,
        stops_for: Sequence[int] | None = None,
        prior: Mapping[int, float] | None = None,
        settings: SearchSettings | None = None,
    ) -> None:
        self.stops_for = None if stops_for is None else tuple(stops_for)
        self.prior = prior
        self.settings = settings or SearchSettings()

    def fit(
        self,
        answers: Answers,
        goal: PolicyGoal,
        *,
        inputs: Any = None,
        device: str = "",
        progress: ProgressCallback = silent,
    ) -> PolicyFit:
        """As `fit_cascade`; everything that is expected counts rows by the prior."""
        for one in self.stops_for or ():
            if not 0 <= one < answers.classes:
                raise UsageError(
                    f"The first stage cannot stop for class {one}: the networks tell classes 0 to {answers.classes - 1} apart."
                )
        weights = None if self.prior is None else class_weights(answers.y, self.prior, answers.classes)
        return fit_cascade(
            answers,
            goal,
            settings=replace(self.settings, only=self.stops_for),
            row_weights=weights,
            kind=self.kind,
            device=device,
            progress=progress,
        )


def class_weights(y: NDArray[np.int64], prior: Mapping[int, float], classes: int) -> NDArray[np.float64]:
    """How much each row counts [rows], 1 on average, so that classes have the shares that they have in the field.

    Examples
    --------
    >>> class_weights(np.array([0, 0, 1, 1]), {0: 0.9}, 2)
    array([1.8, 1.8, 0.2, 0.2])
    """
    shares = np.bincount(y, minlength=classes) / len(y)
    wanted = np.full(classes, np.nan)
    for one, share in prior.items():
        if not 0 <= one < classes:
            raise UsageError(
                f"The prior names class {one}, but the networks tell classes 0 to {classes - 1} apart."
            )
        if not 0 <= share <= 1:
            raise UsageError(f"The prior of class {one} is {share:g}: give a share from 0 to 1.")
        if share and not shares[one]:
            raise UsageError(
                f"The prior of class {one} is {share:g}, but no row is of it: give rows of every class."
            )
        wanted[one] = share
    others = np.isnan(wanted)
    rest, spread = 1 - wanted[~others].sum(), shares[others].sum()
    if rest < -1e-6 or (rest > 1e-6 and not spread):
        raise UsageError(
            f"The shares of the prior add up to {1 - rest:g}: they must add up to 1, or to less for some of the classes."
        )
    wanted[others] = shares[others] * (max(rest, 0.0) / spread if spread else 0.0)
    weights: NDArray[np.float64] = (wanted / np.where(shares > 0, shares, 1.0))[y]
    return weights
