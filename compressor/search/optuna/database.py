"""Optuna's storage in a database, with its heartbeats and its retries of trials whose process ended."""

from __future__ import annotations

import contextlib
import sqlite3
from functools import partial
from pathlib import Path
from typing import Any

from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from sqlalchemy import event, text
from sqlalchemy.exc import IntegrityError

MOST_RETRIES = 3
"""A trial whose processes ended more often than that is given up."""

_CONNECT_S = 10
_BUSY_S = 60
_FIRST_BEATS = text(
    "INSERT INTO trial_heartbeats (trial_id, heartbeat) SELECT trial_id, CURRENT_TIMESTAMP FROM trials "
    "WHERE study_id = :study AND state = 'RUNNING' AND trial_id NOT IN (SELECT trial_id FROM trial_heartbeats)"
)


class HeartbeatDatabase(RDBStorage):
    """Optuna's storage, in which no trial runs for ever without a process."""

    def record_heartbeat(self, trial_id: int) -> None:
        """Record the heartbeat of a trial."""
        # In a thread of its own. Whatever goes wrong here the work itself meets as well, and says.
        with contextlib.suppress(Exception):
            super().record_heartbeat(trial_id)

    def _get_stale_trial_ids(self, study_id: int) -> list[int]:
        # Optuna never takes a trial for lost whose process ended before its first beat: it gets one now.
        with contextlib.suppress(IntegrityError), self.engine.begin() as connection:
            connection.execute(_FIRST_BEATS, {"study": study_id})
        return super()._get_stale_trial_ids(study_id)


def open_database(place: str | Path, beat_s: int, grace_s: int) -> HeartbeatDatabase:
    """The database of a URL, or in an SQLite file, which is made where there is none."""
    url = f"sqlite:///{place.name}" if isinstance(place, Path) else place
    settings: dict[str, Any] = {"connect_args": {"connect_timeout": _CONNECT_S}, "pool_pre_ping": True}
    if isinstance(place, Path):
        # Not by the URL: in it some characters of a path mean something else.
        settings["creator"] = partial(sqlite3.connect, place, timeout=_BUSY_S, check_same_thread=False)
    if url.startswith("sqlite"):
        settings["connect_args"] = {"timeout": _BUSY_S}
    storage = HeartbeatDatabase(
        url,
        engine_kwargs=settings,
        heartbeat_interval=beat_s,
        grace_period=grace_s,
        heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(max_retry=MOST_RETRIES),
    )
    if url.startswith("sqlite"):
        event.listen(storage.engine, "begin", _take_file)
    return storage


def _take_file(connection: Any) -> None:
    """Let a transaction have an SQLite file to itself from its beginning: SQLite knows no locked rows."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")
