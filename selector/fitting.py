"""Choosing by input: networks and rows in, a policy out that can be saved."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from profiler.errors import DataError
from profiler.progress import ProgressCallback, silent, sub_progress
from selector.candidates import Answers, gather
from selector.policies import Policy, PolicyFit, PolicyGoal, PolicyPoint, get_policy
from selector.runtime import save_policy
from timemodel.model import NetworkPredictor, TimeModel

if TYPE_CHECKING:
    from compressor.data import Data

PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class PerInputSelection:
    """A policy that chooses by input, and what it must be seen beside.

    Parameters
    ----------
    fit
        The policy, others of its kind, single networks, oracle, ensemble.
    device
        What its times are of.
    judged_on
        Which rows it was fitted and judged on.
    answers, inputs
        What each network answers on these rows, and the rows themselves.
    """

    fit: PolicyFit
    device: str
    judged_on: str
    answers: Answers | None = field(default=None, repr=False, compare=False)
    inputs: Any = field(default=None, repr=False, compare=False)

    @property
    def single(self) -> PolicyPoint:
        """The best single network, what the policy is compared with."""
        return self.fit.single

    def saving(self, point: PolicyPoint) -> float:
        """How many times as fast as the best single network a policy is, by predicted mean time."""
        return self.fit.saving(point)

    def promise(self) -> str:
        """What is promised, in words."""
        promise = self.fit.specification.promise
        return "Nothing is promised about new rows." if promise is None else str(promise["sentence"])

    def save(self, path: PathLike) -> Path:
        """Write the policy, with copies of its networks beside it; see `selector.runtime.save_policy`."""
        return save_policy(self.fit.specification, self.fit.paths, path)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return self.fit.to_dict(self.judged_on)


def select_per_input(
    time_model: NetworkPredictor | PathLike,
    networks: Sequence[PathLike],
    data: Data | PathLike,
    goal: PolicyGoal | None = None,
    policy: str | Policy = "cascade",
    *,
    held_out: bool = False,
    input_shape: Sequence[int] | Mapping[str, Sequence[int]] | None = None,
    cache: PathLike | None = None,
    progress: ProgressCallback = silent,
) -> PerInputSelection:
    """Fit a policy that says for each input which networks run, on predicted times.

    Parameters
    ----------
    time_model
        A time model of the device, or the file of one.
    networks
        ``.tflite`` files of classifiers of the same inputs and classes.
    data
        Rows with labels, or the file of them: those for validation, else those for the test.
    goal
        Accuracy or time first, and the limits; default: the least time at no loss.
    policy
        Its kind, see `selector.policies.policy_names`, or one that is made already.
    held_out
        Whether the rows of `data` trained no network, so that all count where none are for validation or the test.
    input_shape
        For files that leave more than the batch open.
    cache
        A folder where answers of networks are kept; see `selector.candidates.gather`.

    Raises
    ------
    DataError
        All rows may have trained the networks; too few rows for the promise; networks do not fit each other.
    BudgetError
        No policy meets the goal.
    """
    from compressor.data import load_data

    rows = load_data(data) if isinstance(data, (str, os.PathLike)) else data
    part, x, _ = rows.held_out()
    if part == "training" and not held_out:
        raise DataError(
            f"{rows.source} has only x and y, and choosing by input needs rows that no network was trained on: add x_val and "
            "y_val, or say that these are such rows with --held-out."
        )
    model = TimeModel.load(time_model) if isinstance(time_model, (str, os.PathLike)) else time_model
    answers = gather(
        model, networks, rows, input_shape=input_shape, cache=cache, progress=sub_progress(progress, 0.0, 0.5)
    )
    if part == "training":
        answers = replace(answers, source=answers.source.replace(" training rows", " rows"))
    kind = get_policy(policy) if isinstance(policy, str) else policy
    fit = kind.fit(
        answers,
        goal or PolicyGoal(),
        inputs=x,
        device=model.device,
        progress=sub_progress(progress, 0.5, 1.0),
    )
    if answers.groups is None and rows.groups is not None:
        name = "groups_val" if part == "validation" else "groups_test"
        note = (
            f"{rows.source} has groups, but no {name}: each {part} row counts as independent of all others."
        )
        fit = replace(fit, notes=(*fit.notes, note))
    progress(1.0, "done")
    return PerInputSelection(fit, model.device, _judged_on(answers, fit), answers, x)


def _judged_on(answers: Answers, fit: PolicyFit) -> str:
    """The rows that the policy is seen on: where some chose it and others tested it, these."""
    rows = int(fit.specification.expected["rows"])
    return (
        answers.source
        if rows == len(answers.y)
        else f"{rows:,}, which chose nothing, of the {answers.source}"
    )
