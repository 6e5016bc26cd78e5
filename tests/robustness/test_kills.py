"""Processes that are killed while they write: what they had told of is there, whole, and nothing else stays behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from profiler.devices import Setting
from profiler.files import clear_unfinished
from profiler.measurement import Profile
from profiler.records import Records, read_arrays

KILLS = int(os.environ.get("EDGETIME_KILLS", "2"))
"""For each kind of file."""

RECORDS = """
from profiler.records import Records
records = Records(path / "rows.jsonl", {"of": "this"})
for number in range(len(records.read()), 10**9):
    records.append({"number": number, "text": "x" * (number % 5000)}); tell(number)
"""
WHOLE_FILES = """
import numpy as np
from profiler.files import write_json
from profiler.records import write_arrays
for number in range(10**9):
    write_json(path / "a.json", {"number": number, "text": "x" * 100_000})
    write_arrays(path / "a.npz", "s", {"x": np.full(50_000, number)}); tell(number)
"""
PROFILE = """
from profiler.devices import Setting
from profiler.measurement import Profile
from profiler.operators import conv_2d
from profiler.probes import Probe
setting = Setting("ai-edge-litert", "2.3.0")
times = {"median_us": 5.0, "min_us": 4.0, "p20_us": 4.5, "spread": 0.1, "samples": 20, "at": 1.5e9}
with Profile.append(path / "device.db") as store:
    store.register(setting, {"machine": "armv7l", "cpu": "Cortex-A7", "cores": 4})
    for number in range(len(store), 10**9):
        store.add(setting.key, Probe("layer", (conv_2d(4, 4, 1 + number, 5),)).key, "layer", 0, times); tell(number)
"""


def check_records(path: Path, told: int) -> None:
    rows = Records(path / "rows.jsonl", {"of": "this"}).read()
    assert [row["number"] for row in rows] == list(range(len(rows)))
    assert len(rows) > told


def check_whole_files(path: Path, told: int) -> None:
    clear_unfinished(path)
    assert {one.name for one in path.iterdir()} <= {"a.json", "a.npz"}
    if told >= 0:
        assert json.loads((path / "a.json").read_text())["number"] >= told
        arrays = read_arrays(path / "a.npz", "s")
        assert arrays is not None
        assert arrays["x"].min() == arrays["x"].max() >= told
        assert arrays["x"].dtype == np.int64


def check_profile(path: Path, told: int) -> None:
    if told >= 0:
        with Profile.open(path / "device.db") as store:
            assert len(store.raw()) > told
            assert list(store.settings.values()) == [Setting("ai-edge-litert", "2.3.0")]


@pytest.mark.parametrize(
    ("code", "check"),
    [(RECORDS, check_records), (WHOLE_FILES, check_whole_files), (PROFILE, check_profile)],
    ids=["records", "whole files", "profile"],
)
def test_nothing_that_was_told_of_is_lost(tmp_path: Path, code: str, check: Callable[[Path, int], None]):
    start = (
        "import os, sys, pathlib; path = pathlib.Path(sys.argv[1])\n"
        "def tell(number): os.write(1, b'%d\\n' % number)\n"
    )
    rng = np.random.default_rng(len(code))
    seen = []
    for _ in range(KILLS):
        with subprocess.Popen(
            [sys.executable, "-c", start + code, str(tmp_path)], stdout=subprocess.PIPE
        ) as writer:
            assert writer.stdout is not None
            first = writer.stdout.readline()
            time.sleep(rng.uniform(0, 0.1))
            writer.kill()
            lines = first + writer.stdout.read()
        told = int(lines[: lines.rindex(b"\n")].split()[-1])
        for left in tmp_path.glob(".*"):
            os.utime(left, (0, 0))  # as if it were later
        check(tmp_path, told)
        seen.append(told)
    print(f"{KILLS} kills, the last one after {seen[-1] + 1} writes; nothing lost")
    assert len(seen) == KILLS
