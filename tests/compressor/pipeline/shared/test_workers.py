"""Processes that take part in a search, without a search: how they are started, reported and ended."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from compressor.pipeline.shared.workers import PARENT, Workers, cores, thread_limits

ROOT = Path(__file__).resolve().parents[4]

NAPPING = """
import os, pathlib, sys, time
from compressor.pipeline.shared.workers import end_with_parent
end_with_parent()
folder = pathlib.Path(sys.argv[1])
try:
    folder.joinpath(f"{os.getpid()}.up").write_text(os.environ.get("A_SECRET", ""))
    time.sleep(600)
except KeyboardInterrupt:
    folder.joinpath(f"{os.getpid()}.ended").touch()
"""
FAILING = "import sys; print('a line'); sys.exit('edgetime: The data is not there.')"
STUBBORN = """
import os, pathlib, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path(sys.argv[1], f"{os.getpid()}.up").touch()
time.sleep(600)
"""
PARENT_SCRIPT = """
import pathlib, sys, time
from compressor.pipeline.shared.workers import Workers
with Workers(pathlib.Path(sys.argv[1]), 1, module="napping"):
    time.sleep(600)
"""


@pytest.fixture(autouse=True)
def modules(tmp_path, monkeypatch):
    """Modules that workers can run in place of a search."""
    folder = tmp_path / "modules"
    folder.mkdir()
    for name, code in {"napping": NAPPING, "failing": FAILING, "stubborn": STUBBORN}.items():
        (folder / f"{name}.py").write_text(code)
    there = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(folder), there])))


def wait_for(what):
    until = time.monotonic() + 60
    while not (found := what()):
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)
    return found


def up(folder, count):
    """The numbers of processes that say that they run, once so many do."""
    named = wait_for(lambda: (there := sorted(folder.glob("*.up"))) and len(there) == count and there)
    return [int(path.stem) for path in named]


def test_workers_run_beside_and_are_ended_kindly(tmp_path):
    with Workers(tmp_path, 2, {"A_SECRET": "sesame"}, module="napping") as workers:
        assert up(tmp_path, 2) == sorted(workers.processes)
        assert os.getpid() not in workers.processes
        commands = [Path(f"/proc/{number}/cmdline").read_bytes() for number in workers.processes]
        assert workers.lost() == []
    assert {int(path.stem) for path in tmp_path.glob("*.ended")} == set(workers.processes)
    assert [path.read_text() for path in tmp_path.glob("*.up")] == ["sesame"] * 2
    assert not any(b"sesame" in command for command in commands)
    assert [workers.log(number).read_text() for number in (1, 2)] == ["", ""]


def test_no_workers_leave_no_trace(tmp_path):
    with Workers(tmp_path / "search", 0) as workers:
        assert workers.processes == []
    assert not (tmp_path / "search").exists()


def test_a_worker_that_fails_is_reported_with_its_last_line(tmp_path):
    with Workers(tmp_path, 1, module="failing") as workers:
        (sentence,) = wait_for(workers.lost)
    log = tmp_path / "workers" / "1.log"
    assert sentence == f"Worker 1 failed: The data is not there; the others did its work. See {log}."
    assert "a line" in log.read_text()


def test_a_worker_that_was_killed_is_reported_by_the_signal(tmp_path):
    with Workers(tmp_path, 2, module="napping") as workers:
        up(tmp_path, 2)
        os.kill(workers.processes[1], signal.SIGKILL)
        (sentence,) = wait_for(workers.lost)
    assert sentence.startswith("Worker 2 was killed (SIGKILL); the others did its work.")


def test_a_worker_that_does_not_listen_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr("compressor.pipeline.shared.workers._STOP_S", 0.2)
    with Workers(tmp_path, 1, module="stubborn") as workers:
        (number,) = up(tmp_path, 1)
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)
    assert workers.lost()[0].startswith("Worker 1 was killed (SIGKILL)")


def test_workers_end_where_their_first_process_was_killed(tmp_path):
    path = os.pathsep.join([os.environ["PYTHONPATH"], str(ROOT)])
    environment = {**{k: v for k, v in os.environ.items() if k != PARENT}, "PYTHONPATH": path}
    parent = subprocess.Popen([sys.executable, "-c", PARENT_SCRIPT, str(tmp_path)], env=environment)
    (number,) = up(tmp_path, 1)
    assert number != parent.pid
    parent.kill()
    parent.wait()
    wait_for((tmp_path / f"{number}.ended").exists)


def test_workers_share_the_cores():
    assert thread_limits(1)["OMP_NUM_THREADS"] == str(cores())
    many = thread_limits(10 * cores())
    assert many["OMP_NUM_THREADS"] == many["TF_NUM_INTRAOP_THREADS"] == "1"
