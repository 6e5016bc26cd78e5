"""Long runs in stages: what is finished is kept in a folder and skipped the next time."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from profiler.errors import EdgetimeError
from profiler.files import check_writable, write_json
from profiler.values import read_json

RECORD = "stages.json"


class Stages:
    """The finished stages of one run, kept in ``stages.json`` of its folder, which is made where it is missing.

    A stage counts as finished while its settings, the settings and results of all stages before it, and its
    output files are as they were; so changing a setting runs that stage and everything after it again.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EdgetimeError(
                f"Cannot make the folder {self.folder} ({error.strerror or error}): choose a place that you may "
                "write to."
            ) from error
        check_writable(self.folder / RECORD)
        self._record = _read(self.folder / RECORD)
        self._before = ""

    def run(
        self,
        name: str,
        settings: Mapping[str, Any],
        outputs: Sequence[str],
        work: Callable[[], None],
        scratch: Sequence[str] = (),
    ) -> bool:
        """Do `work`, which writes the files `outputs` in the folder, unless that stage is finished; returns whether it did.

        An output may be a pattern (``c*.keras``) where the outcome decides the name.
        `settings` are plain JSON values that decide the outcome. `work` may go on with the files and folders `scratch` that an
        interrupted call of it left; they are removed where they come from other settings.
        """
        key = _digest({"name": name, "settings": dict(settings), "before": self._before})
        kept = self._record.get(name, {})
        finished = (
            kept.get("key") == key and bool(kept.get("files")) and kept["files"] == self._sizes(outputs)
        )
        if not finished:
            if kept.get("key") != key:
                self._remove(scratch)
            # The stage is begun, not finished: a crash from here on leaves it so.
            self._keep(name, {"key": key, "files": {}})
            work()
            self._keep(name, {"key": key, "files": self._sizes(outputs)})
        self._before = _digest({"key": key, "files": self._record[name]["files"]})
        return not finished

    def _keep(self, name: str, state: dict[str, Any]) -> None:
        self._record[name] = state
        write_json(self.folder / RECORD, self._record)

    def _remove(self, names: Sequence[str]) -> None:
        for path in (self.folder / name for name in names):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    def _sizes(self, outputs: Sequence[str]) -> dict[str, list[int]]:
        """Size and time of change of each output; nothing where one does not exist."""
        sizes = {}
        for output in outputs:
            files = sorted(self.folder.glob(output))
            if not files:
                return {}
            for file in files:
                state = file.stat()
                sizes[str(file.relative_to(self.folder))] = [state.st_size, state.st_mtime_ns]
        return sizes


def _read(path: Path) -> dict[str, Any]:
    """The record, or an empty one where it is missing or damaged: then everything is done again."""
    try:
        record = read_json(path)
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) and all(isinstance(v, dict) for v in record.values()) else {}


def _digest(value: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
