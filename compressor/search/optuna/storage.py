"""Where Optuna keeps a study: a database in the search's folder, or one that is named by its URL."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from sqlalchemy import event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, IntegrityError, SQLAlchemyError

from profiler.errors import EdgetimeError, MissingExtraError, UsageError

DATABASE = "optuna.db"
"""The name of the SQLite file in the folder of a search."""

_SCHEMES = {"postgres": "postgresql+psycopg", "postgresql": "postgresql+psycopg"}
_KNOWN = ("sqlite", "postgresql")

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
        # SQLite knows no locked rows: a transaction has the file to itself from its beginning.
        event.listen(
            storage.engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE")
        )
    return storage


class StorageError(EdgetimeError):
    """A study's storage cannot be reached, or went away."""


def checked_url(url: str) -> str:
    """The URL of a storage as SQLAlchemy takes it: with the driver that edgetime brings, and a whole path."""
    try:
        parsed = make_url(url)
        kind = parsed.get_backend_name()
    except (ArgumentError, ValueError):
        kind = ""
    if kind == "postgres":
        kind = "postgresql"
    if kind not in _KNOWN:
        raise UsageError(
            f"--storage takes sqlite:///FILE or postgresql://USER@HOST/DATABASE, not {shown_url(url)}; "
            "without it the study is in an SQLite file in the output folder."
        )
    if kind == "sqlite":
        if not parsed.database or parsed.database == ":memory:":
            raise UsageError("--storage sqlite:/// needs the name of a file after it.")
        parsed = parsed.set(database=os.path.abspath(parsed.database))
    else:
        parsed = parsed.set(drivername=_SCHEMES.get(parsed.drivername, parsed.drivername))
    return parsed.render_as_string(hide_password=False)


def without_password(url: str) -> str:
    """The same URL without its password, to be written down."""
    # `set` takes None as "leave as it is".
    parsed = make_url(url)._replace(password=None)
    return parsed.difference_update_query(["password"]).render_as_string(hide_password=False)


def with_password(url: str, given: str | None) -> str:
    """A URL that was written down, with the password of one that the user gave for the same storage."""
    return given if given is not None and without_password(given) == url else url


def shown_url(url: str) -> str:
    """The URL as it may be printed: without a password, even where it is no URL."""
    try:
        return without_password(url)
    except Exception:
        head, at, tail = url.rpartition("@")
        return f"{head.split('//')[0]}//…@{tail}" if at else url


def shown_place(url: str | None, folder: Path | None) -> str:
    """Where a study is, as it may be printed."""
    if url is not None:
        return shown_url(url)
    return "memory" if folder is None else str(folder / DATABASE)


def open_storage(url: str | None, folder: Path | None, beat_s: int = 10, grace_s: int = 60) -> Any:
    """An Optuna storage: of a URL, else in a folder, else in memory."""
    optuna.logging.set_verbosity(logging.ERROR)
    if url is None and folder is None:
        return optuna.storages.InMemoryStorage()
    try:
        with reporting(url, folder, "cannot be reached"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # heartbeats and retries are "experimental"
            if folder is not None and url is None:
                folder.mkdir(parents=True, exist_ok=True)
                return open_database(folder / DATABASE, beat_s, grace_s)
            return open_database(str(url), beat_s, grace_s)
    except ImportError as error:
        raise MissingExtraError(
            f"A study in {shown_place(url, folder)} needs a driver that is not installed: pip install "
            '"edgetime[postgres]".'
        ) from error


def close_storage(storage: Any) -> None:
    """Close what `open_storage` opened."""
    storage.remove_session()
    if hasattr(storage, "engine"):
        storage.engine.dispose()


@contextlib.contextmanager
def reading(url: str | None, folder: Path | None) -> Iterator[Any]:
    """A storage as `open_storage` gives it, to be read once; what goes wrong is one sentence."""
    opened = open_storage(url, folder)
    with reporting(url, folder, "cannot be read"):
        try:
            yield opened
        finally:
            close_storage(opened)


@contextlib.contextmanager
def reporting(url: str | None, folder: Path | None, what: str = "went away") -> Iterator[None]:
    """Turn what goes wrong with a storage into one sentence, a `StorageError`; `what` says what happened to it."""
    try:
        yield
    except (EdgetimeError, ImportError):
        raise
    except Exception as error:
        if not isinstance(error, (OSError, StorageInternalError, SQLAlchemyError)):
            raise
        raise StorageError(
            f"The study's storage {shown_place(url, folder)} {what}{_reason(error, url or '')}: see that it is there "
            "and may be used, then give the same command with --resume; what was tried is kept."
        ) from error


def _reason(error: BaseException, url: str) -> str:
    """What the storage itself said, in one line and without the password."""
    inner: BaseException = error
    while inner.__cause__ is not None and not isinstance(inner, OSError):
        inner = inner.__cause__
    lines = [line.strip() for line in str(inner).splitlines() if line.strip()]
    if not lines:
        return ""
    said = lines[0]
    secret = _password(url)
    if secret:
        said = said.replace(secret, "…")
    return f" ({said[:160].rstrip('.')})"


def _password(url: str) -> str:
    try:
        parsed = make_url(url)
    except Exception:
        return ""
    query = parsed.query.get("password", "")
    return str(parsed.password or (query if isinstance(query, str) else ""))
