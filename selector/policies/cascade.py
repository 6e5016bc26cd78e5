"""Cascades: which networks one after another, by which thresholds; the same for the exits of one network."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from profiler.errors import UsageError
from profiler.progress import ProgressCallback, silent, sub_progress
from selector.candidates import Answers
from selector.policies.base import Policy, PolicyFit
from selector.policies.fitting import as_fit, search_for
from selector.policies.goal import PolicyGoal
from selector.policies.promise import fit_with_promise
from selector.policies.stages import CascadeSearch, SearchSettings

_FEW_ROWS = 20


class CascadePolicy(Policy):
    """Networks one after another, the fastest first, until one is sure: the default.

    Parameters
    ----------
    settings
        How wide the search is.
    """

    kind = "cascade"

    def __init__(self, settings: SearchSettings | None = None) -> None:
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
        """As `fit_cascade`."""
        return fit_cascade(
            answers, goal, settings=self.settings, kind=self.kind, device=device, progress=progress
        )


class EarlyExitPolicy(CascadePolicy):
    """The exits of one network, in order; `answers` are of its segments, with the time of each segment."""

    kind = "early_exit"


def fit_cascade(
    answers: Answers,
    goal: PolicyGoal,
    *,
    settings: SearchSettings | None = None,
    row_weights: NDArray[np.float64] | None = None,
    kind: str = "cascade",
    device: str = "",
    progress: ProgressCallback = silent,
) -> PolicyFit:
    """Find the cascade that meets a goal best, among all chains of networks in the order of their times.

    Thresholds are fitted for many prices of time at once, judged by cross-fitting (rows left out), and the best of them are
    looked at more closely. Where there are more than `SearchSettings.most_networks`, `search.shortlist` says which are looked at.

    Parameters
    ----------
    answers
        What each network answers on rows with labels that none was trained on; the fastest first.
    goal
        Accuracy or time first, and the limits. With `goal.confidence` half of the rows test what the other half found
        (`promise.fit_with_promise`).
    settings
        How wide the search is.
    row_weights
        How much each row counts [rows], for instance where classes are rarer in the field than in the data.
    kind
        ``"cascade"``; ``"early_exit"`` where the networks are the segments of one network, in their order; ``"hierarchical"``.
    device
        What the times are of.

    Raises
    ------
    BudgetError
        No policy meets the goal; the message names the nearest.
    UsageError
        There are too few rows, or the networks are not in the order of their times.

    Examples
    --------
    >>> fit = fit_cascade(answers, PolicyGoal("time", max_accuracy_drop=0.2))         # doctest: +SKIP
    >>> fit.chosen.name, fit.chosen.mean_ms                                           # doctest: +SKIP
    """
    settings = settings or SearchSettings()
    check_answers(answers, ordered=kind != "early_exit")
    if goal.confidence is not None:
        return fit_with_promise(
            answers,
            goal,
            settings=settings,
            row_weights=row_weights,
            kind=kind,
            device=device,
            progress=progress,
        )
    search = CascadeSearch(answers, settings, row_weights, longest_ms=goal.longest_ms, kind=kind)
    points, chosen = search_for(search, goal, sub_progress(progress, 0.0, 0.9))
    fit = as_fit(search, points, chosen, goal, answers, row_weights, device)
    progress(1.0, "done")
    return fit


def check_answers(answers: Answers, *, ordered: bool = True) -> None:
    """Raise UsageError where nothing can be fitted to them."""
    if len(answers.y) < _FEW_ROWS:
        raise UsageError(
            f"{answers.source} has {len(answers.y)} rows to choose thresholds from: give at least {_FEW_ROWS}, better thousands."
        )
    if ordered and (np.diff(answers.times_ms) < 0).any():
        raise UsageError("A cascade needs its networks in the order of their times: give the fastest first.")
