"""Taking part in a search that another process or machine has begun."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compressor.data import load_data
from compressor.export_quiet import require, tensorflow
from compressor.methods.base import Goal, SearchProblem, Trial
from compressor.methods.optuna_storage import checked_url, open_storage, shown_url, telling, with_password
from compressor.methods.optuna_study import ABOUT
from compressor.options import Options
from compressor.preparation import prepare
from compressor.sharing import FILES, STORAGE, STUDY
from compressor.workers import end_with_parent
from compressor.workspace import data_digest, file_digest, json_digest, read_json
from profiler.errors import EdgetimeError, UsageError
from profiler.progress import ProgressCallback, silent

_WORDS = {"model": "network", "data": "data", "time_model": "time model", "calibration": "calibration data"}
_OPTIONS = {
    "model": "NET.keras",
    "data": "--data",
    "time_model": "--time-model",
    "calibration": "--calibration",
}


@dataclass(frozen=True)
class Joined:
    """What a process did for a search.

    Attributes
    ----------
    study
        Its name.
    tried
        Candidates that this process trained to the end.
    trials
        Candidates that are finished in all.
    """

    study: str
    tried: int
    trials: int

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {"study": self.study, "tried": self.tried, "trials": self.trials}


@dataclass(frozen=True)
class _Invitation:
    """Where a search is, and what it is about."""

    where: str
    url: str | None
    folder: Path | None
    study: str
    about: Mapping[str, Any]
    files: Mapping[str, str | None]


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
    """Help with a search until it is over: train candidates, and tell what came of them.

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

    Raises
    ------
    UsageError
        There is no such search, or a file is missing or another one.
    StorageError
        The storage cannot be reached, or went away.
    """
    require("optuna")
    started = time.monotonic()
    if minutes is not None and not (math.isfinite(minutes) and minutes > 0):
        raise UsageError(f"--minutes must be above 0, not {minutes:g}.")
    files = {"model": model, "data": data, "time_model": time_model, "calibration": calibration}
    given = {name: None if path is None else os.path.abspath(path) for name, path in files.items()}
    if "://" in str(where):
        invitation = _from_storage(str(where), given)
    else:
        invitation = _from_folder(Path(where), storage or os.environ.get(STORAGE))
    progress(0.0, "loading")
    paths = {name: _file(invitation, name, given[name]) for name in FILES}
    tensorflow()
    rows, device = _checked(invitation, paths)
    settings = invitation.about["prepare"]
    prepared = prepare(
        str(paths["model"]), rows, device, settings["quantize"], paths["calibration"], settings["setting"],
        settings["importance"], settings["seed"], Options.from_dict(settings["options"]),
        lambda done, note: progress(0.1 * done, note), settings["steer"],
    )  # fmt: skip
    goal = Goal(**invitation.about["goal"])
    cost, budget = prepared.cost_of(goal)
    evaluator = prepared.evaluator(
        Options.from_dict(settings["options"]).search, settings["seed"], invitation.folder
    )
    evaluator.deadline = started + 60 * minutes if minutes else math.inf
    wanted = int(invitation.about["method"]["trials"])
    mine: list[Trial] = []
    problem = SearchProblem(
        groups=prepared.graph.groups,
        importance=prepared.importance,
        cost=cost,
        budget=budget,
        costs=prepared.costs,
        evaluate=evaluator,
        goal=goal,
        original=prepared.original,
        # Processes that guess at random should not all guess the same.
        seed=settings["seed"] + 1 + os.getpid() % 100_000,
        deadline=evaluator.deadline,
        folder=invitation.folder,
        context=prepared,
    )
    evaluator.on_epoch = lambda epoch, epochs, score: problem.on_epoch(epoch, epochs, score)

    def finished(trial: Trial) -> None:
        mine.append(trial)
        progress(0.1 + 0.9 * min(1.0, len(problem.trials) / wanted), f"{len(mine)} candidates tried here")

    problem.on_trial = finished
    from compressor.methods.optuna_search import OptunaSearch

    progress(0.1, "searching")
    OptunaSearch(
        **invitation.about["method"], storage=invitation.url, study=invitation.study, leads=False
    ).run(problem)
    progress(1.0, "done")
    return Joined(invitation.study, len(mine), len(problem.trials))


def _from_folder(folder: Path, given_url: str | None) -> _Invitation:
    found = read_json(folder / STUDY)
    if found is None:
        raise UsageError(
            f"There is no search to join in {folder} ({STUDY} is missing): name the folder of a running "
            "'edgetime compress --method optuna', once it searches, or the URL of its storage."
        )
    _check_format(found, str(folder))
    url = found["storage"]
    if url is not None:
        url = with_password(url, None if given_url is None else checked_url(given_url))
    return _Invitation(str(folder), url, folder, found["study"], found, found["files"])


def _from_storage(url: str, given: Mapping[str, str | None]) -> _Invitation:
    import optuna

    missing = [_OPTIONS[name] for name in FILES[:3] if given[name] is None]
    if missing:
        raise UsageError(
            f"To join by a URL, name the same files as where the search was begun: {', '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} missing."
        )
    url = checked_url(url)
    shown = shown_url(url)
    opened = open_storage(url, None)
    with telling(url, "cannot be read"):
        found = [one for one in optuna.get_all_study_summaries(opened) if ABOUT in one.user_attrs]
        opened.remove_session()
        opened.engine.dispose()
    going = [one for one in found if not one.user_attrs.get("over")]
    if not going:
        ended = " (those that were are over)" if found else ""
        raise UsageError(
            f"No search is going on in {shown}{ended}: begin one by edgetime compress --storage."
        )
    for one in reversed(going):
        about = one.user_attrs[ABOUT]
        _check_format(about, shown)
        invitation = _Invitation(shown, url, None, one.study_name, about, {})
        if len(going) == 1 or not _differing(about["digests"], given):
            return invitation
    raise UsageError(
        f"None of the {len(going)} searches in {shown} is about these files: name those that it was begun with."
    )


def _check_format(about: Mapping[str, Any], where: str) -> None:
    if about.get("format") != 1:
        raise UsageError(
            f"The search in {where} was begun by another version of edgetime: use the same one here."
        )


def _file(invitation: _Invitation, name: str, given: str | None) -> str | None:
    path = given or invitation.files.get(name)
    if path is None and invitation.about["digests"].get(name) is None:
        return None
    if path is None:
        raise UsageError(
            f"The search in {invitation.where} does not say where its {_WORDS[name]} is: name it ({_OPTIONS[name]})."
        )
    if not Path(path).exists():
        hint = "" if given else f": name where it is on this machine ({_OPTIONS[name]})"
        raise UsageError(f"The {_WORDS[name]} {path} is not there{hint or ': check the name'}.")
    return path


def _digest(name: str, path: str) -> str:
    if name == "data":
        return data_digest(load_data(path))
    if name == "time_model":
        from timemodel.model import TimeModel

        return json_digest(TimeModel.load(path).to_dict())
    return file_digest(path)


def _differing(digests: Mapping[str, Any], given: Mapping[str, str | None]) -> list[str]:
    return [name for name, path in given.items() if path is not None and _digest(name, path) != digests[name]]


def _checked(invitation: _Invitation, paths: Mapping[str, str | None]) -> tuple[Any, Any]:
    """The rows and the time model, once every file is known to be the same as there."""
    from timemodel.model import TimeModel

    differing = _differing(invitation.about["digests"], paths)
    if differing:
        name = differing[0]
        raise UsageError(
            f"{paths[name]} is not the {_WORDS[name]} that the search in {invitation.where} is about (its content "
            "differs): name the same file as there."
        )
    return load_data(str(paths["data"])), TimeModel.load(str(paths["time_model"]))


def main(folder: str) -> int:
    """What a worker process runs: help with the search in a folder; its exit status."""
    end_with_parent()
    try:
        join(folder)
    except KeyboardInterrupt:
        return 0
    except EdgetimeError as error:
        print(f"edgetime: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
