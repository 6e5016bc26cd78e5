"""Where a search is that another process has begun, what it is about, and whether it can be joined."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna

from compressor.data import load_data
from compressor.pipeline.prepare import data_digest, file_digest, json_digest, read_json
from compressor.pipeline.shared.sharing import FILES, FORMAT, STORAGE, STUDY
from compressor.search.optuna import (
    ABOUT,
    DATABASE,
    OVER,
    checked_url,
    reading,
    shown_url,
    with_password,
    without_password,
)
from profiler.errors import UsageError
from timemodel.model import TimeModel

_WORDS = {"model": "network", "data": "data", "time_model": "time model", "calibration": "calibration data"}
_OPTIONS = {
    "model": "NET.keras",
    "data": "--data",
    "time_model": "--time-model",
    "calibration": "--calibration",
}


@dataclass(frozen=True)
class StudySpecification:
    """Where a search is (`where`: for messages, without a password), and what `Sharing.searching` wrote down of it."""

    where: str
    url: str | None
    folder: Path | None
    study: str
    about: Mapping[str, Any]
    files: Mapping[str, str | None]


def from_folder(folder: Path, storage: str | None = None) -> StudySpecification:
    """What ``study.json`` in a folder says; the password is that of `storage`, else of the environment."""
    found = read_json(folder / STUDY)
    if found is None:
        raise UsageError(
            f"There is no search to join in {folder} ({STUDY} is missing): name the folder of a running "
            "'edgetime compress --method optuna', once it searches, or the URL of its storage."
        )
    _check_format(found, str(folder))
    url = found["storage"]
    if storage is not None:
        if url is None:
            raise UsageError(
                f"The search in {folder} has no storage but that folder: leave --storage {shown_url(storage)} out."
            )
        named = without_password(checked_url(storage))
        if named != url:
            raise UsageError(
                f"The search in {folder} has its study in {url}, not in {named}: leave --storage out, or name the URL "
                "in place of the folder."
            )
    secret = storage or os.environ.get(STORAGE) or None
    if url is not None:
        url = with_password(url, None if secret is None else checked_url(secret))
    return StudySpecification(str(folder), url, folder, found["study"], found, found["files"])


def check_going(specification: StudySpecification) -> None:
    """Refuse the search in a folder that is over; one whose study is not made yet is about to begin."""
    url, folder = specification.url, specification.folder
    assert folder is not None
    if url is None and not (folder / DATABASE).exists():
        return
    with reading(url, folder) as storage:
        try:
            about = storage.get_study_user_attrs(storage.get_study_id_from_name(specification.study))
        except KeyError:
            about = {}
    if about.get(OVER):
        raise UsageError(
            f"The search in {folder} is over: there is nothing left to join; to go on with it, give the command "
            "that began it with --resume."
        )


def check_steer(specification: StudySpecification) -> None:
    """Refuse a search that measures its candidates."""
    if specification.about["prepare"]["steer"] == "measured":
        raise UsageError(
            f"The search in {specification.where} measures its candidates (--steer measured), which goes with one "
            "process: several that measure at once disturb each other."
        )


def from_storage(url: str, given: Mapping[str, str | None]) -> StudySpecification:
    """The search in a storage that is about the given files: all but the calibration are needed."""
    missing = [_OPTIONS[name] for name in FILES[:3] if given[name] is None]
    if missing:
        raise UsageError(
            f"To join by a URL, name the same files as where the search was begun: {', '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} missing."
        )
    for name, path in given.items():
        if path is not None:
            _check_there(name, path, given=True)
    url = checked_url(url)
    shown = shown_url(url)
    with reading(url, None) as storage:
        found = [one for one in optuna.get_all_study_summaries(storage) if ABOUT in one.user_attrs]
    going = [one for one in found if not one.user_attrs.get(OVER)]
    if not going:
        ended = " (those that were are over)" if found else ""
        raise UsageError(
            f"No search is going on in {shown}{ended}: begin one by edgetime compress --storage."
        )
    for one in reversed(going):
        about = one.user_attrs[ABOUT]
        _check_format(about, shown)
        specification = StudySpecification(shown, url, None, one.study_name, about, {})
        if len(going) == 1 or not _differing(about, given):
            return specification
    raise UsageError(
        f"None of the {len(going)} searches in {shown} is about these files: name those that it was begun with."
    )


def _check_format(about: Mapping[str, Any], where: str) -> None:
    if about.get("format") != FORMAT:
        raise UsageError(
            f"The search in {where} was begun by another version of edgetime: use the same one here."
        )


def file_of(specification: StudySpecification, name: str, given: str | None) -> str | None:
    """The path of one of the files: the given one, else that where the search was begun; None where it has none."""
    path = given or specification.files.get(name)
    if path is None and specification.about["digests"].get(name) is None:
        return None
    if path is None:
        raise UsageError(
            f"The search in {specification.where} does not say where its {_WORDS[name]} is: name it ({_OPTIONS[name]})."
        )
    _check_there(name, path, given is not None)
    return path


def _check_there(name: str, path: str, given: bool) -> None:
    if not Path(path).exists():
        mend = "check the name" if given else f"name where it is on this machine ({_OPTIONS[name]})"
        raise UsageError(f"The {_WORDS[name]} {path} is not there: {mend}.")


def _digest(name: str, path: str, groups: str | None) -> str:
    if name == "data":
        return data_digest(load_data(path, groups))
    if name == "time_model":
        return json_digest(TimeModel.load(path).to_dict())
    return file_digest(path)


def _differing(about: Mapping[str, Any], given: Mapping[str, str | None]) -> list[str]:
    digests, groups = about["digests"], about["prepare"]["groups"]
    return [
        name
        for name, path in given.items()
        if path is not None and _digest(name, path, groups) != digests[name]
    ]


def checked_files(specification: StudySpecification, paths: Mapping[str, str | None]) -> tuple[Any, Any]:
    """The rows and the time model, once every file is known to have the same content as there."""
    differing = _differing(specification.about, paths)
    if differing:
        name = differing[0]
        raise UsageError(
            f"{paths[name]} is not the {_WORDS[name]} that the search in {specification.where} is about (its content "
            "differs): name the same file as there."
        )
    groups = specification.about["prepare"]["groups"]
    return load_data(str(paths["data"]), groups), TimeModel.load(str(paths["time_model"]))
