"""Where Optuna keeps a study: a journal in a folder, or a database named by its URL."""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from profiler.errors import (
    EdgetimeError,
    MissingExtraError,
    UsageError,
)

JOURNAL = "optuna.journal"
"""The journal's name in the folder of a search."""

_CONNECT_S = 10
_BUSY_S = 60
_SCHEMES = {"postgres": "postgresql+psycopg", "postgresql": "postgresql+psycopg"}
_KNOWN = ("sqlite", "postgresql")


class StorageError(EdgetimeError):
    """A study's storage cannot be reached, or went away."""


def checked_url(url: str) -> str:
    """The URL of a storage as SQLAlchemy takes it: with the driver that edgetime brings, and a whole path.

    Raises
    ------
    UsageError
        It is none, or of a kind that is not supported.
    """
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

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
            "without it the study is a journal in the output folder."
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
    from sqlalchemy.engine import make_url

    parsed = make_url(url)
    # `set` takes None as "leave as it is".
    parsed = parsed._replace(password=None)
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


def open_storage(url: str | None, folder: Path | None) -> Any:
    """An Optuna storage: of a URL, else a journal in a folder, else in memory.

    Raises
    ------
    StorageError
        It cannot be reached.
    MissingExtraError
        The driver is not installed.
    """
    import optuna

    optuna.logging.set_verbosity(logging.ERROR)
    if url is None:
        if folder is None:
            return optuna.storages.InMemoryStorage()
        from compressor.search.optuna.journal import open_journal

        with telling(str(folder / JOURNAL), "cannot be used"):
            return open_journal(folder / JOURNAL)
    if url.startswith("sqlite"):
        connect: dict[str, Any] = {"timeout": _BUSY_S}
    else:
        connect = {"connect_timeout": _CONNECT_S}
    try:
        with telling(url, "cannot be reached"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            storage = optuna.storages.RDBStorage(
                url, engine_kwargs={"connect_args": connect, "pool_pre_ping": True}
            )
            if url.startswith("sqlite"):
                _one_at_a_time(storage.engine)
            return storage
    except ImportError as error:
        raise MissingExtraError(
            f'A study in {shown_url(url)} needs a driver that is not installed: pip install "edgetime[postgres]".'
        ) from error


def _one_at_a_time(engine: Any) -> None:
    """Let a transaction have an SQLite file to itself from its beginning.

    SQLite knows no locked rows: else two processes that look at the same waiting trial both take it up.
    """
    from sqlalchemy import event

    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))


@contextlib.contextmanager
def reading(url: str | None, folder: Path | None) -> Iterator[Any]:
    """A storage as `open_storage` gives it, to be read once: closed again, and what goes wrong is one sentence."""
    opened = open_storage(url, folder)
    with telling(url or str((folder or Path()) / JOURNAL), "cannot be read"):
        try:
            yield opened
        finally:
            opened.remove_session()
            if url is not None:
                opened.engine.dispose()


@contextlib.contextmanager
def telling(where: str, what: str = "went away") -> Iterator[None]:
    """Turn what goes wrong with a storage into one sentence.

    Parameters
    ----------
    where
        Its URL or file.
    what
        Happened to it.

    Raises
    ------
    StorageError
        Something did.
    """
    try:
        yield
    except (EdgetimeError, ImportError):
        raise
    except Exception as error:
        if not _of_storage(error):
            raise
        shown = shown_url(where) if "://" in where else where
        raise StorageError(
            f"The study's storage {shown} {what}{_reason(error, where)}: see that it is there and may be used, then "
            "give the same command with --resume; what was tried is kept."
        ) from error


def _of_storage(error: BaseException) -> bool:
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    return isinstance(error, (OSError, StorageInternalError, SQLAlchemyError))


def _reason(error: BaseException, where: str) -> str:
    """What the storage itself said, in one line and without the password."""
    inner: BaseException = error
    while inner.__cause__ is not None and not isinstance(inner, OSError):
        inner = inner.__cause__
    lines = [line.strip() for line in str(inner).splitlines() if line.strip()]
    if not lines:
        return ""
    said = lines[0]
    secret = _password(where)
    if secret:
        said = said.replace(secret, "…")
    return f" ({said[:160].rstrip('.')})"


def _password(where: str) -> str:
    from sqlalchemy.engine import make_url

    try:
        parsed = make_url(where)
    except Exception:
        return ""
    query = parsed.query.get("password", "")
    return str(parsed.password or (query if isinstance(query, str) else ""))
