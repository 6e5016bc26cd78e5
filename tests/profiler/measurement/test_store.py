from __future__ import annotations

import collections
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from profiler.devices import Setting
from profiler.errors import ProfileError, UsageError
from profiler.measurement import Profile
from profiler.measurement.store import APPLICATION_ID, SCHEMA_VERSION
from profiler.operators import conv_2d
from profiler.probes import Probe

FINGERPRINT = {"machine": "armv7l", "cpu": "Cortex-A7", "cores": 4, "kernel": "5.10"}
SETTING = Setting("ai-edge-litert", "2.3.0")
PROBE = Probe("layer", (conv_2d(4, 4, 3, 5),))
RESULT = {
    "median_us": 5.0, "min_us": 4.0, "p20_us": 4.5, "spread": 0.1, "samples": 20, "canaries_us": [9.0, 9.2],
    "waited": 0.1, "disturbed": False, "at": 1.5e9,
}  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "device.db"


def filled(path: Path, **result) -> Path:
    with Profile.append(path) as store:
        store.register(SETTING, FINGERPRINT)
        store.add(SETTING.key, PROBE.key, PROBE.kind, 0, {**RESULT, **result})
    return path


# --- Writing and reading ------------------------------------------------------------------------------------


def test_what_is_added_is_read_back(path: Path) -> None:
    with Profile.open(filled(path)) as store:
        assert store.device == "Cortex-A7, 4 cores"
        assert store.fingerprint == FINGERPRINT
        assert store.fingerprint_of(SETTING.key) == FINGERPRINT
        assert store.settings == {SETTING.key: SETTING}
        assert store.edgetime_version
        assert len(store) == 1
        (row,) = store.raw()
        assert (row.setting, row.probe_key, row.kind, row.pass_number, row.attempt) == (
            SETTING.key,
            PROBE.key,
            "layer",
            0,
            0,
        )
        assert (row.median_us, row.min_us, row.p20_us, row.samples) == (5.0, 4.0, 4.5, 20)
        assert (row.before_us, row.after_us, row.canaries_us, row.waited) == (9.0, 9.2, [9.0, 9.2], 0.1)
        assert (row.disturbed, row.error, row.at) == (False, None, 1.5e9)
        (time,) = store.measurements(SETTING.key)
        assert (time.time_us, time.probe) == (4.0, PROBE)


def test_one_file_is_left(path: Path) -> None:
    filled(path)
    with Profile.open(path) as store:
        store.raw()
    assert os.listdir(path.parent) == ["device.db"]


def test_a_probe_measured_again_gets_another_attempt(path: Path) -> None:
    filled(filled(path), p20_us=4.1)
    with Profile.open(path) as store:
        assert [(row.attempt, row.p20_us) for row in store.raw()] == [(0, 4.5), (1, 4.1)]
        assert store.measurements(SETTING.key)[0].meetings == 2


def test_settings_are_kept_apart(path: Path) -> None:
    other = Setting("ai-edge-litert", "2.3.0", "builtin", 2)
    with Profile.append(filled(path)) as store:
        store.register(other, FINGERPRINT)
        store.add(other.key, PROBE.key, PROBE.kind, 0, {**RESULT, "min_us": 40.0})
        assert len(store.raw(other.key)) == 1
    with Profile.open(path) as store:
        assert list(store.settings) == [SETTING.key, other.key]
        assert [row.time_us for row in store.measurements(SETTING.key)] == [4.0]
        assert [row.time_us for row in store.measurements(other.key)] == [40.0]
        assert [row.min_us for row in store.raw(other.key)] == [40.0]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -1.0, None, "4"])
def test_an_impossible_time_is_stored_as_a_failure(path: Path, bad: object) -> None:
    with Profile.open(filled(path, p20_us=bad)) as store:
        (row,) = store.raw()
        assert row.error
        assert store.measurements(SETTING.key)[0].time_us is None


def test_errors_are_kept(path: Path) -> None:
    with Profile.append(path) as store:
        store.register(SETTING, FINGERPRINT)
        store.add(SETTING.key, PROBE.key, PROBE.kind, 0, {"error": "ValueError: no kernel"})
    with Profile.open(path) as store:
        (row,) = store.measurements(SETTING.key)
        assert (row.time_us, row.error) == (None, "ValueError: no kernel")


def test_an_empty_profile_can_be_opened_but_holds_nothing(path: Path) -> None:
    with Profile.append(path):
        pass
    with Profile.open(path) as store:
        assert len(store) == 0
        assert store.device == ""
        with pytest.raises(ProfileError, match=r"holds no measurements under .*edgetime profile local"):
            store.measurements(SETTING.key)


def test_an_unknown_setting_holds_nothing(path: Path) -> None:
    with Profile.open(filled(path)) as store, pytest.raises(ProfileError, match="under 'nix'"):
        store.measurements("nix")


# --- Whose profile ------------------------------------------------------------------------------------------


def test_another_device_is_refused(path: Path) -> None:
    with Profile.append(filled(path)) as store:
        with pytest.raises(ProfileError, match=r"another device.*Cortex-A72"):
            store.register(SETTING, {**FINGERPRINT, "cpu": "Cortex-A72"})
        store.register(SETTING, {**FINGERPRINT, "kernel": "6.1", "governor": "powersave"})
        assert store.fingerprint == FINGERPRINT  # that of the first time


# --- Files that are none ------------------------------------------------------------------------------------


def both(path: Path, match: str, kind: type[Exception] = ProfileError) -> None:
    for opener in (Profile.open, Profile.append):
        with pytest.raises(kind, match=match) as caught:
            opener(path)
        assert "\n" not in str(caught.value)


def test_no_such_file(path: Path) -> None:
    with pytest.raises(ProfileError, match=r"There is no profile .*device.db: make one"):
        Profile.open(path)
    assert not path.exists()


def test_a_folder(tmp_path: Path) -> None:
    both(tmp_path, "is a folder", UsageError)


def test_no_folder_to_write_to(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="There is no folder"):
        Profile.append(tmp_path / "nowhere" / "device.db")


def test_a_text_file(path: Path) -> None:
    path.write_text("op,dtype,time_ms\n" * 100)
    both(path, "no profile of edgetime")
    assert path.read_text().startswith("op,dtype")


def test_a_database_of_something_else_is_left_as_it_was(path: Path) -> None:
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE birds (name TEXT)")
    other.close()
    before = path.read_bytes()
    both(path, "no profile of edgetime")
    assert path.read_bytes() == before


@pytest.mark.parametrize("version", [0, SCHEMA_VERSION - 1, SCHEMA_VERSION + 1])
def test_another_version(path: Path, version: int) -> None:
    filled(path)
    with sqlite3.connect(path) as raw:
        raw.execute(f"PRAGMA user_version = {version}")
    raw.close()
    both(path, f"profile format {version}, this edgetime reads format {SCHEMA_VERSION}")


def test_what_the_runtime_made_of_probes_is_kept_by_setting(path: Path) -> None:
    other = Setting("ai-edge-litert", "2.3.0", "builtin")
    with Profile.append(filled(path)) as store:
        store.register(other, FINGERPRINT)
        store.add_events(SETTING.key, PROBE.key, PROBE.kind, None)
        store.add_events(SETTING.key, PROBE.key, PROBE.kind, [("Convolution", 8), ("Clamp", 8)])
        never = Probe("layer", (conv_2d(4, 4, 3, 7),)).key
        store.add_events(other.key, never, "layer", None)
    with Profile.open(path) as store:
        assert store.events(SETTING.key) == {PROBE.key: [("Convolution", 8), ("Clamp", 8)]}
        assert store.events(other.key) == {never: None}
        assert store.events("no such setting") == {}
        assert len(store.measurements(SETTING.key)) == 1


def test_a_profile_that_lacks_a_table(path: Path) -> None:
    filled(path)
    with sqlite3.connect(path) as raw:
        raw.execute("DROP TABLE measurements")
    raw.close()
    both(path, "damaged")


def test_a_truncated_profile(path: Path) -> None:
    with Profile.append(filled(path)) as store:
        for number in range(300):
            store.add(SETTING.key, Probe("layer", (conv_2d(4, 4, 3, number + 1),)).key, "layer", 1, RESULT)
    path.write_bytes(path.read_bytes()[:-9000])
    with pytest.raises(ProfileError, match="damaged"), Profile.open(path) as store:
        store.measurements(SETTING.key)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(st.tuples(st.integers(0, 2**20), st.binary(min_size=1, max_size=40)), min_size=1, max_size=6))
def test_a_damaged_profile_raises_nothing_but_its_own_error(
    tmp_path: Path, changes: list[tuple[int, bytes]]
) -> None:
    whole = tmp_path / "whole.db"
    if not whole.exists():
        filled(whole)
    content = bytearray(whole.read_bytes())
    for at, data in changes:
        at %= len(content)
        content[at : at + len(data)] = data
    path = tmp_path / "damaged.db"
    path.write_bytes(content)
    try:
        with Profile.open(path) as store:
            store.measurements(SETTING.key)
            assert isinstance(store.device, str)
            assert isinstance(store.settings, dict)
            len(store)
    except ProfileError:
        pass


# --- Others, and the disk -----------------------------------------------------------------------------------


def test_a_profile_in_use_is_told_of(path: Path) -> None:
    with Profile.append(path) as store:
        store.register(SETTING, FINGERPRINT)
        code = (
            "import sys; from profiler.measurement.store import Profile\n"
            "from profiler.errors import ProfileError\n"
            "try: Profile.append(sys.argv[1])\n"
            "except ProfileError as error: print(error)\n"
        )
        done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True)
        assert "is in use by another edgetime" in done.stdout, done.stderr
        store.add(SETTING.key, PROBE.key, PROBE.kind, 0, RESULT)
    with Profile.open(path) as store:
        assert len(store) == 1


def test_a_full_disk_is_told_of_and_nothing_is_lost(path: Path) -> None:
    with Profile.append(filled(path)) as store:
        pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
        store._connection.execute(f"PRAGMA max_page_count = {pages}")
        keys = [Probe("layer", (conv_2d(4, 4, 3, channels),)).key for channels in range(1, 1000)]
        with pytest.raises(ProfileError, match=r"No disk space left beside .*device.db"):
            collections.deque((store.add(SETTING.key, key, "layer", 1, RESULT) for key in keys), maxlen=0)
        kept = len(store)
    with Profile.open(path) as store:
        assert len(store) == kept >= 1


def test_a_file_that_cannot_be_written_is_told_of(path: Path) -> None:
    filled(path)
    if os.geteuid() == 0:
        pytest.skip("the administrator may write everything")
    path.chmod(0o444)
    path.parent.chmod(0o555)
    try:
        with pytest.raises(ProfileError, match="Cannot write"):
            Profile.append(path)
        with Profile.open(path) as store:
            assert len(store) == 1
    finally:
        path.parent.chmod(0o755)


def test_the_file_says_what_it_is(path: Path) -> None:
    filled(path)
    content = path.read_bytes()
    assert content.startswith(b"SQLite format 3\0")
    assert int.from_bytes(content[68:72], "big") == APPLICATION_ID


def test_a_profile_of_the_format_before_is_refused_with_what_to_do(path: Path) -> None:
    filled(path)
    with sqlite3.connect(path) as raw:
        raw.execute("PRAGMA user_version = 2")
    raw.close()
    assert SCHEMA_VERSION == 5
    both(
        path,
        "profile format 2, this edgetime reads format 5: use the edgetime that wrote it, or profile the device again",
    )


def test_a_measurement_without_canaries_is_read_back(path: Path) -> None:
    with Profile.append(filled(path, canaries_us=[], waited=None)) as store:
        again = store.add(SETTING.key, PROBE.key, PROBE.kind, 1, {**RESULT, "canaries_us": None})
        rows = store.raw()
        assert rows[-1] == again
        assert [row.canaries_us for row in rows] == [[], []]
        assert rows[0].waited is None
        found = store.reading(SETTING.key)
    assert (found.calm.share, found.times[0].calm, found.times[0].time_us) == (1.0, True, 4.0)


def test_what_is_added_is_returned_as_it_will_be_read(path: Path) -> None:
    with Profile.append(path) as store:
        store.register(SETTING, FINGERPRINT)
        added = [store.add(SETTING.key, PROBE.key, PROBE.kind, number, RESULT) for number in range(3)]
        added.append(store.add(SETTING.key, PROBE.key, PROBE.kind, 3, {"error": "no kernel"}))
        assert store.raw() == added


@pytest.mark.parametrize("bad", [[float("nan"), 9.0], [-1.0, "x"], [None, None]])
def test_an_impossible_canary_is_none(path: Path, bad: list) -> None:
    with Profile.open(filled(path, canaries_us=bad)) as store:
        (row,) = store.raw()
        assert row.canaries_us == [canary for canary in bad if canary == 9.0]
        assert row.error is None
