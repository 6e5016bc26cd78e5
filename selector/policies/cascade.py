"""Cascades: which networks one after another, by which thresholds; the same for the exits of one network."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from profiler.errors import UsageError
from profiler.progress import ProgressCallback, silent, sub_progress
from selector.candidates import Answers
from selector.policies.base import Policy, PolicyFit, log_probabilities_of
from selector.policies.fitting import as_fit, search_for, specification_of
from selector.policies.goal import PolicyGoal
from selector.policies.promise import allowed_drop, enough_halves, path_of, verdict
from selector.policies.replay import replay
from selector.policies.stages import CascadeSearch, SearchSettings, SingleNetwork, choose_tested, front

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
        (`fit_with_promise`).
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


def fit_with_promise(
    answers: Answers,
    goal: PolicyGoal,
    *,
    settings: SearchSettings | None = None,
    row_weights: NDArray[np.float64] | None = None,
    kind: str = "cascade",
    device: str = "",
    seed: int = 0,
    progress: ProgressCallback = silent,
) -> PolicyFit:
    """The best cascade for a goal of those that are shown to keep its promise; parameters as of `fit_cascade`.

    Half of the rows choose networks, weights and thresholds; the other half only test. What is expected of the policy, its front
    and its baselines are as seen on the rows that only tested. Where no policy is shown to keep the promise, the network that is
    the best one on all rows runs alone, and a note says why.

    Raises
    ------
    DataError
        So few rows (or groups) could not show it even if nothing were lost; the message says how many are needed.
    BudgetError
        None that keeps the promise meets the budget.
    """
    parts = enough_halves(answers, goal, seed)
    test = parts.test
    weights = (
        (None, None) if row_weights is None else (row_weights[parts.learning], row_weights[parts.testing])
    )
    search = CascadeSearch(
        parts.learn, settings or SearchSettings(), weights[0], longest_ms=goal.longest_ms, kind=kind
    )
    points = search.run(sub_progress(progress, 0.0, 0.6))
    most = allowed_drop(goal)
    close = sorted(points, key=lambda one: abs(one.drop - most) + one.own_ms / float(search.single_ms.max()))
    points += search.refine([*{one.chain: one for one in reversed(close) if not one.alone}.values()][-3:])
    path = path_of(front(points), goal)
    progress(0.8, "testing the promise")
    right = []
    for point in path:
        specification = specification_of(search, point)
        right.append(replay(specification, log_probabilities_of(specification, test)).named == test.y)
    accuracy = np.average(answers.right, axis=1, weights=row_weights)
    alone = max(search.alone, key=lambda one: (accuracy[one], -search.single_ms[one]), default=search.single)
    found = verdict(right, test, search.single, goal, weights[1], alone=alone)
    rows, row_weights = (test, weights[1]) if found.passed else (answers, row_weights)
    passed = path[: found.passed]
    if not passed:  # nothing is promised, so that all rows say which network is the best one
        search = CascadeSearch(answers, search.settings, row_weights, longest_ms=goal.longest_ms, kind=kind)
        points = [search.single_point(one) for one in search.alone]
        passed = [one for one in points if one.chain[-1] == alone]
    single = SingleNetwork(search.single_wrong, float(search.single_ms[search.single]))
    fit = as_fit(search, points, choose_tested(passed, goal, single), goal, rows, row_weights, device)
    progress(1.0, "done")
    specification = replace(fit.specification, promise=found.promise)
    return replace(fit, specification=specification, notes=found.notes)


def check_answers(answers: Answers, *, ordered: bool = True) -> None:
    """Raise UsageError where nothing can be fitted to them."""
    if len(answers.y) < _FEW_ROWS:
        raise UsageError(
            f"{answers.source} has {len(answers.y)} rows to choose thresholds from: give at least {_FEW_ROWS}, better thousands."
        )
    if ordered and (np.diff(answers.times_ms) < 0).any():
        raise UsageError("A cascade needs its networks in the order of their times: give the fastest first.")
