"""Adaptive model selection as published: a premodel picks for each input which network answers it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from selector.policies.replay import Replay
from selector.policies.stages import CAUTION, best_single, mean_and_error, row_folds
from selector.runtime import Specification
from selector.runtime.premodel import Premodel

_ROUNDING = 1e-9


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
        log_p = log_probabilities_of(specification, answers)
        premodel = Premodel.of(specification)
        if premodel.features[0] != "answer" and inputs is None:
            raise UsageError("A premodel on features of the inputs needs the inputs.")
        positions = premodel.positions(log_p[0] if premodel.features[0] == "answer" else _only(inputs))
        choices = np.asarray(premodel.choices)
        by_position = times_by_position(premodel, [one.predicted_ms for one in specification.networks])
        named = np.stack(log_p).argmax(axis=2)[choices[positions], np.arange(len(positions))]
        return Replay(named, positions, by_position[positions], float(by_position.max()))


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
        Accuracy or time first, and the limits.
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
        There are too few rows, or a promise is asked for.
    """
    settings = settings or PremodelSettings()
    if goal.confidence is not None:
        raise UsageError(
            "A premodel has no thresholds to make a promise with: use a cascade, or leave the confidence out."
        )
    rows = len(answers.y)
    if rows < 10 * settings.folds:
        raise UsageError(
            f"{answers.source} has {rows} rows to fit a premodel to: give at least {10 * settings.folds}, better thousands."
        )
    x = None if inputs is None else _only(inputs)
    folds = row_folds(answers, settings.folds, seed)
    search = PremodelSearch(answers, x, folds, settings, scale, seed)
    variants = search.run(sub_progress(progress, 0.0, 0.9))
    single = best_single(answers)
    chosen, met = choose_variant(variants, goal, answers, single)
    if not met and not nearest:
        raise BudgetError(_miss(chosen, answers, single))
    notes = [] if met else [_miss(chosen, answers, single)]
    notes.append(
        "The time of features and classifiers was measured on this machine"
        + ("." if scale == 1.0 else f" and multiplied by {scale:.3g} for {device or 'the device'}.")
    )
    marks = pareto_front([one.mean_ms for one in variants], [one.accuracy for one in variants])
    front = sorted(
        (one for one, mark in zip(variants, marks, strict=True) if mark), key=lambda one: one.mean_ms
    )
    points = {id(one): _point(one, answers) for one in (*front, chosen)}
    best = points[id(chosen)]
    specification = _specification(search, chosen, single, best, device)
    needed = _networks(chosen, single)
    progress(1.0, "done")
    return PolicyFit(
        specification,
        tuple(answers.paths[index] for index in needed),
        best,
        tuple(points[id(one)] for one in _distinct(front)),
        baselines(answers, single, goal),
        tuple(notes),
    )


def choose_variant(
    variants: Sequence[Variant], goal: PolicyGoal, answers: Answers, single: int
) -> tuple[Variant, bool]:
    """The variant that meets the goal best, else the one that comes nearest; and whether it does."""
    single_ms, right = float(answers.times_ms[single]), answers.right
    units = answers.units
    drops = {id(one): cautious_drop(one, right, single, units) for one in variants}
    budget = goal.budget_ms
    if budget is None and goal.prefer == "accuracy":
        budget = single_ms
    drop = goal.max_accuracy_drop
    if drop is None and goal.prefer == "time":
        drop = 0.0

    def excess(one: Variant) -> tuple[float, float]:
        """How far a variant is from the goal: in time as a share of the limit, and in accuracy."""
        late = 0.0 if budget is None else max(one.mean_ms / budget - 1, 0.0)
        if goal.longest_ms is not None:
            late = max(late, one.longest_ms / goal.longest_ms - 1)
        return late, 0.0 if drop is None else max(drops[id(one)] - drop / 100, 0.0)

    fitting = [one for one in variants if max(excess(one)) <= _ROUNDING]
    if not fitting:
        return min(variants, key=lambda one: (sum(excess(one)), one.mean_ms)), False
    if goal.prefer == "time":
        return min(fitting, key=lambda one: (one.mean_ms, -one.accuracy)), True
    return max(fitting, key=lambda one: (one.accuracy, -one.mean_ms)), True


def cautious_drop(
    variant: Variant, right: NDArray[np.bool_], single: int, units: NDArray[np.int64] | None = None
) -> float:
    """What a premodel is taken to lose against the best single network: the mean and some of its standard error."""
    rows = right.shape[1]
    lost = right[single].astype(np.float64) - right[variant.picked, np.arange(rows)]
    mean, error = mean_and_error(lost, np.full(rows, 1 / rows), units)
    return mean + CAUTION * error


def times_by_position(premodel: Premodel, network_ms: Sequence[float]) -> NDArray[np.float64]:
    """Time of a row by the position that is picked for it [choices], all that runs included."""
    choices = np.asarray(premodel.choices)
    times = np.asarray(network_ms)[choices]
    if premodel.features[0] == "answer":  # the first network has run by then
        times = network_ms[0] + np.where(choices == 0, 0.0, times)
    return np.asarray(premodel.overhead_ms) + times


def _specification(
    search: PremodelSearch, chosen: Variant, single: int, point: PolicyPoint, device: str
) -> Specification:
    answers = search.answers
    premodel = search.fit(chosen)
    needed = _networks(chosen, single)
    settings, arrays = premodel.to_parts()
    settings["choices"] = [needed.index(choice) for choice in premodel.choices]
    settings["cost_scale"] = search.scale
    return Specification(
        kind="premodel",
        device=device,
        networks=tuple(answers.networks[index] for index in needed),
        classes=answers.classes,
        single=needed.index(single),
        expected={
            "accuracy": point.accuracy,
            "single_accuracy": float(answers.right[single].mean()),
            **point.times(),
            "single_ms": float(answers.times_ms[single]),
            "stop_shares": list(point.stop_shares),
            "rows": len(answers.y),
        },
        settings=settings,
        arrays=arrays,
    )


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


def _distinct(front: Sequence[Variant]) -> list[Variant]:
    """Of variants that do exactly the same the first."""
    found: dict[tuple[float, float], Variant] = {}
    for one in front:
        found.setdefault((one.mean_ms, one.accuracy), one)
    return list(found.values())


def _miss(nearest: Variant, answers: Answers, single: int) -> str:
    lost = 100 * (float(answers.right[single].mean()) - nearest.accuracy)
    times = float(answers.times_ms[single]) / nearest.mean_ms
    return (
        f"No premodel meets the goal; the nearest takes {nearest.mean_ms:.3g} ms ({times:.3g}x as fast as the best single network) "
        f"and {'loses' if lost > 0 else 'gains'} {abs(lost):.2g} points of accuracy: use a cascade, or allow more."
    )


def _only(inputs: Any) -> NDArray[Any]:
    """The array of the only input; of several the first, as at run time."""
    return np.asarray(next(iter(inputs.values())) if isinstance(inputs, Mapping) else inputs)
