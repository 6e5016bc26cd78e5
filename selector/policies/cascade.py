"""Cascades: which networks one after another, by which thresholds; the same for the exits of one network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from profiler.errors import UsageError
from profiler.progress import ProgressCallback, silent, sub_progress
from selector.candidates import Answers
from selector.policies.base import Policy, PolicyFit, PolicyPoint, log_probabilities_of, table_point
from selector.policies.baselines import baselines
from selector.policies.choosing import SingleNetwork, choose
from selector.policies.goal import PolicyGoal
from selector.policies.replay import replay
from selector.policies.search import CascadeSearch, Point, SearchSettings, front
from selector.policies.thresholds import NEVER
from selector.runtime import Specification, Stage

_REFINED = 3
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
        return fit_cascade(answers, goal, settings=self.settings, device=device, progress=progress)


class EarlyExitPolicy(CascadePolicy):
    """The exits of one network, in order; `answers` are of its segments, with the time of each segment."""

    kind = "early_exit"

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
        from selector.policies.promise import fit_with_promise

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


def search_for(
    search: CascadeSearch, goal: PolicyGoal, progress: ProgressCallback = silent
) -> tuple[list[Point], Point]:
    """All points of a search, with more of them near the best one; and the best one."""
    points = search.run(progress)
    single = SingleNetwork(search.single_wrong, float(search.single_ms[search.single]))
    best = choose(points, goal, single)
    near = [best]
    for _ in range(_REFINED - 1):
        left = [one for one in points if one.chain not in [found.chain for found in near] or one.alone]
        if not left:
            break
        near.append(choose([*left, *(one for one in points if one.alone)], goal, single))
    points += search.refine([one for one in near if not one.alone])
    return points, choose(points, goal, single)


def as_fit(
    search: CascadeSearch,
    points: Sequence[Point],
    chosen: Point,
    goal: PolicyGoal,
    rows: Answers,
    row_weights: NDArray[np.float64] | None,
    device: str,
) -> PolicyFit:
    """The chosen point as a policy, with front and baselines, all seen on `rows`."""
    single_accuracy = 1 - search.single_wrong
    specification = specification_of(search, chosen, device)
    table = [_table(search, point, rows, row_weights, single_accuracy) for point in front(points)]
    best = _table(search, chosen, rows, row_weights, single_accuracy)
    singles = rows.right[search.single]
    counts = np.full(len(rows.y), 1 / len(rows.y)) if row_weights is None else row_weights / row_weights.sum()
    expected = {
        "accuracy": best.accuracy,
        "single_accuracy": float(singles @ counts),
        **best.times(),
        "single_ms": float(search.single_ms[search.single]),
        "stop_shares": list(best.stop_shares),
        "rows": len(rows.y),
    }
    return PolicyFit(
        replace(specification, expected=expected),
        _paths(specification, rows),
        best,
        tuple(table),
        baselines(
            rows,
            search.single,
            goal,
            single_ms=search.single_ms if search.segments else None,
            row_weights=row_weights,
        ),
    )


def _networks(search: CascadeSearch, point: Point) -> list[int]:
    """Networks that a policy needs: those of its chain, and the best single one (with all its segments)."""
    single = range(search.single + 1) if search.segments else [search.single]
    return sorted({*point.chain, *single})


def _paths(specification: Specification, rows: Answers) -> tuple[Path, ...]:
    """The file of each of a specification's networks."""
    known = {network.name: path for network, path in zip(rows.networks, rows.paths, strict=True)}
    if rows.detector is not None:
        known[rows.detector.network.name] = rows.detector.path
    return tuple(known[network.name] for network in specification.networks)


def specification_of(search: CascadeSearch, point: Point, device: str = "") -> Specification:
    """A point as what is saved and runs; nothing is said of what to expect."""
    answers = search.answers
    needed = _networks(search, point)
    detector = None if point.alone else answers.detector
    networks = [answers.networks[index] for index in needed]
    stages = []
    if detector is not None:
        own = _threshold(point.thresholds[0], len(detector.answers))
        stages = [Stage(len(needed), (1.0,), point.gate.confidence, own, answers=detector.answers)]
        networks.append(detector.network)
    heard = len(stages)
    for place, network in enumerate(point.chain):
        prefix = point.chain[: place + 1]
        last = place == len(point.chain) - 1
        weights = (*(0.0 for _ in prefix[1:]), 1.0) if point.alone else search.combiner.weights(prefix)
        only = None if heard or place or last or point.alone else search.settings.only
        threshold = None if last else _threshold(point.thresholds[place + heard], answers.classes, only)
        agree = point.gate.agree and place > 0 and not last
        stages.append(
            Stage(needed.index(network), (*[0.0] * heard, *weights), point.gate.confidence, threshold, agree)
        )
    return Specification(
        kind=search.kind,
        device=device,
        networks=tuple(networks),
        stages=tuple(stages),
        classes=answers.classes,
        single=needed.index(search.single),
    )


def _threshold(
    found: NDArray[np.float64], classes: int, only: tuple[int, ...] | None = None
) -> float | tuple[float, ...]:
    """A stage's threshold, or one for each class; never but for some classes where only these may stop."""
    if not found.ndim and only is None:
        return float(found)
    several = np.broadcast_to(found, max(classes, found.size))[:classes].copy()
    if only is not None:
        several[~np.isin(np.arange(classes), only)] = NEVER
    return tuple(several.tolist())


def _table(
    search: CascadeSearch,
    point: Point,
    rows: Answers,
    row_weights: NDArray[np.float64] | None,
    single_accuracy: float,
) -> PolicyPoint:
    specification = specification_of(search, point)
    seen = replay(specification, log_probabilities_of(specification, rows))
    name = " > ".join(specification.networks[stage.network].name for stage in specification.stages)
    return table_point(
        name, specification.kind, seen.named == rows.y, seen.ms, seen.longest_ms,
        row_weights=row_weights, stopped=seen.stopped, stages=len(specification.stages),
        expected_accuracy=single_accuracy - point.drop,
    )  # fmt: skip
