"""Adaptive model selection as published: a premodel picks for each input which network answers it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from profiler.errors import BudgetError, UsageError
from profiler.progress import ProgressCallback, silent, sub_progress
from profiler.tradeoff import pareto_front
from selector.candidates import Answers
from selector.policies.base import Policy, PolicyFit, PolicyPoint, log_probabilities_of, table_point
from selector.policies.baselines import baselines
from selector.policies.goal import PolicyGoal
from selector.policies.premodel.search import PremodelSearch, PremodelSettings, Variant
from selector.policies.promise import enough_halves, path_of, verdict
from selector.policies.replay import Replay
from selector.policies.stages import best_single, cautious_drop, row_folds
from selector.runtime import Specification
from selector.runtime.premodel import Premodel

_ROUNDING = 1e-9

LONGEST_PATH = 16
"""Premodels that are tested for a promise: each is fitted for it."""


class PremodelPolicy(Policy):
    """A premodel on cheap features of the input, or on the fastest network's own answer.

    Parameters
    ----------
    settings
        How wide the search is.
    scale
        Time of the policy's device by time of this machine, for features and classifiers: their cost is measured here.
    nearest
        Whether what comes nearest is given, with a note, where no premodel meets the goal.
    """

    kind = "premodel"

    def __init__(
        self, settings: PremodelSettings | None = None, scale: float = 1.0, *, nearest: bool = False
    ) -> None:
        self.settings = settings or PremodelSettings()
        self.scale = scale
        self.nearest = nearest

    def fit(
        self,
        answers: Answers,
        goal: PolicyGoal,
        *,
        inputs: Any = None,
        device: str = "",
        progress: ProgressCallback = silent,
    ) -> PolicyFit:
        """As `fit_premodel`."""
        return fit_premodel(
            answers,
            goal,
            inputs,
            settings=self.settings,
            scale=self.scale,
            nearest=self.nearest,
            device=device,
            progress=progress,
        )

    def replay(self, specification: Specification, answers: Answers, *, inputs: Any = None) -> Replay:
        """What a premodel picks for rows, and how right and how long that is."""
        return replay_premodel(specification, answers, None if inputs is None else _only(inputs))


def fit_premodel(
    answers: Answers,
    goal: PolicyGoal,
    inputs: Any = None,
    *,
    settings: PremodelSettings | None = None,
    scale: float = 1.0,
    nearest: bool = False,
    device: str = "",
    seed: int = 0,
    progress: ProgressCallback = silent,
) -> PolicyFit:
    """Find the premodel that meets a goal best.

    The label of a row is the fastest network that is right on it; networks enter while each gains more than
    `PremodelSettings.theta`; every combination of classifiers is judged on rows that they did not see, by whole groups where
    there are groups. The time of a row counts features and classifiers as they were measured on this machine, times `scale`.
    All accuracies of premodels, also that of `PolicyFit.chosen`, are of such rows.

    Parameters
    ----------
    answers
        What each network answers on rows with labels that none was trained on; the fastest first.
    goal
        Accuracy or time first, and the limits. With `goal.confidence` half of the rows test what the other half found.
    inputs
        The rows themselves [rows, ...]; without them only the fastest network's own answer is looked at.
    settings
        How wide the search is.
    scale
        Time of the policy's device by time of this machine.
    nearest
        Whether what comes nearest is given, with a note, where no premodel meets the goal.
    device
        What the times are of.

    Raises
    ------
    BudgetError
        No premodel meets the goal; the message names the nearest.
    UsageError
        There are too few rows.
    DataError
        There are too few rows to promise anything by; see `selector.policies.promise`.
    """
    settings = settings or PremodelSettings()
    x = None if inputs is None else _only(inputs)
    if goal.confidence is not None:
        return _with_promise(answers, goal, x, settings, scale, device, seed, progress)
    search = _search(answers, x, settings, scale, seed)
    variants = search.run(sub_progress(progress, 0.0, 0.9))
    chosen, met = choose_variant(variants, goal, search.single_ms)
    if not met and not nearest:
        raise BudgetError(_miss(chosen, search.single_ms))
    front = [_point(one, answers) for one in _front(variants)]
    best = _point(chosen, answers)
    specification = specification_of(search, chosen, device)
    progress(1.0, "done")
    return PolicyFit(
        replace(specification, expected=_expected(best, answers, search.single)),
        _paths(specification, answers),
        best,
        tuple(front),
        baselines(answers, search.single, goal),
        (*([] if met else [_miss(chosen, search.single_ms)]), _measured(scale, device)),
    )


def _search(
    answers: Answers, x: NDArray[Any] | None, settings: PremodelSettings, scale: float, seed: int
) -> PremodelSearch:
    rows = len(answers.y)
    if rows < 10 * settings.folds:
        raise UsageError(
            f"{answers.source} has {rows} rows to fit a premodel to: give at least {10 * settings.folds}, better thousands."
        )
    return PremodelSearch(answers, x, row_folds(answers, settings.folds, seed), settings, scale, seed)


def _with_promise(
    answers: Answers,
    goal: PolicyGoal,
    x: NDArray[Any] | None,
    settings: PremodelSettings,
    scale: float,
    device: str,
    seed: int,
    progress: ProgressCallback,
) -> PolicyFit:
    """The best premodel for a goal of those that are shown on rows that chose nothing to lose no more than they may.

    All that is told is as seen on these rows. Where none is shown, the network that is the best one on all rows is the policy.
    """
    parts = enough_halves(answers, goal, seed)
    x_learn, x_test = (None, None) if x is None else (x[parts.learning], x[parts.testing])
    search, test = _search(parts.learn, x_learn, settings, scale, seed), parts.test
    path = path_of(_front(search.run(sub_progress(progress, 0.0, 0.7))), goal, LONGEST_PATH)
    tried = []
    for done, variant in enumerate(path):
        progress(0.7 + 0.3 * done / len(path), "testing the promise")
        specification = specification_of(search, variant, device)
        seen = replay_premodel(specification, test, x_test)
        point = _seen(_name(variant, search.answers), seen, test, variant)
        tried.append((variant, specification, point, seen.named == test.y))
    found = verdict([right for *_, right in tried], test, search.single, goal, alone=best_single(answers))
    # Where nothing is promised, all rows say which network is the best one.
    rows, single = (test, search.single) if found.passed else (answers, best_single(answers))
    passed = [(specification, point, variant.accuracy) for variant, specification, point, _ in tried]
    choices = passed[: found.passed] or [(*_single(answers, single, device), 1.0)]
    limits = _limits(goal, search.single_ms)
    fitting = [one for one in choices if _late(one[1], limits) <= _ROUNDING]
    if not fitting:
        nearest = min((one[1] for one in choices), key=lambda point: _late(point, limits))
        raise BudgetError(
            f"None of what keeps the promise is within the times that are allowed; the nearest, {nearest.name}, takes "
            f"{nearest.mean_ms:.3g} ms on average and at most {nearest.longest_ms:.3g} ms: allow more time, or more points."
        )
    # Rows that test have no part in choosing: accuracy is what rows that chose say of it.
    specification, best, _ = (
        min(fitting, key=lambda one: one[1].mean_ms)
        if goal.prefer == "time"
        else max(fitting, key=lambda one: (one[2], -one[1].mean_ms))
    )
    progress(1.0, "done")
    return PolicyFit(
        replace(specification, expected=_expected(best, rows, single), promise=found.promise),
        _paths(specification, answers),
        best,
        tuple(sorted((point for _, _, point, _ in tried), key=lambda point: point.mean_ms)),
        baselines(rows, single, goal),
        (*found.notes, _measured(scale, device)),
    )


def choose_variant(variants: Sequence[Variant], goal: PolicyGoal, single_ms: float) -> tuple[Variant, bool]:
    """The variant that meets the goal best, else the one that comes nearest; and whether it does."""
    limits = _limits(goal, single_ms)
    drop = goal.max_accuracy_drop
    if drop is None and goal.prefer == "time":
        drop = 0.0

    def excess(one: Variant) -> tuple[float, float]:
        """How far a variant is from the goal: in time as a share of the limit, and in accuracy."""
        return _late(one, limits), 0.0 if drop is None else max(cautious_drop(one) - drop / 100, 0.0)

    fitting = [one for one in variants if max(excess(one)) <= _ROUNDING]
    if not fitting:
        return min(variants, key=lambda one: (sum(excess(one)), one.mean_ms)), False
    if goal.prefer == "time":
        return min(fitting, key=lambda one: (one.mean_ms, -one.accuracy)), True
    return max(fitting, key=lambda one: (one.accuracy, -one.mean_ms)), True


def _limits(goal: PolicyGoal, single_ms: float) -> tuple[float, float]:
    """Longest mean time and longest time of any input."""
    budget = goal.budget_ms
    if budget is None:
        budget = single_ms if goal.prefer == "accuracy" else np.inf
    return budget, np.inf if goal.longest_ms is None else goal.longest_ms


def _late(one: Variant | PolicyPoint, limits: tuple[float, float]) -> float:
    """How far beyond its limits a policy is, as a share of the worse one; 0 where it keeps both."""
    return max(one.mean_ms / limits[0] - 1, one.longest_ms / limits[1] - 1, 0.0)


def _front(variants: Sequence[Variant]) -> list[Variant]:
    """The variants that no other one beats in both mean time and accuracy, the fastest first, one of those that are equal."""
    marks = pareto_front([one.mean_ms for one in variants], [one.accuracy for one in variants])
    found: dict[tuple[float, float], Variant] = {}
    for one, mark in zip(variants, marks, strict=True):
        if mark:
            found.setdefault((one.mean_ms, one.accuracy), one)
    return [found[key] for key in sorted(found)]


def replay_premodel(specification: Specification, answers: Answers, x: NDArray[Any] | None) -> Replay:
    """What a premodel picks for rows [rows, ...], and how right and how long that is."""
    log_p = log_probabilities_of(specification, answers)
    premodel = Premodel.of(specification)
    looked_at = log_p[0] if premodel.features[0] == "answer" else x
    if looked_at is None:
        raise UsageError("A premodel on features of the inputs needs the inputs.")
    positions = premodel.positions(looked_at)
    choices = np.asarray(premodel.choices)
    by_position = times_by_position(premodel, [one.predicted_ms for one in specification.networks])
    named = np.stack(log_p).argmax(axis=2)[choices[positions], np.arange(len(positions))]
    return Replay(named, positions, by_position[positions], float(by_position.max()))


def times_by_position(premodel: Premodel, network_ms: Sequence[float]) -> NDArray[np.float64]:
    """Time of a row by the position that is picked for it [choices], all that runs included."""
    choices = np.asarray(premodel.choices)
    times = np.asarray(network_ms)[choices]
    if premodel.features[0] == "answer":  # the first network has run by then
        times = network_ms[0] + np.where(choices == 0, 0.0, times)
    return np.asarray(premodel.overhead_ms) + times


def specification_of(search: PremodelSearch, chosen: Variant, device: str = "") -> Specification:
    """A variant, fitted to all rows of its search, as what is saved and runs; nothing is said of what to expect."""
    answers = search.answers
    premodel = search.fit(chosen)
    needed = _networks(chosen, search.single)
    settings, arrays = premodel.to_parts()
    settings["choices"] = [needed.index(choice) for choice in premodel.choices]
    settings["cost_scale"] = search.scale
    return Specification(
        kind="premodel",
        device=device,
        networks=tuple(answers.networks[index] for index in needed),
        classes=answers.classes,
        single=needed.index(search.single),
        settings=settings,
        arrays=arrays,
    )


def _single(answers: Answers, single: int, device: str) -> tuple[Specification, PolicyPoint]:
    """The best single network alone as a policy."""
    network = answers.networks[single]
    ms = np.full(len(answers.y), network.predicted_ms)
    point = table_point(
        network.name, "single", answers.right[single], ms, network.predicted_ms, dtype=network.dtype
    )
    return Specification("static", device, (network,), classes=answers.classes), point


def _expected(point: PolicyPoint, answers: Answers, single: int) -> dict[str, Any]:
    return {
        "accuracy": point.accuracy,
        "single_accuracy": float(answers.right[single].mean()),
        **point.times(),
        "single_ms": float(answers.times_ms[single]),
        "stop_shares": list(point.stop_shares),
        "rows": len(answers.y),
    }


def _paths(specification: Specification, answers: Answers) -> tuple[Path, ...]:
    known = {network.name: path for network, path in zip(answers.networks, answers.paths, strict=True)}
    return tuple(known[network.name] for network in specification.networks)


def _networks(variant: Variant, single: int) -> list[int]:
    """Networks that a policy needs, the fastest of all first where its answer is looked at."""
    first = {0} if variant.features == "answer" else set()
    return sorted({*variant.networks, variant.fallback, single, *first})


def _point(variant: Variant, answers: Answers) -> PolicyPoint:
    right = answers.right[variant.picked, np.arange(len(answers.y))]
    return table_point(
        _name(variant, answers),
        "premodel",
        right,
        variant.ms,
        variant.longest_ms,
        stopped=variant.positions,
        stages=len(variant.networks) + 1,
        expected_accuracy=variant.accuracy,
    )


def _name(variant: Variant, answers: Answers) -> str:
    """Such as ``"answer: tree(tiny) > knn(r9) > tiny"`` or ``"image: svm_rbf(tiny, mob, r9)"``."""
    names = [answers.networks[index].name for index in variant.networks]
    last = answers.networks[variant.fallback].name
    if variant.structure == "single":
        return f"{variant.features}: {variant.kinds[0]}({', '.join(names)}), else {last}"
    levels = [f"{kind}({name})" for kind, name in zip(variant.kinds, names, strict=True)]
    return f"{variant.features}: {' > '.join([*levels, last])}"


def _seen(name: str, seen: Replay, answers: Answers, variant: Variant) -> PolicyPoint:
    """A premodel on rows that had no part in choosing it."""
    right = seen.named == answers.y
    stages = len(variant.networks) + 1
    return table_point(
        name, "premodel", right, seen.ms, seen.longest_ms,
        stopped=seen.stopped, stages=stages, expected_accuracy=float(right.mean()),
    )  # fmt: skip


def _measured(scale: float, device: str) -> str:
    return "The time of features and classifiers was measured on this machine" + (
        "." if scale == 1.0 else f" and multiplied by {scale:.3g} for {device or 'the device'}."
    )


def _miss(nearest: Variant, single_ms: float) -> str:
    lost = 100 * nearest.drop
    faster = single_ms / nearest.mean_ms
    return (
        f"No premodel meets the goal; the nearest takes {nearest.mean_ms:.3g} ms ({faster:.3g}x as fast as the best single one) "
        f"and {'loses' if lost > 0 else 'gains'} {abs(lost):.2g} points of accuracy: use a cascade, or allow more."
    )


def _only(inputs: Any) -> NDArray[Any]:
    """The array of the only input; of several the first, as at run time."""
    return np.asarray(next(iter(inputs.values())) if isinstance(inputs, Mapping) else inputs)
