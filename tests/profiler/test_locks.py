import os
import platform
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from profiler import locks
from profiler.errors import EdgetimeError
from profiler.locks import OWNER_FILE, KernelLock, owned

HOLDS = """
import sys, time
from profiler.locks import owned
with owned(sys.argv[1], "-o"):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path: Path):
    """Another process that works on a folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(tmp_path / "out")], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_who_works_on_a_folder_is_told_and_the_folder_is_left_alone(holder, tmp_path: Path):
    before = (tmp_path / "out" / OWNER_FILE).read_bytes()
    with pytest.raises(EdgetimeError) as refused, owned(tmp_path / "out", "--out"):
        pass
    words = str(refused.value)
    assert words.startswith(
        f"{tmp_path / 'out'} is in use by process {holder.pid} on {platform.node()} since 2"
    )
    assert words.endswith("name another folder by --out, wait until that process has ended, or stop it.")
    assert refused.value.exit_code == 1
    assert (tmp_path / "out" / OWNER_FILE).read_bytes() == before


def test_a_killed_owner_leaves_nothing_to_clean_up(holder, tmp_path: Path):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (tmp_path / "out" / OWNER_FILE).exists()
    with owned(tmp_path / "out", "-o"):
        assert str(os.getpid()) in (tmp_path / "out" / OWNER_FILE).read_text()
    assert not (tmp_path / "out" / OWNER_FILE).exists()


def test_an_owner_that_has_not_said_who_it_is_counts_all_the_same(tmp_path: Path):
    lock = KernelLock(tmp_path / OWNER_FILE)
    lock.acquire()
    with pytest.raises(EdgetimeError, match="in use by another process: "), owned(tmp_path, "-o"):
        pass
    lock.release()
    with owned(tmp_path, "-o"):
        pass


def test_a_lock_whose_file_its_last_holder_removed_is_taken_anew(tmp_path: Path, monkeypatch):
    """Else two processes would hold locks on two files of the same name."""
    acquire, taken = KernelLock.acquire, []

    def late(self, wait=True):
        found = acquire(self, wait)
        taken.append(self)
        if len(taken) == 1:
            (tmp_path / OWNER_FILE).unlink()
        return found

    monkeypatch.setattr(KernelLock, "acquire", late)
    with owned(tmp_path, "-o"):
        assert len(taken) == 2
        with pytest.raises(EdgetimeError, match=f"process {os.getpid()} "), owned(tmp_path, "-o"):
            pass


def test_a_folder_in_which_nothing_was_made_is_removed(tmp_path: Path):
    with owned(tmp_path / "a" / "b", "-o"):
        assert (tmp_path / "a" / "b").is_dir()
    assert not (tmp_path / "a").exists()
    with owned(tmp_path / "a" / "b", "-o"):
        (tmp_path / "a" / "b" / "result").write_text("x")
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["result"]


def test_a_failure_gives_the_folder_up(tmp_path: Path):
    with pytest.raises(ZeroDivisionError), owned(tmp_path, "-o"):
        raise ZeroDivisionError
    with owned(tmp_path, "-o"):
        pass


def test_what_cannot_be_made_is_left_to_who_writes_there(tmp_path: Path):
    (tmp_path / "file").write_text("x")
    reached = []
    with owned(tmp_path / "file" / "out", "-o"):
        reached.append(1)
    assert reached


def test_without_locks_of_the_kernel_work_goes_on(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(locks, "AVAILABLE", False)
    with owned(tmp_path, "-o"):
        assert not (tmp_path / OWNER_FILE).exists()
