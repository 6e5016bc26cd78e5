"""The tables of a profile's file, what is asked of them, and SQLite's errors in sentences."""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

from profiler.errors import ProfileError
from profiler.files import NO_SPACE

APPLICATION_ID = 0x45_54_50_46  # "ETPF"
SCHEMA_VERSION = 5

SCHEMA = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE TABLE settings ("
    "id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, value TEXT NOT NULL, fingerprint TEXT NOT NULL)",
    "CREATE TABLE probes (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, kind TEXT NOT NULL)",
    "CREATE TABLE measurements ("
    "id INTEGER PRIMARY KEY, setting INTEGER NOT NULL REFERENCES settings (id), "
    "probe INTEGER NOT NULL REFERENCES probes (id), pass INTEGER NOT NULL, attempt INTEGER NOT NULL, "
    "at REAL NOT NULL, median_us REAL, min_us REAL, p20_us REAL, spread REAL, samples INTEGER, "
    "before_us REAL, after_us REAL, waited REAL, disturbed INTEGER NOT NULL, error TEXT, "
    "energy_mj REAL, layers_us TEXT, "
    "UNIQUE (setting, probe, pass, attempt))",
    "CREATE TABLE graphs ("
    "setting INTEGER NOT NULL REFERENCES settings (id), probe INTEGER NOT NULL REFERENCES probes (id), "
    "events TEXT NOT NULL, UNIQUE (setting, probe))",
    "CREATE TABLE power ("
    "id INTEGER PRIMARY KEY, setting INTEGER NOT NULL REFERENCES settings (id), source TEXT NOT NULL, "
    "probe INTEGER REFERENCES probes (id), at REAL NOT NULL, power_w REAL NOT NULL, spread_w REAL NOT NULL, "
    "readings INTEGER NOT NULL, runs INTEGER NOT NULL, seconds REAL NOT NULL, before_us REAL, after_us REAL, others REAL, "
    "disturbed INTEGER NOT NULL)",
)
COLUMNS = "setting, probe, pass, attempt, at, median_us, min_us, p20_us, spread, samples, before_us, after_us, waited"
_ADDED = f"{COLUMNS}, disturbed, error, energy_mj, layers_us"
INSERT = f"INSERT INTO measurements ({_ADDED}) VALUES ({', '.join('?' * 17)})"
INSERT_PROBE = "INSERT OR IGNORE INTO probes (key, kind) VALUES (?, ?)"
SELECT = (
    "SELECT s.key, p.key, p.kind, m.pass, m.attempt, m.at, m.median_us, m.min_us, m.p20_us, m.spread, "
    "m.samples, m.before_us, m.after_us, m.waited, m.disturbed, m.error, m.energy_mj, m.layers_us "
    "FROM measurements m JOIN probes p ON p.id = m.probe JOIN settings s ON s.id = m.setting "
    "WHERE ?1 IS NULL OR s.key = ?1 ORDER BY m.id"
)
_STEPS_A_BYTE = 10
"""Of SQLite's virtual machine; reading a profile of ours takes less than one for each byte of the file."""
_STEPS_AT_LEAST = 10_000_000
_STEPS_AT_ONCE = 1_000_000
_LEAST_ROOM_BYTES = 1 << 16

POWER = "at, power_w, spread_w, readings, runs, seconds, before_us, after_us, others, disturbed"


def connect(path: Path, timeout_s: float) -> sqlite3.Connection:
    """Open a file that anybody may have made: none of its own SQL will run, and no query of ours runs on and on in it."""
    connection = sqlite3.connect(path, timeout=timeout_s, isolation_level=None)
    try:
        # Bytes that are no text cost the row that they stand in.
        connection.text_factory = lambda text: text.decode("utf-8", "replace")
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cell_size_check = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def check_tables(path: Path, connection: sqlite3.Connection) -> None:
    """Refuse a file with anything but the tables of `SCHEMA`: views, triggers and what is computed are SQL of the file's own."""
    found = connection.execute("SELECT type, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    if sorted(found) != sorted(("table", statement) for statement in SCHEMA):
        kinds = sorted({str(kind) for kind, _ in found} - {"table"})
        what = f"a {kinds[0]}" if kinds else "other tables than it should"
        raise ProfileError(
            f"{path} is damaged (it holds {what}, and is not read): profile the device again, into another file."
        )


@contextlib.contextmanager
def limited(path: Path, connection: sqlite3.Connection) -> Iterator[None]:
    """Stop a query that takes far more steps than the file's size can explain; a damaged file may lead in circles."""
    left = max(_STEPS_AT_LEAST, _STEPS_A_BYTE * _bytes_of(path)) // _STEPS_AT_ONCE

    def count() -> int:
        nonlocal left
        left -= 1
        return left < 0

    connection.set_progress_handler(count, _STEPS_AT_ONCE)
    try:
        yield
    finally:
        connection.set_progress_handler(None, 0)


def _bytes_of(path: Path) -> int:
    sizes = 0
    for file in (path, path.with_name(f"{path.name}-wal")):
        with contextlib.suppress(OSError):
            sizes += file.stat().st_size
    return sizes


@contextlib.contextmanager
def sentences(path: Path) -> Iterator[None]:
    """Turn the errors of SQLite, and those of values that cannot be read, into sentences."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.ProgrammingError):
            raise
        raise ProfileError(_explain(path, error)) from error
    except (
        ValueError,
        KeyError,
        TypeError,
    ) as error:  # bad JSON, or text that is no UTF-8, SQLite's own included
        raise ProfileError(
            f"{path} is damaged (a value in it cannot be read): profile the device again."
        ) from error


def _explain(path: Path, error: sqlite3.Error) -> str:
    text = str(error)
    if "interrupted" in text:
        return f"{path} is damaged (it leads in circles): profile the device again, into another file."
    if _is_full(path) and any(one in text for one in ("disk I/O", "unable to open")):
        text = "is full"
    if "locked" in text or "busy" in text:
        return f"{path} is in use by another edgetime: wait until that has finished."
    if "is full" in text:
        return f"No disk space left beside {path}: free some, then run the same command again; what it holds is kept."
    if "readonly" in text or "read-only" in text or "unable to open" in text:
        return f"Cannot write {path} ({text}): choose a place that you may write to."
    if "not a database" in text:
        return f"{path} is no profile of edgetime: name a file that 'edgetime profile' wrote."
    return f"{path} is damaged ({text}): profile the device again, into another file."


def _is_full(path: Path) -> bool:
    """Whether there is no room for the files that SQLite puts beside a profile, of which it says many things."""
    try:
        with tempfile.TemporaryFile(dir=path.parent) as file:
            file.write(bytes(_LEAST_ROOM_BYTES))
            file.flush()
    except OSError as error:
        return error.errno in NO_SPACE
    return False
