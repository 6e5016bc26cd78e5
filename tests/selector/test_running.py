"""Policies run on rows, here and on a target, beside their best single network."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace

import numpy as np
import pytest
from tiny_policies import picks, saved, two_stages

from profiler.devices import LocalTarget, Target
from profiler.errors import DataError, EdgetimeWarning, TargetError, UsageError
from selector.running import run_policy
from selector.runtime import Specification, load_policy, pack, save_policy

ROWS = 300


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A policy whose slow network is always right, and rows for the test and for validation."""
    folder = tmp_path_factory.mktemp("place")
    shares = {"stop_shares": [0.254, 0.746], "rows": 5000}
    path = saved(
        folder / "policy",
        replace(two_stages(), expected=shares),
        quick=picks([0, 1, 2]),
        slow=picks([3, 4, 5]),
    )
    x = np.random.default_rng(0).dirichlet([1, 1, 1], (ROWS, 2)).reshape(ROWS, 6).astype(np.float32)
    y = x[:, 3:].argmax(axis=1)
    np.savez(folder / "all.npz", x=x[:10], y=y[:10], x_val=x[:20], y_val=y[:20], x_test=x, y_test=y)
    np.savez(folder / "x.npz", x=x)
    return path, folder, x, y


def test_runs_here_on_test_rows_and_says_how_right_it_and_the_single_network_are(place):
    policy, folder, x, y = place
    with pytest.warns(EdgetimeWarning, match="made for board, and this is"):
        found = run_policy(policy, folder / "all.npz", seconds=0.01)
    loaded = load_policy(policy)
    answers = loaded(x)
    assert np.allclose(found.arrays["outputs"], answers, atol=1e-6)
    assert np.array_equal(found.arrays["stage"], loaded.trace.stage)
    assert found.accuracy == (answers.argmax(axis=1) == y).mean()
    assert found.single_accuracy == 1.0
    assert found.rows.startswith("300 test rows of")
    first, second = found.to_dict()["stages"]
    assert first["answered"] + second["answered"] == pytest.approx(1)
    assert (first["ran"], second["ran"]) == (1.0, pytest.approx(second["answered"]))
    assert found.summary["predicted"]["mean_ms"] == pytest.approx(1 + 4 * second["ran"])
    assert found.summary["measured"]["mean_ms"] == pytest.approx(found.arrays["measured_ms"].mean())
    assert sum(found.summary["drift"]["stops"]) == ROWS  # however many rounds were measured


@pytest.mark.filterwarnings("ignore::profiler.errors.EdgetimeWarning")
def test_a_target_gives_the_same_answers_with_nothing_but_what_was_sent(place, tmp_path):
    policy, folder, _, _ = place
    here = run_policy(policy, folder / "x.npz", seconds=0.01)
    with LocalTarget(kernels="builtin") as target:
        there = run_policy(policy, folder / "x.npz", target, seconds=0.01)
    assert np.allclose(there.arrays["outputs"], here.arrays["outputs"], atol=1e-5)
    assert np.array_equal(there.arrays["stage"], here.arrays["stage"])
    assert there.accuracy is None
    assert all(stage["agent_ms"] > 0 for stage in there.summary["stages"])


@pytest.mark.filterwarnings("ignore::profiler.errors.EdgetimeWarning")
def test_what_goes_wrong_on_a_target_is_said(place, tmp_path):
    policy, _, _, _ = place
    np.savez(tmp_path / "wide.npz", x=np.zeros((4, 7), np.float32))
    with pytest.raises(TargetError, match=r"local does not run .*shape \(7,\)"):
        run_policy(policy, tmp_path / "wide.npz", "local")


def test_a_target_that_runs_no_policies_is_named(place):
    class Clock(Target):
        name = "clock"

        def hello(self):
            return {"cpu": "board", "cores": 0}

    policy, folder, _, _ = place
    with pytest.warns(EdgetimeWarning), pytest.raises(TargetError, match="clock runs no policies"):
        run_policy(policy, folder / "x.npz", Clock())


def test_what_is_sent_holds_the_policy_and_few_files(place):
    policy, _, x, _ = place
    assert len(pack(policy, {"": x[:1]})) < 65_000


@pytest.mark.filterwarnings("ignore::profiler.errors.EdgetimeWarning")
def test_a_policy_of_one_network_runs_too(place, tmp_path):
    _, folder, _, _ = place
    network = two_stages().networks[1]
    only = Specification("static", "board", (network,))
    path = save_policy(only, [folder / "policy" / "nets" / "slow.tflite"], tmp_path)
    found = run_policy(path, folder / "all.npz", seconds=0.01)
    assert found.accuracy == found.single_accuracy == 1.0
    assert [stage["answered"] for stage in found.summary["stages"]] == [1.0]
    assert found.summary["drift"] is None


def test_bad_arguments_are_refused_in_a_sentence(place, tmp_path):
    policy, folder, _, _ = place
    with pytest.raises(UsageError, match="seconds must be above 0"):
        run_policy(policy, folder / "x.npz", seconds=0)
    with pytest.raises(UsageError, match="on_drift is warn or single"):
        run_policy(policy, folder / "x.npz", on_drift="panic")
    with pytest.raises(DataError, match="does not exist"):
        run_policy(policy, tmp_path / "none.npz")


# --- On a board over SSH ------------------------------------------------------------------------------------


@pytest.fixture
def board(tmp_path, monkeypatch):
    """An `ssh` that runs the remote command here with what `$BOARD` says of its environment; cut, after some bytes."""
    home = tmp_path / "board"
    home.mkdir()
    code = f"""#!{sys.executable}
import json, os, subprocess, sys
settings = json.loads(os.environ.get("BOARD", "{{}}"))
for name, value in settings.items():
    os.environ[name] = value
os.chdir({str(home)!r})
cut = "CUT" in settings  # then nothing more comes from there
pipes = dict(stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) if cut else {{}}
board = subprocess.Popen(["/bin/sh", "-c", sys.argv[-1]], **pipes)
if cut:
    board.stdin.write(sys.stdin.buffer.read(int(settings["CUT"])))
    board.kill()
    sys.exit("Connection to board closed by remote host.")
sys.exit(board.wait())
"""
    program = tmp_path / "ssh"
    program.write_text(code)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return home


SSH = f"ssh://pi@board?python={sys.executable}"


@pytest.mark.filterwarnings("ignore::profiler.errors.EdgetimeWarning")
def test_a_board_over_ssh_answers_the_same_and_nothing_is_left_there(place, board, monkeypatch):
    policy, folder, _, _ = place
    monkeypatch.setenv("BOARD", json.dumps({"TMPDIR": str(board), "PYTHONPATH": ""}))
    there = run_policy(policy, folder / "x.npz", SSH, seconds=0.01)
    assert np.array_equal(
        there.arrays["stage"], run_policy(policy, folder / "x.npz", seconds=0.01).arrays["stage"]
    )
    assert not list(board.iterdir())


@pytest.mark.filterwarnings("ignore::profiler.errors.EdgetimeWarning")
def test_a_board_without_room_for_the_policy_is_said(place, board, monkeypatch):
    policy, folder, _, _ = place
    site = board.parent / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(FULL_DISK)
    monkeypatch.setenv("BOARD", json.dumps({"PYTHONPATH": str(site)}))
    with pytest.raises(
        TargetError, match=r"There is no room for the policy in .*No space left.*set TMPDIR there\.$"
    ):
        run_policy(policy, folder / "x.npz", SSH, seconds=0.01)


FULL_DISK = """
import errno, os, zipfile
def full(self, path):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
zipfile.ZipFile.extractall = full
"""


def test_a_connection_that_is_cut_is_said(place, board, monkeypatch):
    policy, folder, _, _ = place
    monkeypatch.setenv("BOARD", json.dumps({"CUT": "1000"}))
    with pytest.raises(TargetError, match=r"closed by remote host.*check that 'ssh pi@board' logs in"):
        run_policy(policy, folder / "x.npz", SSH, seconds=0.01)


@pytest.mark.filterwarnings("ignore::profiler.errors.EdgetimeWarning")
def test_a_board_that_goes_away_while_the_policy_runs_is_said(place, board, monkeypatch):
    policy, folder, _, _ = place
    site = board.parent / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(
        "import os, zipfile\nzipfile.ZipFile.extractall = lambda *_: os._exit(9)\n"
    )
    monkeypatch.setenv("BOARD", json.dumps({"PYTHONPATH": str(site)}))
    with pytest.raises(TargetError, match=r"ended while it ran, so run it again: it ended with status 9\.$"):
        run_policy(policy, folder / "x.npz", SSH, seconds=0.01)


def test_a_board_without_a_runtime_or_with_another_agent_is_said(place, board, monkeypatch):
    policy, folder, _, _ = place
    with pytest.raises(TargetError, match=r"does not run .*not found.*has numpy and LiteRT"):
        run_policy(policy, folder / "x.npz", "ssh://board?python=/none/python3", seconds=0.01)
    monkeypatch.setattr("profiler.devices.agent.PROTOCOL", -1)
    with pytest.raises(TargetError, match="belongs to another version of edgetime"):
        run_policy(policy, folder / "x.npz", SSH, seconds=0.01)
