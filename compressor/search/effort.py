"""What a search spends its time on."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from profiler.errors import EdgetimeError
from profiler.records import Records

PHASES = ("looking", "ranking", "fine-tuning", "finalists")
"""Of a compression: looking at blocks, ranking candidates that are not trained, short fine-tuning, full training."""


HELPERS = "effort"
"""In the folder of a search: a file of each process that helps with it, since one process at a time may write to a file."""


class Effort:
    """Rows of what was done: ``phase``, ``seconds``, and what it was; kept in a file, where one is named.

    A file that is not `needed` begins here, and it is no error that it cannot be written to.
    """

    def __init__(self, path: Path | None = None, needed: bool = True) -> None:
        self._records = None if path is None else Records(path, sync=False)
        self._needed = needed
        self.rows: list[dict[str, Any]] = self._records.read() if self._records is not None and needed else []

    @classmethod
    def of_helper(cls, folder: Path | None) -> Effort:
        """Of a process that helps with the search in a folder, which it perhaps may only read."""
        path = None if folder is None else folder / HELPERS / f"{uuid.uuid4().hex[:12]}.jsonl"
        return cls(path, needed=False)

    def add(self, phase: str, seconds: float, **what: Any) -> None:
        """Remember that something took so long."""
        row = {"phase": phase, "seconds": round(seconds, 3), **what}
        self.rows.append(row)
        if self._records is not None:
            try:
                self._records.append(row)
            except EdgetimeError:
                if self._needed:
                    raise

    @contextlib.contextmanager
    def during(self, phase: str, **what: Any) -> Iterator[dict[str, Any]]:
        """Measure what is done inside; more can be put into the row."""
        started = time.monotonic()
        more: dict[str, Any] = {}
        try:
            yield more
        finally:
            self.add(phase, time.monotonic() - started, **what, **more)


def rows_of_helpers(folder: Path) -> list[dict[str, Any]]:
    """What processes that helped with the search in a folder did."""
    return [row for path in sorted(folder.glob(f"{HELPERS}/*.jsonl")) for row in Records(path).read()]
