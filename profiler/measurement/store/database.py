"""The tables of a profile's file, what is asked of them, and SQLite's errors in sentences."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from profiler.errors import ProfileError

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
POWER = "at, power_w, spread_w, readings, runs, seconds, before_us, after_us, others, disturbed"


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
    if "locked" in text or "busy" in text:
        return f"{path} is in use by another edgetime: wait until that has finished."
    if "full" in text:
        return f"No disk space left to write {path}: free some, then run the same command again."
    if "readonly" in text or "read-only" in text or "unable to open" in text:
        return f"Cannot write {path} ({text}): choose a place that you may write to."
    if "not a database" in text:
        return f"{path} is no profile of edgetime: name a file that 'edgetime profile' wrote."
    return f"{path} is damaged ({text}): profile the device again, into another file."
