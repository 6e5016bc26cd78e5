"""`compress`: from a trained Keras model and a time model to a faster network, proven by running it."""

from __future__ import annotations

import math
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from compressor.data import Data, check_data, load_data
from compressor.export_load import load_keras
from compressor.export_quiet import require, tensorflow
from compressor.finals import Finals
from compressor.methods.base import Goal, SearchMethod, SearchProblem, Trial
from compressor.options import Options
from compressor.preparation import Evaluator, Prepared, prepare, save_model
from compressor.reporting import make_result
from compressor.result import CompressionResult
from compressor.sharing import Sharing
from compressor.workspace import Workspace, data_digest, file_digest, json_digest
from profiler.errors import BudgetError, UsageError
from profiler.progress import ProgressCallback, silent
from profiler.target import Target

_SEARCH_SHARE = 0.55
_RESERVE_SHARE = 0.12


def compress(
    model: str | os.PathLike[str],
    data: Data | str | os.PathLike[str],
    time_model: Any,
    out: str | os.PathLike[str],
    *,
    budget_ms: float | None = None,
    max_accuracy_drop: float | None = None,
    method: str | SearchMethod = "optuna",
    quantize: str = "none",
    calibration: Any = None,
    target: str | Target | None = None,
    setting: str | None = None,
    importance: str = "taylor",
    seed: int = 0,
    seeds: int = 3,
    minutes: float | None = None,
    resume: bool = False,
    measure: bool = True,
    steer: str = "time",
    storage: str | None = None,
    workers: int = 1,
    trials: int | None = None,
    options: Options | None = None,
    progress: ProgressCallback = silent,
) -> CompressionResult:
    """Make a network faster on a device by removing channels, and show by running it what that came to.

    The widths are searched by predicted time; the channels that matter least are removed for good; the
    network is fine-tuned with the original as its teacher, exported, run on the test rows and timed against
    the original.

    Parameters
    ----------
    model
        A ``.keras`` file: a Sequential or Functional network with one input and one output.
    data
        Training rows, and validation and test rows where there are any (else they are split off first: by
        `Data.groups`, or the same share of each class); or a file that `load_data` reads. The test rows are
        looked at once, when everything is decided.
    time_model
        A `timemodel.TimeModel` or its file.
    out
        The folder for everything that is made.
    budget_ms, max_accuracy_drop
        One of them: the predicted time to stay within, or how many points of validation accuracy (hundredths
        of the score) may be lost for the least time.
    method
        A name from `compressor.methods.METHODS`, or a method.
    quantize
        ``none`` or ``int8``: what is exported, and what times are predicted for.
    calibration
        Typical inputs for ``int8``; default: the training rows.
    target
        Where networks are measured; default: this machine, where it is the time model's device.
    setting
        Which of the time model's settings; default: its first.
    importance
        ``taylor`` or ``magnitude``: which channels stay.
    seed, seeds
        The first seed, and how many fine-tunings the winner gets.
    minutes
        Wall time for all of it; None for as long as it takes.
    resume
        Go on with an interrupted run in `out`.
    measure
        Whether to measure at the end.
    steer
        What stands for time in the search: ``time`` as predicted, or ``flops`` in its place, to see what knowing the
        time is worth.
    storage
        URL of a database for the study, so that other machines can take part (`compressor.joining.join`); default: a
        journal in `out`. Methods: ``optuna``.
    workers
        Processes on this machine that take part, this one included.
    trials
        Candidates that are looked at; default: the method's own number.

    Returns
    -------
    CompressionResult
        Also written as ``result.json`` in `out`.

    Raises
    ------
    BudgetError
        The goal was not reached; the nearest network is saved and the message says by how much it misses.
    UsageError, DataError, ModelFileError
        What was given cannot be used; one sentence says why.
    """
    options = options or Options()
    started = time.monotonic()
    _check(budget_ms, max_accuracy_drop, quantize, seeds, minutes)
    deadline = started + 60 * minutes if minutes else math.inf
    require("optuna")
    sharing = Sharing(storage, workers, trials)
    searcher = sharing.method(method, steer)
    progress(0.0, "loading")
    sharing.limit_threads(tensorflow())
    rows = check_data(data) if isinstance(data, Data) else load_data(data)
    files = {"model": model, "data": data, "time_model": time_model, "calibration": calibration}
    time_model = _loaded(time_model)
    if not Path(model).exists():
        load_keras(model)  # says what is wrong
    request = {
        "model": file_digest(model),
        "data": data_digest(rows),
        "time_model": json_digest(time_model.to_dict()) if hasattr(time_model, "to_dict") else None,
        "budget": budget_ms,
        "max_accuracy_drop": max_accuracy_drop,
        "method": searcher.name,
        "quantize": quantize,
        "importance": importance,
        "steer": steer,
        "seed": seed,
        "setting": setting,
        "options": options.to_dict(),
    }
    workspace = Workspace(out, request, resume)
    prepared = prepare(model, rows, time_model, quantize, calibration, setting, importance, seed, options,
                       lambda done, note: progress(0.1 * done, note), steer)  # fmt: skip
    goal = _goal(prepared, budget_ms, max_accuracy_drop)
    workspace.begin()
    evaluator = prepared.evaluator(options.search, seed, workspace.folder)
    evaluator.deadline = started + _SEARCH_SHARE * (deadline - started) if minutes else math.inf
    with sharing.searching(searcher, workspace.folder, files, request, goal) as shared:
        best = _search(shared, prepared, workspace, goal, evaluator, seed, progress)
    prepared = replace(prepared, notes=(*prepared.notes, *sharing.notes))
    if not best:
        raise BudgetError(
            "The time was used up before the first candidate was finished: give more --minutes."
        )
    finals = Finals(prepared, workspace, goal, options, seed, seeds, evaluator.epoch_seconds)
    chosen = finals.run(best, deadline - _RESERVE_SHARE * (deadline - started) if minutes else math.inf,
                        lambda done, note: progress(0.6 + 0.3 * done, note))  # fmt: skip
    result = make_result(prepared, workspace, chosen, best, searcher.name, budget_ms, max_accuracy_drop, seed,
                         target, measure, started, lambda done, note: progress(0.9 + 0.1 * done, note))  # fmt: skip
    result.save()
    workspace.clear_checkpoints()
    progress(1.0, "done")
    if not result.met:
        raise BudgetError(_missed(result, prepared, chosen.trial))
    return result


def _check(
    budget_ms: float | None, drop: float | None, quantize: str, seeds: int, minutes: float | None
) -> None:
    if (budget_ms is None) == (drop is None):
        raise UsageError("Give one of --budget-ms and --max-accuracy-drop.")
    if budget_ms is not None and not (math.isfinite(budget_ms) and budget_ms > 0):
        raise UsageError(f"--budget-ms must be above 0, not {budget_ms:g}.")
    if drop is not None and not 0 <= drop <= 100:
        raise UsageError(f"--max-accuracy-drop is 0 to 100 points, not {drop:g}.")
    if quantize not in ("none", "int8"):
        raise UsageError(f"--quantize {quantize} does not go with compress: choose none or int8.")
    if not 1 <= seeds <= 100:
        raise UsageError(f"--seeds is 1 to 100, not {seeds}.")
    if minutes is not None and not (math.isfinite(minutes) and minutes > 0):
        raise UsageError(f"--minutes must be above 0, not {minutes:g}.")


def _loaded(time_model: Any) -> Any:
    if not isinstance(time_model, (str, os.PathLike)):
        return time_model
    from timemodel.model import TimeModel

    return TimeModel.load(time_model)


def _goal(prepared: Prepared, budget_ms: float | None, drop: float | None) -> Goal:
    if budget_ms is None:
        return Goal(least_score=prepared.original.score - (drop or 0.0) / 100)
    if budget_ms >= prepared.original.predicted_ms:
        raise UsageError(
            f"{prepared.name} takes {prepared.original.predicted_ms:.4g} ms already (predicted), within the budget "
            f"of {budget_ms:g} ms: give a smaller one."
        )
    return Goal(budget_ms=budget_ms)


def _search(
    searcher: SearchMethod,
    prepared: Prepared,
    workspace: Workspace,
    goal: Goal,
    evaluator: Evaluator,
    seed: int,
    progress: ProgressCallback,
) -> list[Trial]:
    """Run the method; all trials, best first."""
    deadline = evaluator.deadline
    cost, budget = prepared.cost_of(goal)
    problem = SearchProblem(
        groups=prepared.graph.groups,
        importance=prepared.importance,
        cost=cost,
        budget=budget,
        costs=prepared.costs,
        evaluate=evaluator,
        goal=goal,
        original=prepared.original,
        seed=seed,
        deadline=deadline,
        folder=workspace.folder,
        known=workspace.trials(),
        context=prepared,
    )
    started = time.monotonic()

    def finished(trial: Trial) -> None:
        workspace.add_trial(trial)
        if problem.best()[0] is trial:
            save_model(evaluator.last, workspace.path("best_so_far.keras"))
        spent = time.monotonic() - started
        share = spent / (deadline - started) if math.isfinite(deadline) else 0.0
        share = max(share, _share_done(searcher, len(problem.trials)))
        progress(0.1 + 0.5 * min(1.0, share), _told(problem))

    problem.on_trial, problem.on_adopted = finished, workspace.add_trial
    evaluator.on_epoch = lambda epoch, epochs, score: problem.on_epoch(epoch, epochs, score)
    progress(0.1, "searching")
    return searcher.run(problem)


def _share_done(searcher: SearchMethod, tried: int) -> float:
    wanted = getattr(searcher, "trials", None)
    return tried / wanted if wanted else 1 - 0.85**tried


def _told(problem: SearchProblem) -> str:
    best = problem.best()[0]
    return (
        f"{len(problem.trials)} candidates, best {best.predicted_ms:.4g} ms with "
        f"{best.score:.4g} (original {problem.original.predicted_ms:.4g} ms, {problem.original.score:.4g})"
    )


def _missed(result: CompressionResult, prepared: Prepared, trial: Trial) -> str:
    where = f"it is saved in {result.folder}"
    if result.budget_ms is not None:
        ratio = trial.predicted_ms / result.budget_ms
        over = f"{100 * (ratio - 1):.0f}% over" if ratio < 2 else f"{ratio:,.3g} times that"
        return (
            f"No network within {result.budget_ms:g} ms was found: the nearest takes {trial.predicted_ms:.4g} ms "
            f"(predicted, {over}) and has {result.after.mean_score:.1%} {result.score_name}; {where}."
        )
    lost = 100 * (prepared.original.score - (result.after.validation_score or 0.0))
    return (
        f"No faster network within {result.max_accuracy_drop:g} points was found: the nearest loses {lost:.2f} points "
        f"on validation rows at {trial.predicted_ms:.4g} ms (predicted); {where}."
    )
