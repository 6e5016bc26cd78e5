"""Profiles that somebody made or changed: no SQL of theirs is run, an odd value costs its row, a full disk is called one."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from profiler.devices import Setting
from profiler.errors import EdgetimeWarning, ProfileError
from profiler.measurement import Profile
from profiler.measurement.store import database
from profiler.operators import conv_2d
from profiler.probes import Probe

SETTING = Setting("ai-edge-litert", "2.3.0")
RESULT = {"median_us": 5.0, "min_us": 4.0, "p20_us": 4.5, "spread": 0.1, "samples": 20, "at": 1.5e9}
RECURSIVE = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x AS id, x AS setting, x AS probe FROM c"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "device.db"
    with Profile.append(path) as store:
        store.register(SETTING, {"machine": "armv7l", "cpu": "Cortex-A7", "cores": 4})
        for channels in (3, 4, 5):
            store.add(SETTING.key, Probe("layer", (conv_2d(4, 4, channels, 5),)).key, "layer", 0, RESULT)
    return path


def change(path: Path, *statements: str) -> None:
    with sqlite3.connect(path) as raw:
        for statement in statements:
            raw.execute(statement)
    raw.close()


@pytest.mark.parametrize(
    ("statements", "what"),
    [
        (("DROP TABLE measurements", f"CREATE VIEW measurements AS {RECURSIVE}"), "a view"),
        (("CREATE TRIGGER t AFTER INSERT ON meta BEGIN DELETE FROM measurements; END",), "a trigger"),
        (("CREATE INDEX i ON measurements (abs(at))",), "an index|a index"),
        (("CREATE TABLE more (x)",), "other tables"),
        (
            ("DROP TABLE power", "CREATE TABLE power (x, at GENERATED ALWAYS AS (zeroblob(1000000000)))"),
            "other tables",
        ),
    ],
)
@pytest.mark.parametrize("way", [Profile.open, Profile.append])
def test_no_sql_of_the_files_own_is_run(path: Path, statements: tuple[str, ...], what: str, way: Callable):
    change(path, *statements)
    with pytest.raises(ProfileError, match=rf"device\.db is damaged \(it holds ({what})"):
        way(path)


@pytest.mark.parametrize("odd", ["'much'", "x'ff'", "-1", "9e999", "1e300"])
def test_an_odd_time_costs_its_row(path: Path, odd: str):
    change(path, f"UPDATE measurements SET at = {odd} WHERE id = 2" if odd == "'much'" else
           f"UPDATE measurements SET p20_us = {odd} WHERE id = 2")  # fmt: skip
    with Profile.open(path) as store, pytest.warns(EdgetimeWarning, match="1 of 3 measurements are left out"):
        assert len(store.raw()) == 2


def test_a_key_that_is_no_probe_costs_its_row(path: Path):
    change(path, "UPDATE probes SET key = CAST(x'7bff' AS TEXT) WHERE id = 2")
    with Profile.open(path) as store, pytest.warns(EdgetimeWarning, match="1 of 3 measurements are left out"):
        assert len(store.measurements(SETTING.key)) == 2


def test_a_query_that_leads_in_circles_ends(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(database, "_STEPS_AT_LEAST", 0)
    monkeypatch.setattr(database, "_STEPS_A_BYTE", 0)
    monkeypatch.setattr(database, "_STEPS_AT_ONCE", 10)
    with pytest.raises(ProfileError, match="it leads in circles"), Profile.open(path) as store:
        store.raw()


def test_a_disk_error_where_there_is_no_room_is_a_full_disk(path: Path, monkeypatch: pytest.MonkeyPatch):
    def fail() -> None:
        with database.sentences(path):
            raise sqlite3.OperationalError("disk I/O error")

    with pytest.raises(ProfileError, match="damaged"):
        fail()
    monkeypatch.setattr(database.tempfile, "TemporaryFile", _full)
    with pytest.raises(ProfileError, match=r"No disk space left beside .*; what it holds is kept"):
        fail()


def _full(**place: object) -> None:
    raise OSError(28, "No space left on device")
