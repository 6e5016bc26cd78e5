"""What a search spends its time on."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from profiler.records import Records

PHASES = ("looking", "ranking", "fine-tuning", "finalists")
"""Of a compression: looking at blocks, ranking candidates that are not trained, short fine-tuning, full training."""


class Effort:
    """Rows of what was done: ``phase``, ``seconds``, and what it was; kept in a file, where one is named."""

    def __init__(self, path: Path | None = None) -> None:
        self._records = None if path is None else Records(path, sync=False)
        self.rows: list[dict[str, Any]] = [] if self._records is None else self._records.read()

    def add(self, phase: str, seconds: float, **what: Any) -> None:
        """Remember that something took so long."""
        row = {"phase": phase, "seconds": round(seconds, 3), **what}
        self.rows.append(row)
        if self._records is not None:
            self._records.append(row)

    @contextlib.contextmanager
    def during(self, phase: str, **what: Any) -> Iterator[dict[str, Any]]:
        """Measure what is done inside; more can be put into the row."""
        started = time.monotonic()
        more: dict[str, Any] = {}
        try:
            yield more
        finally:
            self.add(phase, time.monotonic() - started, **what, **more)
