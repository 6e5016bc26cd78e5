"""`compress`: from a trained Keras model and a time model to a faster network, proven by running it."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from compressor.costs import narrowest
from compressor.data import Data, check_data, load_data
from compressor.export import check_target, load_keras, require, tensorflow
from compressor.pipeline.final import (
    POINTS,
    Finalist,
    FinalTraining,
    family_targets,
    in_proportion,
    train_points,
)
from compressor.pipeline.prepare import (
    SEARCHING,
    TRAINING,
    Evaluator,
    Limits,
    Prepared,
    TimeLimit,
    Workspace,
    budget_notes,
    check_goal,
    data_digest,
    file_digest,
    json_digest,
    prepare,
)
from compressor.pipeline.result import CompressionResult, Request, check_family, make_result
from compressor.pipeline.searching import search
from compressor.pipeline.shared import Sharing
from compressor.search import Candidate, Goal, SearchMethod, Trial
from compressor.training import Options
from profiler.devices import Target
from profiler.errors import BudgetError, EdgetimeError, UsageError
from profiler.locks import owned
from profiler.progress import ProgressCallback, silent, sub_progress
from timemodel.model import NetworkPredictor, TimeModel

_WINNER_SHARE = 0.8
"""Of the time for full fine-tuning; the rest is for the other points of the front."""


def compress(
    model: str | os.PathLike[str],
    data: Data | str | os.PathLike[str],
    time_model: NetworkPredictor | str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    budget_ms: float | None = None,
    max_accuracy_drop: float | None = None,
    max_size_kb: float | None = None,
    max_memory_kb: float | None = None,
    max_energy_mj: float | None = None,
    minimize: str | None = None,
    points: int = POINTS,
    family: int | None = None,
    method: str | SearchMethod | None = None,
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
    groups: str | None = None,
    options: Options | None = None,
    progress: ProgressCallback = silent,
    warn: Callable[[str], None] = lambda sentence: None,
) -> CompressionResult:
    """Make a network faster on a device by removing channels or blocks, and show by running it what that came to.

    The widths are searched by predicted time; the channels that matter least are removed for good; the
    network is fine-tuned with the original as its teacher, exported, run on the test rows and timed against
    the original.

    Parameters
    ----------
    model
        A ``.keras`` file: a Sequential or Functional network.
    data
        Training rows, and validation and test rows where there are any (else they are split off first: by
        `Data.groups`, or the same share of each class); or a file that `load_data` reads. The test rows are
        looked at once, when everything is decided.
    time_model
        A `timemodel.TimeModel` or its file.
    out
        The folder for everything that is made.
    budget_ms, max_accuracy_drop, max_size_kb, max_memory_kb, max_energy_mj, minimize
        What is wanted, in any combination: see `compressor.pipeline.prepare.Limits`. Without a limit on the loss of accuracy the
        best score within the other limits is looked for; with one the least time (or what `minimize` names).
    points
        Networks to train in full along the front of accuracy against time, the winner included.
    family
        In place of `points`: so many networks made for working together, the winner and ever faster ones, each with the original
        as its teacher; ``held_out.npz`` gets rows that none was trained on, for 'edgetime select --per-input'.
    method
        A name from `compressor.search.registry.METHODS`, or a method; default: `compressor.method_names.DEFAULT`.
    quantize
        ``none`` or ``int8``: what is exported, and what times are predicted for. ``auto``: the precision (float32, int8, dynamic,
        or a mix of them by operator) is searched together with the widths, and every file is judged by what it itself scores.
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
        Wall time for all of it; None for as long as it takes, always the same. Most of it is for training finalists, longer
        than their schedule where there is time. Where time is short fewer candidates, finalists and seeds are trained, and
        where even that would take too long they are trained for less than their schedule, one finalist at least.
    resume
        Go on with an interrupted run in `out`.
    measure
        Whether to measure at the end.
    steer
        What stands for time in the search: ``time`` as predicted; or in its place ``flops``, to see what knowing the
        time is worth, or ``measured``: each candidate is run on the target, seconds each. The budget is of that.
    storage
        URL of a database for the study, so that other machines can take part (`compressor.pipeline.shared.join`); default: an
        SQLite file in `out`. Methods: ``optuna``.
    workers
        Processes on this machine that take part, this one included.
    trials
        Candidates that are looked at; default: the method's own number.
    groups
        The array of the data file that says which rows belong together; default: ``groups``.
    warn
        Called with a sentence where it is seen, while the work goes on, that `minutes` are short.

    Returns
    -------
    CompressionResult
        Also written as ``result.json`` in `out`.

    Raises
    ------
    BudgetError
        The goal cannot be reached, which is said before any training; or it was not reached: then the nearest network
        is saved as ``closest.keras`` and ``closest.tflite``, and the message says by how much it misses.
    EdgetimeError
        Another process works on `out`.
    UsageError, DataError, ModelFileError
        What was given cannot be used; one sentence says why.
    """
    options = options or Options()
    started = time.monotonic()
    limits = Limits(budget_ms, max_accuracy_drop, max_size_kb, max_memory_kb, max_energy_mj, minimize)
    limits.check()
    _check(quantize, points, seeds, minutes)
    if family is not None:
        check_family(family)
        points = family
    limit = TimeLimit(started, minutes, warn)
    require("optuna")
    sharing = Sharing(storage, workers, trials)
    searcher = sharing.method(method, steer)
    progress(0.0, "loading")
    sharing.limit_threads(tensorflow())
    rows = check_data(data) if isinstance(data, Data) else load_data(data, groups)
    files = {"model": model, "data": data, "time_model": time_model, "calibration": calibration}
    if isinstance(time_model, (str, os.PathLike)):
        time_model = TimeModel.load(time_model)
    if measure:
        check_target(time_model.setting(setting), target)
    if not Path(model).exists():
        load_keras(model)  # says what is wrong
    request = {
        "model": file_digest(model),
        "data": data_digest(rows),
        "time_model": json_digest(time_model.to_dict()) if hasattr(time_model, "to_dict") else None,
        **limits.asked(),
        "method": searcher.name,
        "quantize": quantize,
        "importance": importance,
        "steer": steer,
        "seed": seed,
        "setting": setting,
        "groups": groups,
        "options": options.to_dict(),
    }
    with owned(out, "-o"):
        workspace = Workspace(out, request, resume)
        prepared = prepare(model, rows, time_model, quantize, calibration, setting, importance, seed, options,
                           lambda done, note: progress(0.1 * done, note), steer, target,
                           workspace.folder / "measured.jsonl", max_accuracy_drop)  # fmt: skip
        if not searcher.removes_blocks:
            prepared = replace(prepared, refused=())
        limit.prepared()
        goal = limits.goal(prepared.original)
        check_goal(prepared, goal, steer, searcher.removes_blocks)
        with workspace.kept():
            workspace.begin()
            evaluator = Evaluator(prepared, options.search, seed, workspace.folder)
            evaluator.deadline = limit.at(searcher.share_of_time)
            evaluator.judges_first = not workspace.trials()
            compares = searcher.compares * (1 if goal.least_score is None else 2)
            evaluator.compares = min(compares, getattr(searcher, "trials", None) or compares)
            evaluator.on_shortened = limit.short_for_candidates
            searched = goal.relaxed(prepared.tolerance)
            with (
                sharing.searching(searcher, workspace.folder, files, request, searched) as shared,
                evaluator.effort.during(SEARCHING),
            ):
                best, control = search(
                    shared, prepared, workspace, searched, evaluator, seed, steer, progress
                )
            prepared = replace(prepared, notes=(*prepared.notes, *sharing.notes))
            if not best:
                raise EdgetimeError(f"--method {searcher.name} tried no network: choose another one.")
            training = FinalTraining(
                prepared,
                workspace,
                goal,
                options,
                seed,
                seeds,
                evaluator.epoch_seconds,
                steer,
                evaluator.searched_of(options.final),
            )
            with evaluator.effort.during(TRAINING):
                trained = _train(
                    training, prepared, goal, best, points, limit.training_end(),
                    sub_progress(progress, 0.6, 0.9),
                    partial(in_proportion, prepared, on_edges=searcher.on_edges), control, family is not None,
                )  # fmt: skip
            if prepared.precisions is not None and family is None:
                trained += training.others(trained)
            notes = (
                *training.notes,
                *limit.notes(evaluator.share, training.shortest),
                *budget_notes(goal, trained[0].trial, steer),
            )
            prepared = replace(prepared, notes=(*prepared.notes, *notes))
            wanted = Request(
                limits,
                goal,
                searcher.name,
                seed,
                target,
                measure,
                started,
                limit.at(1.0),
                minutes,
                steer,
                family is not None,
                evaluator.spent(workspace.finished_seeds(), minutes, best),
                options.final,
            )
            result = make_result(prepared, workspace, trained, best, wanted, sub_progress(progress, 0.9, 1.0))
            result.save()
            workspace.clear_checkpoints()
            progress(1.0, "done")
        if not result.met:
            raise BudgetError(f"{result.missed}; it is saved in {result.folder} as {result.after.tflite}.")
    return result


def _train(
    training: FinalTraining,
    prepared: Prepared,
    goal: Goal,
    trials: list[Trial],
    points: int,
    deadline: float,
    progress: ProgressCallback,
    alike: Callable[..., Trial | None],
    control: Candidate | None = None,
    family: bool = False,
) -> list[Finalist]:
    """The winner with all seeds, then the other points of the front, or of the family."""
    now = time.monotonic()
    share = _WINNER_SHARE if points > 1 else 1.0
    winner_end = now + share * (deadline - now) if math.isfinite(deadline) else math.inf
    by_goal = partial(alike, by=prepared.single_costs(goal)[goal.cost_name])
    winner = training.run(trials, winner_end, sub_progress(progress, 0.0, share), by_goal, control)
    rest = sub_progress(progress, share, 1.0)
    if not family:
        return train_points(prepared, training, trials, winner, points, deadline, rest, alike)
    least_ms = prepared.times.exact(narrowest(prepared.original.configuration))

    def aims(winner_ms: float, original_ms: float, count: int) -> list[float]:
        return family_targets(winner_ms, least_ms, count)

    return train_points(prepared, training, trials, winner, points, deadline, rest, alike, aims)


def _check(quantize: str, points: int, seeds: int, minutes: float | None) -> None:
    for name, count in (("points", points), ("seeds", seeds)):
        if not 1 <= count <= 100:
            raise UsageError(f"--{name} is 1 to 100, not {count}.")
    if quantize not in ("none", "int8", "auto"):
        raise UsageError(f"--quantize {quantize} does not go with compress: choose none, int8 or auto.")
    if minutes is not None and not (math.isfinite(minutes) and minutes > 0):
        raise UsageError(f"--minutes must be above 0, not {minutes:g}.")
