"""Taking part in a search that another process or machine has begun."""

from __future__ import annotations

import contextlib
import math
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from compressor.export import require, tensorflow
from compressor.pipeline.prepare import Evaluator, keep_trained, prepare, search_problem
from compressor.pipeline.shared.sharing import FILES
from compressor.pipeline.shared.workers import end_with_parent
from compressor.search import Effort, Goal, Trial
from compressor.training import Options
from profiler.errors import EdgetimeError, UsageError
from profiler.progress import ProgressCallback, silent

if TYPE_CHECKING:
    from compressor.pipeline.shared.specification import StudySpecification


@dataclass(frozen=True)
class Joined:
    """What a process did for a search: candidates that it trained to the end, and those that are finished in all."""

    study: str
    tried: int
    trials: int


def join(
    where: str | os.PathLike[str],
    *,
    model: str | os.PathLike[str] | None = None,
    data: str | os.PathLike[str] | None = None,
    time_model: str | os.PathLike[str] | None = None,
    calibration: str | os.PathLike[str] | None = None,
    storage: str | None = None,
    minutes: float | None = None,
    progress: ProgressCallback = silent,
) -> Joined:
    """Help with a search until it is over: train candidates, and report what came of them.

    Parameters
    ----------
    where
        The folder of the search, where all that is needed is written; or the URL of its storage: then the same
        files must be named as where it was begun.
    model, data, time_model, calibration
        The files, where they are not (or not at the same place) on this machine.
    storage
        The URL of a folder's storage with its password, where it needs one.
    minutes
        Help no longer than that.
    """
    require("optuna")
    from compressor.pipeline.shared.specification import check_going, from_folder, from_storage

    started = time.monotonic()
    if minutes is not None and not (math.isfinite(minutes) and minutes > 0):
        raise UsageError(f"--minutes must be above 0, not {minutes:g}.")
    files = {"model": model, "data": data, "time_model": time_model, "calibration": calibration}
    given = {name: None if path is None else os.path.abspath(path) for name, path in files.items()}
    if "://" in str(where):
        if storage is not None:
            raise UsageError("--storage goes with the folder of a search, not with a URL: leave it out.")
        specification = from_storage(str(where), given)
    else:
        specification = from_folder(Path(where), storage)
        check_going(specification)
    return _take_part(specification, given, started, minutes, progress)


def _take_part(
    specification: StudySpecification,
    given: Mapping[str, str | None],
    started: float,
    minutes: float | None,
    progress: ProgressCallback,
) -> Joined:
    """Help with a search until it is over, or until `minutes` after `started`."""
    from compressor.pipeline.shared.specification import check_steer, checked_files, file_of
    from compressor.search.optuna import OptunaSearch

    check_steer(specification)
    progress(0.0, "loading")
    paths = {name: file_of(specification, name, given[name]) for name in FILES}
    tensorflow()
    rows, device = checked_files(specification, paths)
    settings = specification.about["prepare"]
    options = Options.from_dict(settings["options"])
    prepared = prepare(
        str(paths["model"]), rows, device, settings["quantize"], paths["calibration"], settings["setting"],
        settings["importance"], settings["seed"], options,
        lambda done, note: progress(0.1 * done, note), settings["steer"],
        max_accuracy_drop=settings["max_accuracy_drop"],
    )  # fmt: skip
    goal = Goal(**specification.about["goal"])
    effort = Effort.of_helper(specification.folder)
    evaluator = Evaluator(prepared, options.search, settings["seed"], specification.folder, effort)
    evaluator.deadline = started + 60 * minutes if minutes else math.inf
    evaluator.judges_first = False  # what is not done here is left to the others
    wanted = int(specification.about["method"]["trials"])
    mine: list[Trial] = []
    # Processes that guess at random should not all guess the same.
    seed = settings["seed"] + 1 + os.getpid() % 100_000
    problem = search_problem(prepared, goal, evaluator, seed, specification.folder)

    def finished(trial: Trial) -> None:
        if specification.folder is not None:
            # Who may only read the folder helps all the same.
            with contextlib.suppress(EdgetimeError, OSError):
                keep_trained(specification.folder, trial, evaluator.last)
        mine.append(trial)
        progress(0.1 + 0.9 * min(1.0, len(problem.trials) / wanted), f"{len(mine)} candidates tried here")

    problem.on_trial = finished
    progress(0.1, "searching")
    OptunaSearch(
        **specification.about["method"], storage=specification.url, study=specification.study, leads=False
    ).run(problem)
    progress(1.0, "done")
    return Joined(specification.study, len(mine), len(problem.trials))


def main(folder: str) -> int:
    """What a worker process runs: help with the search in a folder; its exit status."""
    from compressor.pipeline.shared.specification import from_folder

    end_with_parent()
    try:
        # Not `join`: that the search has ended meanwhile is no failure of a worker.
        _take_part(from_folder(Path(folder)), dict.fromkeys(FILES), time.monotonic(), None, silent)
    except KeyboardInterrupt:
        return 0
    except EdgetimeError as error:
        print(f"edgetime: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
