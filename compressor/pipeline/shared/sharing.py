"""A search that several processes and machines take part in: what is written down for those who join."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from compressor.method_names import DEFAULT, SHARED_DEFAULT
from compressor.pipeline.prepare import file_digest, read_json
from compressor.pipeline.shared.workers import Workers, cores, thread_limits
from compressor.search import Goal, SearchMethod, get_method
from compressor.training import check_least
from profiler.errors import UsageError
from profiler.files import write_json

STUDY = "study.json"
"""In the folder of a search: what it is about, and where its study and its files are."""

FORMAT = 2
"""Of what `Sharing.searching` writes down; raised with every change of it. A search of another one is not joined."""

STORAGE = "EDGETIME_STORAGE"
"""The environment variable for a storage's URL with its password, which is never written down."""

FILES = ("model", "data", "time_model", "calibration")

_PREPARE = ("quantize", "setting", "importance", "seed", "steer", "options", "groups", "max_accuracy_drop")
_METHOD = ("trials", "proxy_trials", "tries", "options", "beat_s", "grace_s")
_MOST_WORKERS = 256


@dataclass
class Sharing:
    """How a search is shared: among `workers` processes here, this one included, and by a storage with other machines."""

    storage: str | None = None
    workers: int = 1
    trials: int | None = None
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not 1 <= self.workers <= _MOST_WORKERS:
            raise UsageError(f"--workers is 1 to {_MOST_WORKERS}, not {self.workers}.")
        if self.trials is not None:
            check_least("--trials", self.trials)

    def method(self, method: str | SearchMethod | None, steer: str = "time") -> SearchMethod:
        """The method (None: the default), with what was asked of it; refused where it cannot be shared, or counts no trials."""
        if method is None:
            shared = self.storage is not None or self.workers > 1
            method = SHARED_DEFAULT if shared else DEFAULT
        found = get_method(method) if isinstance(method, str) else method
        counts = hasattr(found, "trials")
        if counts and self.trials is not None:
            found.trials = self.trials  # type: ignore[attr-defined]
        asked = {"--storage": self.storage, "--trials": None if counts else self.trials}
        named = [name for name, value in asked.items() if value is not None]
        named += ["--workers"] * (self.workers > 1)
        if found.name == "optuna":
            from compressor.search.optuna import checked_url, reading

            if self.storage is not None:
                self.storage = checked_url(self.storage)
                with reading(self.storage, None):
                    pass  # says at once where that cannot be
        elif named:
            goes = "go" if len(named) > 1 else "goes"
            methods = "optuna or structure" if named == ["--trials"] else "optuna"
            raise UsageError(f"{' and '.join(named)} {goes} with --method {methods}, not with {found.name}.")
        if steer == "measured" and (self.workers > 1 or self.storage is not None):
            raise UsageError(
                "--steer measured goes with one process: several that measure at once disturb each other."
            )
        return found

    def limit_threads(self, tensorflow: Any) -> None:
        """Let this process's TensorFlow use its share of the cores, where it has not begun to compute yet."""
        if self.workers > 1:
            with contextlib.suppress(RuntimeError):
                tensorflow.config.threading.set_intra_op_parallelism_threads(max(1, cores() // self.workers))
                tensorflow.config.threading.set_inter_op_parallelism_threads(1)

    @contextlib.contextmanager
    def searching(
        self,
        method: SearchMethod,
        folder: Path,
        files: Mapping[str, Any],
        request: Mapping[str, Any],
        goal: Goal,
    ) -> Iterator[SearchMethod]:
        """Write down what is searched and start the workers; at the end they are stopped.

        `files` are paths by the names in `FILES`, or objects, which no other process can read; `request` is what decides the
        outcome: the digests of the files, and the arguments of `prepare` beyond those.
        """
        if method.name != "optuna":
            yield method
            return
        from compressor.search.optuna import OptunaSearch, reading, without_password

        assert isinstance(method, OptunaSearch)
        paths = {name: _absolute(files.get(name)) for name in FILES}
        unnamed = [name for name in FILES if paths[name] is None and files.get(name) is not None]
        if self.workers > 1 and unnamed:
            raise UsageError(
                f"With workers the {' and the '.join(unnamed)} must be a file that they can read."
            )
        calibration = paths["calibration"]
        shown = None if self.storage is None else without_password(self.storage)
        earlier = read_json(folder / STUDY) or {}
        same_place = earlier.get("storage") == shown
        about = {
            "format": FORMAT,
            "digests": {
                **{name: request[name] for name in FILES[:3]},
                "calibration": None if calibration is None else file_digest(calibration),
            },
            "prepare": {name: request.get(name) for name in _PREPARE},
            "goal": asdict(goal),
            "method": {name: getattr(method, name) for name in _METHOD},
        }
        study = f"edgetime-{uuid.uuid4().hex[:12]}"
        if same_place and "study" in earlier:
            study = earlier["study"]
        shared = replace(method, storage=self.storage, study=study, about=about)
        if self.storage is None:
            with reading(None, folder):
                pass  # makes the file once, before several processes look for it at the same time
        write_json(folder / STUDY, {"study": study, "storage": shown, "files": paths, **about})
        secret = {} if self.storage is None else {STORAGE: self.storage}
        limits = thread_limits(self.workers) if self.workers > 1 else {}
        with Workers(folder, self.workers - 1, {**limits, **secret}) as workers:
            try:
                yield shared
            finally:
                self.notes += workers.lost()


def _absolute(value: Any) -> str | None:
    return os.path.abspath(value) if isinstance(value, (str, os.PathLike)) else None
