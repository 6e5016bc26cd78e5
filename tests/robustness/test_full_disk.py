"""A disk that is full says so, keeps what was there, and goes on when there is room. Needs a file system of its own to fill."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from tiny_policies import files, picks, two_stages

from profiler.devices import Setting
from profiler.errors import EdgetimeError
from profiler.files import write_json
from profiler.measurement import Profile
from profiler.operators import conv_2d
from profiler.probes import Probe
from profiler.records import Records, write_arrays
from selector.runtime import save_policy

SETTING = Setting("ai-edge-litert", "2.3.0")
TIMES = {"median_us": 5.0, "min_us": 4.0, "p20_us": 4.5, "spread": 0.1, "samples": 20, "at": 1.5e9}


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A disk of 600 kB."""
    folder = tmp_path_factory.mktemp("disk")
    command = ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("only an administrator can mount a small disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(disk: Path, leave_kb: int) -> Path:
    """Fill the disk but for some kB."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
        file.truncate(max(0, file.tell() - 1024 * leave_kb))
    return ballast


def many_records(disk: Path) -> Callable[[], int]:
    records = Records(disk / "rows.jsonl")

    def write() -> int:
        for number in range(len(records.read()), 400):
            records.append({"number": number, "text": "x" * 300})
        return len(records.read())

    return write


def many_measurements(disk: Path) -> Callable[[], int]:
    def write() -> int:
        with Profile.append(disk / "device.db") as store:
            store.register(SETTING, {"machine": "armv7l", "cpu": "Cortex-A7", "cores": 4})
            for number in range(len(store), 12):
                store.add(SETTING.key, Probe("layer", (conv_2d(4, 4, number + 1, 5),)).key, "layer", 0, TIMES)
        with Profile.open(disk / "device.db") as store:
            return len(store.measurements(SETTING.key))

    return write


def whole_file(disk: Path) -> Callable[[], int]:
    return lambda: write_json(disk / "a.json", "x" * 100_000) or 1


def arrays(disk: Path) -> Callable[[], int]:
    return lambda: write_arrays(disk / "a.npz", "s", {"x": np.zeros(30_000)}) or 1


def policy(disk: Path) -> Callable[[], int]:
    nets = files(disk / "nets", quick=picks([0, 1, 2], 2000), slow=picks([3, 4, 5], 2000))
    return lambda: bool(save_policy(two_stages(), nets, disk / "out" / "policy.json"))


@pytest.mark.parametrize("kind", [many_records, many_measurements, whole_file, arrays, policy])
def test_a_full_disk_is_called_one_and_the_same_command_goes_on_when_there_is_room(
    disk: Path, kind: Callable
):
    for left in sorted(disk.rglob("*"), reverse=True):
        left.rmdir() if left.is_dir() else left.unlink()
    write = kind(disk)
    told = 0
    for leave_kb in (0, 8, 24):
        ballast = fill(disk, leave_kb)
        with pytest.raises(EdgetimeError, match="No disk space left"):
            write()
        told += 1
        half = [one for one in disk.rglob(".*") if one.is_file()]
        assert half == [], "a part of a file stays"
        ballast.unlink()
    assert write() > 0
    print(f"{kind.__name__}: {told} full disks told of, nothing lost")
