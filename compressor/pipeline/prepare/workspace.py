"""The folder of one compression: what was asked, what was tried, what is finished. Killing it loses no trial."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from compressor.data import Data, StoredRows, named
from compressor.export import load_keras, save_keras
from compressor.search import Candidate, Trial
from profiler import values
from profiler.errors import EdgetimeError, UsageError
from profiler.files import clear_unfinished, write_json
from profiler.records import Records
from profiler.tradeoff import pareto_front

_RUN, _TRIALS, _SEEDS = "run.json", "trials.jsonl", "seeds.jsonl"

FOLDER = "trained"
"""Of candidates' networks as the search left them, in its folder: full fine-tuning goes on from there."""

MOST = 64


class Workspace:
    """A folder that a search writes into and goes on from; it is made where it is missing.

    `request` is what decides the outcome, as plain JSON values: a folder of another request is not gone on with, nor one
    with earlier work without `resume`.
    """

    def __init__(self, folder: str | os.PathLike[str], request: Mapping[str, Any], resume: bool) -> None:
        self.folder = Path(folder)
        if self.folder.exists() and not self.folder.is_dir():
            raise UsageError(f"{self.folder} is a file: name a folder to write to.")
        earlier = read_json(self.folder / _RUN)
        plain = json.loads(json.dumps(request))
        if earlier is not None and not resume:
            raise UsageError(
                f"{self.folder} holds an earlier compression: go on with it by --resume, or name another folder."
            )
        if earlier is not None and earlier != plain:
            changed = sorted(key for key in {*earlier, *plain} if earlier.get(key) != plain.get(key))
            raise UsageError(
                f"{self.folder} was begun with another {', '.join(changed)}: "
                "give the same as then, or name another folder."
            )
        self._request = plain
        self._trials, self._seeds = Records(self.folder / _TRIALS), Records(self.folder / _SEEDS)

    def begin(self) -> None:
        """Make the folder, write down what was asked, and clear away what a run that was killed was writing."""
        clear_unfinished(self.folder, below=True)
        write_json(self.folder / _RUN, self._request)

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """Say in one sentence that the folder cannot be written to any more, and that nothing finished is lost."""
        try:
            yield
        except (OSError, RuntimeError, EdgetimeError) as error:
            cause = error.__cause__ if isinstance(error, EdgetimeError) else error
            reason = _disk_trouble(cause, self.folder)
            if reason is None:
                raise
            raise EdgetimeError(
                f"Cannot write to {self.folder} ({reason}): what was finished is kept; mend that and give the same "
                "command with --resume."
            ) from cause

    def path(self, *parts: str) -> Path:
        """A file in the folder; its parent is made."""
        path = self.folder.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def trials(self) -> list[Trial]:
        """The finished trials of an earlier run; what is no trial is left out."""
        found = []
        for value in self._trials.read():
            with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
                found.append(Trial.from_dict(value))
        return found

    def add_trial(self, trial: Trial) -> None:
        """Keep a finished trial, on disk before anything else happens."""
        self._trials.append(trial.to_dict())

    def finished_seeds(self) -> dict[str, dict[str, Any]]:
        """What `finish_seed` kept, by its keys."""
        return {row["seed"]: row["outcome"] for row in self._seeds.read()}

    def finish_seed(self, key: str, outcome: Mapping[str, Any]) -> None:
        """Keep that a fine-tuning is finished, and what it reached."""
        self._seeds.append({"seed": key, "outcome": dict(outcome)})

    def clear_checkpoints(self) -> None:
        """Remove what only unfinished work needs."""
        shutil.rmtree(self.folder / "checkpoints", ignore_errors=True)


_TROUBLE = {
    errno.ENOSPC: "no disk space left",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "files may not become larger",
    errno.EIO: "the disk failed",
    errno.EROFS: "it is read-only",
    errno.ENOENT: "it is no longer there",
    errno.ENOTDIR: "it is no longer a folder",
    errno.ESTALE: "it is no longer there",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
}


_ALSO_OF_OTHERS = (errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM)


def _disk_trouble(error: BaseException | None, folder: Path) -> str | None:
    """What is wrong with the disk that `folder` is on, if that is what an error is about.

    HDF5 wraps the operating system's error number into its text: ``… errno = 28, error message = …``.
    """
    if isinstance(error, OSError) and error.errno in _TROUBLE:
        ours = folder in Path(str(error.filename)).parents or Path(str(error.filename)) == folder
        return _TROUBLE[error.errno] if ours or error.errno not in _ALSO_OF_OTHERS else None
    if not isinstance(error, (OSError, RuntimeError)):
        return None
    found = re.search(r"errno = (\d+)", str(error))
    return _TROUBLE.get(int(found[1])) if found else None


def file_digest(path: str | os.PathLike[str]) -> str:
    """A short fingerprint of a file's content."""
    return _digest(Path(path).read_bytes())


def json_digest(value: Any) -> str:
    """A short fingerprint of JSON values."""
    return _digest(json.dumps(value, sort_keys=True).encode())


def data_digest(data: Data) -> str:
    """A short fingerprint of a data set's rows."""
    total = hashlib.sha256()
    for name in ("x", "y", "x_val", "y_val", "x_test", "y_test", "groups", "groups_val", "groups_test"):
        rows = getattr(data, name)
        for key, value in sorted(named(rows, name).items()) if rows is not None else ():
            total.update(f"{key}{value.shape}{value.dtype}".encode())
            for _, block in value.blocks() if isinstance(value, StoredRows) else [(0, value)]:
                total.update(np.ascontiguousarray(block).tobytes())
    return total.hexdigest()[:16]


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def read_json(path: Path) -> dict[str, Any] | None:
    """The values in a file; None where it is missing or damaged."""
    try:
        value = values.read_json(path)
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def keep_trained(folder: Path, trial: Trial, network: Any, trials: Sequence[Trial] = ()) -> None:
    """Keep the network of a trial after its short fine-tuning, unless that diverged.

    Of more than `MOST` networks of `trials` the one goes that has the lowest score among those that are not on the front.
    """
    if not math.isfinite(trial.score):
        return
    path = _path(folder, trial.candidate)
    save_keras(network, path)
    kept = [one for one in trials if _path(folder, one.candidate).exists()]
    if len(kept) > MOST:
        marks = pareto_front([one.predicted_ms for one in kept], [one.score for one in kept])
        beaten = [one for one, mark in zip(kept, marks, strict=True) if not mark]
        _path(folder, min(beaten or kept, key=lambda one: one.score).candidate).unlink(missing_ok=True)


def is_trained(folder: Path, candidate: Candidate) -> bool:
    """Whether the network of a candidate after its short fine-tuning is there."""
    return _path(folder, candidate).exists()


def trained_network(folder: Path, candidate: Candidate) -> Any:
    """The network of a candidate after its short fine-tuning; None where it is not there or cannot be read."""
    path = _path(folder, candidate)
    if path.exists():
        with contextlib.suppress(EdgetimeError):
            return load_keras(path)
    return None


def _path(folder: Path, candidate: Candidate) -> Path:
    return folder / FOLDER / f"{candidate.key}.keras"
