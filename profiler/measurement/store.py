"""The profile: an SQLite file with one row per measurement, of one device under one or several settings."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from profiler.devices import Setting, device_name
from profiler.errors import ProfileError, UsageError, missing
from profiler.measurement.combining import ProbeTime, Reading, Timing, combine
from profiler.measurement.power import PowerWindow, read_power
from profiler.probes import Probe

APPLICATION_ID = 0x45_54_50_46  # "ETPF"
SCHEMA_VERSION = 5
IDENTITY = ("machine", "cpu", "cores")
"""Entries of a fingerprint that identify the device; the others may change from day to day."""

_SCHEMA = (
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
_COLUMNS = "setting, probe, pass, attempt, at, median_us, min_us, p20_us, spread, samples, before_us, after_us, waited"
_ADDED = f"{_COLUMNS}, disturbed, error, energy_mj, layers_us"
_INSERT = f"INSERT INTO measurements ({_ADDED}) VALUES ({', '.join('?' * 17)})"
_INSERT_PROBE = "INSERT OR IGNORE INTO probes (key, kind) VALUES (?, ?)"
_SELECT = (
    "SELECT s.key, p.key, p.kind, m.pass, m.attempt, m.at, m.median_us, m.min_us, m.p20_us, m.spread, "
    "m.samples, m.before_us, m.after_us, m.waited, m.disturbed, m.error, m.energy_mj, m.layers_us "
    "FROM measurements m JOIN probes p ON p.id = m.probe JOIN settings s ON s.id = m.setting "
    "WHERE ?1 IS NULL OR s.key = ?1 ORDER BY m.id"
)
_POWER = "at, power_w, spread_w, readings, runs, seconds, before_us, after_us, others, disturbed"
_NUMBERS = ("median_us", "min_us", "p20_us", "spread", "samples")


class Profile:
    """A profile file. A context manager; made by `open` or `append`.

    Every measurement is on its way to the disk before `add` returns: a process that is killed loses the one
    in flight.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Profile:
        """Open a profile that exists, to read it.

        Raises
        ------
        ProfileError
            There is none, it is damaged, or another version of edgetime wrote it.
        """
        path = Path(path)
        _refuse_folder(path)
        if not path.exists():
            raise missing(
                ProfileError(f"There is no profile {path}: make one with 'edgetime profile local -o {path}'.")
            )
        with _sentences(path):
            profile = cls(path, sqlite3.connect(path, timeout=5.0, isolation_level=None))
            with profile._closed_on_failure():
                profile._check_format()
        return profile

    @classmethod
    def append(cls, path: str | os.PathLike[str]) -> Profile:
        """Open a profile to add to it; made where there is none. No other process may use it meanwhile.

        Raises
        ------
        ProfileError
            As for `open`, or the profile is in use.
        """
        path = Path(path)
        _refuse_folder(path)
        if not path.parent.is_dir():
            raise UsageError(f"There is no folder {path.parent} to write {path.name} to: make it first.")
        with _sentences(path):
            connection = sqlite3.connect(path, timeout=1.0, isolation_level=None)
            profile = cls(path, connection)
            with profile._closed_on_failure():
                # A second writer would disturb what the first one measures.
                connection.execute("PRAGMA locking_mode = EXCLUSIVE")
                new = not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
                if not new:
                    profile._check_format()
                # The write-ahead log makes a commit cheap and survives kill -9; `close` folds it into the
                # file.
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = NORMAL")
                connection.execute("BEGIN EXCLUSIVE")
                if new:
                    profile._create()
                connection.execute("COMMIT")
        return profile

    @contextlib.contextmanager
    def _closed_on_failure(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._connection.close()
            raise

    def _create(self) -> None:
        from importlib.metadata import PackageNotFoundError, version

        self._connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        self._connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        for statement in _SCHEMA:
            self._connection.execute(statement)
        try:
            edgetime = version("edgetime")
        except PackageNotFoundError:
            edgetime = "unknown"
        self._set_meta("edgetime", edgetime)
        self._set_meta("created", time.time())

    def _check_format(self) -> None:
        application = self._connection.execute("PRAGMA application_id").fetchone()[0]
        if application != APPLICATION_ID:
            raise ProfileError(
                f"{self.path} is no profile of edgetime: name a file that 'edgetime profile' wrote."
            )
        found = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if found != SCHEMA_VERSION:
            raise ProfileError(
                f"{self.path} has profile format {found}, this edgetime reads format {SCHEMA_VERSION}: "
                "use the edgetime that wrote it, or profile the device again."
            )
        tables = "SELECT count(*) FROM measurements, settings, probes, meta, graphs, power WHERE 0"
        self._connection.execute(tables).fetchone()

    def close(self) -> None:
        """Close the file; what is left is one file."""
        with contextlib.suppress(sqlite3.Error, UnicodeDecodeError):
            # Refused while another process reads; the log then stays beside the file and nothing is lost.
            self._connection.execute("PRAGMA journal_mode = DELETE")
        self._connection.close()

    def __enter__(self) -> Profile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read(self, query: str, values: Sequence[Any], convert: Callable[..., Any]) -> list[Any]:
        """Rows of a query, each given to `convert`."""
        with _sentences(self.path):
            return [convert(*row) for row in self._connection.execute(query, values)]

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with _sentences(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    # --- Who measured ---------------------------------------------------------------------------------------

    def _meta(self, key: str) -> Any:
        found = self._read("SELECT value FROM meta WHERE key = ?", (key,), json.loads)
        return found[0] if found else None

    def _set_meta(self, key: str, value: Any) -> None:
        self._connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, json.dumps(value)))

    @property
    def device(self) -> str:
        """The device's name, by its processor; empty while nothing was measured."""
        return str(self._meta("device") or "")

    @property
    def fingerprint(self) -> dict[str, Any]:
        """The device's fingerprint when it was first measured."""
        return dict(self._meta("fingerprint") or {})

    @property
    def edgetime_version(self) -> str:
        """The version of edgetime that made the file."""
        return str(self._meta("edgetime") or "")

    @property
    def settings(self) -> dict[str, Setting]:
        """The settings that were measured, by key."""
        query = "SELECT key, value FROM settings ORDER BY id"
        return dict(self._read(query, (), lambda key, value: (key, Setting.from_dict(json.loads(value)))))

    def fingerprint_of(self, setting: str) -> dict[str, Any]:
        """The device's fingerprint when `setting` was first measured."""
        query = "SELECT fingerprint FROM settings WHERE key = ?"
        found = self._read(query, (setting,), lambda value: dict(json.loads(value)))
        return found[0] if found else {}

    def register(self, setting: Setting, fingerprint: Mapping[str, Any]) -> None:
        """Say that measurements under `setting` follow, made on the device of `fingerprint`.

        Raises
        ------
        ProfileError
            The profile belongs to another device.
        """
        self._refuse_other_version(setting)
        known = self.fingerprint
        differing = [key for key in IDENTITY if known and known.get(key) != fingerprint.get(key)]
        if differing:
            key = differing[0]
            there, here = known.get(key), fingerprint.get(key)
            raise ProfileError(
                f"{self.path} belongs to another device (its {key} is {there!r}, this one's is {here!r}): "
                "give each device a file of its own."
            )
        with self._transaction() as connection:
            if not known:
                self._set_meta("device", device_name(fingerprint))
                self._set_meta("fingerprint", dict(fingerprint))
            connection.execute(
                "INSERT OR IGNORE INTO settings (key, value, fingerprint) VALUES (?, ?, ?)",
                (setting.key, json.dumps(setting.to_dict()), json.dumps(dict(fingerprint))),
            )

    def _refuse_other_version(self, setting: Setting) -> None:
        for other in self.settings.values():  # what two versions of a simulator say does not go together
            alike = (other.runtime, other.kernels) == (setting.runtime, setting.kernels)
            if setting.simulated and alike and other.version != setting.version:
                raise ProfileError(
                    f"{self.path} was made with {other.runtime} {other.version} and {setting.version} is installed: "
                    f"pip install {other.runtime}=={other.version}, or profile into another file."
                )

    # --- Measurements ---------------------------------------------------------------------------------------

    def add(
        self, setting: str, probe_key: str, kind: str, pass_number: int, result: Mapping[str, Any]
    ) -> Timing:
        """Store a target's answer for one probe, and return it as `raw` will."""
        error = result.get("error")
        values = [None if error else _finite(result.get(name)) for name in _NUMBERS]
        if not error and (values[0] is None or values[1] is None or values[2] is None):
            error = "The agent's answer lacks its times."
        error = None if error is None else str(error)
        with self._transaction() as connection:
            connection.execute(_INSERT_PROBE, (probe_key, kind))
            find = "SELECT (SELECT id FROM settings WHERE key = ?), (SELECT id FROM probes WHERE key = ?)"
            which = (*connection.execute(find, (setting, probe_key)).fetchone(), pass_number)
            find = "SELECT count(*) FROM measurements WHERE setting = ? AND probe = ? AND pass = ?"
            attempt = connection.execute(find, which).fetchone()[0]
            at = _finite(result.get("at")) or time.time()
            before_us, after_us = [_finite(canary) for canary in result.get("canaries_us") or (None, None)]
            waited = None if error else _finite(result.get("waited"))
            disturbed = int(bool(result.get("disturbed")))
            layers = json.dumps(list(result["layers_us"])) if "layers_us" in result else None
            energy_mj = None if error else _finite(result.get("energy_mj"))
            row = (at, *values, before_us, after_us, waited, disturbed, error, energy_mj, layers)
            connection.execute(_INSERT, (*which, attempt, *row))
        return _timing(setting, probe_key, kind, pass_number, attempt, *row)

    def add_events(
        self, setting: str, probe_key: str, kind: str, events: Sequence[tuple[str, int]] | None
    ) -> None:
        """Store the operators that the runtime ran for a probe, as (name, type of event), in place of earlier ones.

        None says that its profiler cannot tell.
        """
        value = json.dumps(None if events is None else [[str(name), int(kind)] for name, kind in events])
        with self._transaction() as connection:
            connection.execute(_INSERT_PROBE, (probe_key, kind))
            connection.execute(
                "INSERT OR REPLACE INTO graphs SELECT s.id, p.id, ? FROM settings s, probes p "
                "WHERE s.key = ? AND p.key = ?",
                (value, setting, probe_key),
            )

    def events(self, setting: str) -> dict[str, list[tuple[str, int]] | None]:
        """Operators that the runtime ran under `setting`, by probe key: see `add_events`."""

        def read(key: str, text: str) -> tuple[str, list[tuple[str, int]] | None]:
            value = json.loads(text)
            return key, None if value is None else [(str(name), int(kind)) for name, kind in value]

        query = (
            "SELECT p.key, g.events FROM graphs g JOIN probes p ON p.id = g.probe "
            "JOIN settings s ON s.id = g.setting WHERE s.key = ?"
        )
        return dict(self._read(query, (setting,), read))

    def add_power(self, setting: str, window: PowerWindow) -> None:
        """Store what was drawn in one window; its probe was timed before."""
        columns = ", ".join(f"?{number}" for number in range(4, 14))
        with self._transaction() as connection:
            connection.execute(
                f"INSERT INTO power (setting, probe, source, {_POWER}) SELECT s.id, "
                f"(SELECT id FROM probes WHERE key = ?2), ?3, {columns} FROM settings s WHERE s.key = ?1",
                (
                    setting,
                    window.probe_key,
                    window.source,
                    *(getattr(window, name) for name in _POWER.split(", ")),
                ),
            )

    def power_windows(self, setting: str) -> list[PowerWindow]:
        """All windows of power under a setting, in the order in which they were measured."""
        columns = ", ".join(f"w.{name}" for name in _POWER.split(", "))
        query = (
            f"SELECT w.source, p.key, {columns} FROM power w LEFT JOIN probes p ON p.id = w.probe "
            "JOIN settings s ON s.id = w.setting WHERE s.key = ? ORDER BY w.id"
        )
        return self._read(query, (setting,), _power_window)

    def set_power_source(self, setting: str, source: Mapping[str, Any]) -> None:
        """Keep where the power of a setting is read, as `profiler.devices.Target.open_power` told."""
        with self._transaction():
            self._set_meta(f"power {setting}", dict(source))

    def power_source(self, setting: str) -> dict[str, Any] | None:
        """Where the power of a setting was read last; None where it never was."""
        with _sentences(self.path):
            found = self._meta(f"power {setting}")
            return None if found is None else dict(found)

    def add_advised(self, setting: str, probes: Sequence[Probe]) -> None:
        """Keep that these probes were advised under `setting`, so that going on measures them too."""
        keys = [probe.key for probe in (*self.advised(setting), *probes)]
        with self._transaction():
            self._set_meta(f"advised {setting}", list(dict.fromkeys(keys)))

    def advised(self, setting: str) -> list[Probe]:
        """The probes that were advised under `setting`, see `profiler.measurement.next_probes`."""
        with _sentences(self.path):
            return [Probe.from_key(key) for key in self._meta(f"advised {setting}") or ()]

    def __len__(self) -> int:
        return int(self._read("SELECT count(*) FROM measurements", (), int)[0])

    def raw(self, setting: str | None = None) -> list[Timing]:
        """All measurements in the order in which they were made, of all settings or one."""
        return self._read(_SELECT, (setting,), _timing)

    def reading(self, setting: str) -> Reading:
        """What the measurements of a setting say: one time per probe, what calm was, and power; see `combine`.

        Raises
        ------
        ProfileError
            There are none.
        """
        rows = self.raw(setting)
        if not rows:
            raise ProfileError(
                f"{self.path} holds no measurements under {setting!r}: run 'edgetime profile local -o {self.path}'."
            )
        return self.with_power(setting, combine(rows))

    def with_power(self, setting: str, reading: Reading) -> Reading:
        """`reading` with what the windows of power say."""
        source = self.power_source(setting)
        return reading.with_power(
            read_power(source, self.power_windows(setting) if source else (), reading.calm)
        )

    def measurements(self, setting: str) -> list[ProbeTime]:
        """One time per probe of a setting: `reading`'s."""
        return self.reading(setting).times


def _timing(*row: Any) -> Timing:
    layers = None if row[17] is None else tuple(_finite(time_us) for time_us in json.loads(row[17]))
    return Timing(*row[:14], bool(row[14]), *row[15:17], layers)  # type: ignore[call-arg, arg-type]


def _power_window(*row: Any) -> PowerWindow:
    return PowerWindow(*row[:11], bool(row[11]))  # type: ignore[call-arg]


def _refuse_folder(path: Path) -> None:
    if path.is_dir():
        raise UsageError(f"{path} is a folder: name a profile, such as DEVICE.db.")


def _finite(value: Any) -> float | None:
    if isinstance(value, (int, float)) and np.isfinite(value) and value >= 0:
        return float(value)
    return None


@contextlib.contextmanager
def _sentences(path: Path) -> Iterator[None]:
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
