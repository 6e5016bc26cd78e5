"""The profile: an SQLite file with one row per measurement, of one device under one or several settings."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from profiler.devices import Setting, device_name
from profiler.errors import ProfileError, UsageError, missing
from profiler.measurement.combining import ProbeTime, Reading, Timing, combine
from profiler.measurement.power import PowerWindow, read_power
from profiler.measurement.store.database import (
    APPLICATION_ID,
    INSERT,
    INSERT_PROBE,
    POWER,
    SCHEMA,
    SCHEMA_VERSION,
    SELECT,
    check_tables,
    connect,
    limited,
    sentences,
)
from profiler.measurement.store.rows import is_probe, power_window, readable, timing, with_probes
from profiler.probes import Probe
from profiler.values import parse_json

IDENTITY = ("machine", "cpu", "cores")
"""Entries of a fingerprint that identify the device; the others may change from day to day."""
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
        with sentences(path):
            profile = cls(path, connect(path, 5.0))
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
        with sentences(path):
            connection = connect(path, 1.0)
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
        for statement in SCHEMA:
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
        check_tables(self.path, self._connection)

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

    def _read(
        self, query: str, values: Sequence[Any], convert: Callable[..., Any], what: str = ""
    ) -> list[Any]:
        """Rows of a query, each given to `convert`; odd ones are left out where they are many, `what` they are."""
        with sentences(self.path), limited(self.path, self._connection):
            rows = self._connection.execute(query, values)
            return readable(rows, convert, self.path, what) if what else [convert(*row) for row in rows]

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with sentences(self.path):
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
        found = self._read("SELECT value FROM meta WHERE key = ?", (key,), parse_json)
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
        return dict(self._read(query, (), lambda key, value: (key, Setting.from_dict(parse_json(value)))))

    def fingerprint_of(self, setting: str) -> dict[str, Any]:
        """The device's fingerprint when `setting` was first measured."""
        query = "SELECT fingerprint FROM settings WHERE key = ?"
        found = self._read(query, (setting,), lambda value: dict(parse_json(value)))
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
        """Store a target's answer for one probe, and return it as `raw` will; OddValueError where a value is no measurement's."""
        error = result.get("error")
        values = [None if error else _finite(result.get(name)) for name in _NUMBERS]
        if not error and (values[0] is None or values[1] is None or values[2] is None):
            error = "The agent's answer lacks its times."
        error = None if error is None else str(error)
        at = _finite(result.get("at")) or time.time()
        before_us, after_us = [_finite(canary) for canary in result.get("canaries_us") or (None, None)]
        waited = None if error else _finite(result.get("waited"))
        disturbed = int(bool(result.get("disturbed")))
        layers = json.dumps(list(result["layers_us"])) if "layers_us" in result else None
        energy_mj = None if error else _finite(result.get("energy_mj"))
        row = (at, *values, before_us, after_us, waited, disturbed, error, energy_mj, layers)
        made = timing(setting, probe_key, kind, pass_number, 0, *row)  # refuses what is odd
        with self._transaction() as connection:
            connection.execute(INSERT_PROBE, (probe_key, kind))
            find = "SELECT (SELECT id FROM settings WHERE key = ?), (SELECT id FROM probes WHERE key = ?)"
            which = (*connection.execute(find, (setting, probe_key)).fetchone(), pass_number)
            find = "SELECT count(*) FROM measurements WHERE setting = ? AND probe = ? AND pass = ?"
            attempt = connection.execute(find, which).fetchone()[0]
            connection.execute(INSERT, (*which, attempt, *row))
        return replace(made, attempt=attempt)

    def add_events(
        self, setting: str, probe_key: str, kind: str, events: Sequence[tuple[str, int]] | None
    ) -> None:
        """Store the operators that the runtime ran for a probe, as (name, type of event), in place of earlier ones.

        None says that its profiler cannot tell.
        """
        value = json.dumps(None if events is None else [[str(name), int(kind)] for name, kind in events])
        with self._transaction() as connection:
            connection.execute(INSERT_PROBE, (probe_key, kind))
            connection.execute(
                "INSERT OR REPLACE INTO graphs SELECT s.id, p.id, ? FROM settings s, probes p "
                "WHERE s.key = ? AND p.key = ?",
                (value, setting, probe_key),
            )

    def events(self, setting: str) -> dict[str, list[tuple[str, int]] | None]:
        """Operators that the runtime ran under `setting`, by probe key: see `add_events`."""

        def read(key: str, text: str) -> tuple[str, list[tuple[str, int]] | None]:
            value = parse_json(text)
            return key, None if value is None else [(str(name), int(kind)) for name, kind in value]

        query = (
            "SELECT p.key, g.events FROM graphs g JOIN probes p ON p.id = g.probe "
            "JOIN settings s ON s.id = g.setting WHERE s.key = ?"
        )
        return {key: ran for key, ran in self._read(query, (setting,), read) if is_probe(key)}

    def add_power(self, setting: str, window: PowerWindow) -> None:
        """Store what was drawn in one window; its probe was timed before."""
        columns = ", ".join(f"?{number}" for number in range(4, 14))
        with self._transaction() as connection:
            connection.execute(
                f"INSERT INTO power (setting, probe, source, {POWER}) SELECT s.id, "
                f"(SELECT id FROM probes WHERE key = ?2), ?3, {columns} FROM settings s WHERE s.key = ?1",
                (
                    setting,
                    window.probe_key,
                    window.source,
                    *(getattr(window, name) for name in POWER.split(", ")),
                ),
            )

    def power_windows(self, setting: str) -> list[PowerWindow]:
        """All windows of power under a setting, in the order in which they were measured."""
        columns = ", ".join(f"w.{name}" for name in POWER.split(", "))
        query = (
            f"SELECT w.source, p.key, {columns} FROM power w LEFT JOIN probes p ON p.id = w.probe "
            "JOIN settings s ON s.id = w.setting WHERE s.key = ? ORDER BY w.id"
        )
        return self._read(query, (setting,), power_window, "windows of power")

    def set_power_source(self, setting: str, source: Mapping[str, Any]) -> None:
        """Keep where the power of a setting is read, as `profiler.devices.Target.open_power` told."""
        with self._transaction():
            self._set_meta(f"power {setting}", dict(source))

    def power_source(self, setting: str) -> dict[str, Any] | None:
        """Where the power of a setting was read last; None where it never was."""
        with sentences(self.path):
            found = self._meta(f"power {setting}")
            return None if found is None else dict(found)

    def add_advised(self, setting: str, probes: Sequence[Probe]) -> None:
        """Keep that these probes were advised under `setting`, so that going on measures them too."""
        keys = [probe.key for probe in (*self.advised(setting), *probes)]
        with self._transaction():
            self._set_meta(f"advised {setting}", list(dict.fromkeys(keys)))

    def advised(self, setting: str) -> list[Probe]:
        """The probes that were advised under `setting`, see `profiler.measurement.next_probes`."""
        with sentences(self.path):
            return [Probe.from_key(key) for key in self._meta(f"advised {setting}") or ()]

    def __len__(self) -> int:
        return int(self._read("SELECT count(*) FROM measurements", (), int)[0])

    def raw(self, setting: str | None = None) -> list[Timing]:
        """All measurements in the order in which they were made, of all settings or one; odd rows are left out with a warning."""
        return with_probes(self._read(SELECT, (setting,), timing, "measurements"), self.path)

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


def _refuse_folder(path: Path) -> None:
    if path.is_dir():
        raise UsageError(f"{path} is a folder: name a profile, such as DEVICE.db.")


def _finite(value: Any) -> float | None:
    if isinstance(value, (int, float)) and np.isfinite(value) and value >= 0:
        return float(value)
    return None
