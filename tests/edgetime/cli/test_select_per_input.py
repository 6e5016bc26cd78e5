"""``edgetime select --per-input``: a policy that ``edgetime run`` and `load_policy` take."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_policies import dense

from edgetime.cli import app
from profiler.errors import DataError
from selector.fitting import select_per_input
from selector.policies import PolicyGoal
from selector.runtime import load_policy
from timemodel.model import NetworkPrediction

CLASSES = 4


class BySize:
    """A time model that charges 1 ms for a hundred multiply-accumulates."""

    device = "abacus"

    def predict(self, network):
        ms = network.macs / 100
        return NetworkPrediction(
            network.name, self.device, network.dtype, 1, ms, 0.9 * ms, 1.1 * ms, 1.0, (), 64, ()
        )


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A network that sees the first half of a row, which is right for most, and one that sees all of it."""
    folder = tmp_path_factory.mktemp("nets")
    random = np.random.default_rng(0)
    y = random.integers(0, CLASSES, 1200)
    x = random.normal(size=(1200, 4 * CLASSES)).astype(np.float32)
    x[np.arange(1200), y] += 3
    x[np.arange(1200), CLASSES + y] += 3
    small = np.eye(CLASSES, 4 * CLASSES)
    (folder / "small.tflite").write_bytes(narrow(small[:, : 2 * CLASSES]))
    (folder / "large.tflite").write_bytes(
        dense(2 * (small + np.roll(small, CLASSES, axis=1)), np.zeros(CLASSES))
    )
    np.savez(folder / "d.npz", x=x[:9], y=y[:9], x_val=x[:800], y_val=y[:800], x_test=x[800:], y_test=y[800:])
    np.savez(folder / "plain.npz", x=x, y=y)
    return folder


def narrow(weights):
    """A network of the same input that multiplies less: it takes a slice of it first."""
    from profiler.network import Layer, Tensor
    from profiler.tflite.writer import ModelPlan, OperatorPlan, TensorPlan, encode

    outputs, inputs = weights.shape
    full = 4 * CLASSES
    begin, size = np.array([0, 0], np.int32), np.array([1, inputs], np.int32)
    cut = Layer(
        "slice",
        (Tensor((1, full)), Tensor((2,), "int32", constant=True), Tensor((2,), "int32", constant=True)),
        (Tensor((1, inputs)),),
    )
    layer = Layer(
        "fully_connected",
        (
            Tensor((1, inputs)),
            Tensor((outputs, inputs), constant=True),
            Tensor((outputs,), constant=True),
        ),
        (Tensor((1, outputs)),),
        {"activation": "none"},
    )
    plan = ModelPlan(
        tensors=[
            TensorPlan("x", (1, full), "float32"),
            TensorPlan("begin", (2,), "int32", begin),
            TensorPlan("size", (2,), "int32", size),
            TensorPlan("part", (1, inputs), "float32"),
            TensorPlan("weights", (outputs, inputs), "float32", np.asarray(weights, np.float32)),
            TensorPlan("bias", (outputs,), "float32", np.zeros(outputs, np.float32)),
            TensorPlan("y", (1, outputs), "float32"),
        ],
        operators=[OperatorPlan(cut, [0, 1, 2], [3]), OperatorPlan(layer, [3, 4, 5], [6])],
        inputs=[0],
        outputs=[6],
    )
    return encode(plan)


def run_verb(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        app([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return ended.value.code, captured.out, captured.err


@pytest.fixture
def command(place, monkeypatch):
    monkeypatch.setattr("selector.fitting.TimeModel.load", lambda path: BySize())
    monkeypatch.setenv("COLUMNS", "240")
    nets = (place / "small.tflite", place / "large.tflite")
    return ("select", "--per-input", "--time-model", "t.json", *nets, "--data", place / "d.npz")


def test_what_is_written_runs_as_fast_and_as_right_as_was_said(place, command, capsys, tmp_path):
    loose = ("--max-accuracy-drop", "2", "--confidence", "0")
    status, out, _ = run_verb(capsys, *command, *loose, "--json", "-o", tmp_path / "policy")
    assert status == 0
    value = json.loads(out)
    assert value["kind"] == "cascade"
    assert len(value["stages"]) == 2
    assert value["judged_on"] == f"800 validation rows of {place / 'd.npz'}"
    policy = load_policy(tmp_path / "policy")
    with np.load(place / "d.npz") as arrays:
        x, y = arrays["x_val"], arrays["y_val"]
    right = policy(x).argmax(axis=1) == y
    assert right.mean() == pytest.approx(value["chosen"]["accuracy"], abs=2 / 800)
    assert policy.trace.predicted_ms.mean() == pytest.approx(value["chosen"]["mean_ms"], rel=0.01)
    shares = policy.trace.shares(len(value["stages"]))
    assert shares == pytest.approx(value["expected"]["stop_shares"], abs=2 / 800)
    assert not policy.drift.changed


def test_shows_singles_oracle_ensemble_and_what_is_promised(command, capsys):
    status, out, _ = run_verb(capsys, *command)
    assert status == 0
    for words in (
        "single",
        "oracle",
        "ensemble",
        "cascade, chosen",
        "times as fast as",
        "Nothing is promised",
    ):
        assert words in out


def test_a_promise_is_said_in_words_and_kept_in_the_policy(command, capsys, tmp_path):
    status, out, _ = run_verb(capsys, *command, "--max-accuracy-drop", "3", "-o", tmp_path / "p.json")
    assert status == 0
    promise = load_policy(tmp_path / "p.json").specification.promise
    assert promise["confidence"] == 0.95
    assert promise["sentence"] in out
    status, out, _ = run_verb(capsys, *command, "--max-accuracy-drop", "3", "--confidence", "0")
    assert "Nothing is promised" in out


def test_a_premodel_promises_as_a_cascade_does(command, capsys, tmp_path):
    arguments = (
        *command,
        "--policy",
        "premodel",
        "--max-accuracy-drop",
        "20",
        "--confidence",
        "0.9",
        "--json",
    )
    status, out, _ = run_verb(capsys, *arguments, "-o", tmp_path / "p")
    assert status == 0
    value = json.loads(out)
    assert value["promise"]["sentence"].startswith("With 90% confidence this policy loses at most 20 points")
    assert load_policy(tmp_path / "p").specification.promise == value["promise"]


def test_groups_of_validation_rows_come_from_the_file(place, tmp_path):
    """Eight people are too few to promise anything by; as independent rows they would be enough."""
    nets = [place / "small.tflite", place / "large.tflite"]
    with np.load(place / "d.npz") as arrays:
        np.savez(tmp_path / "d.npz", **arrays, groups_val=np.arange(800) % 8)
        np.savez(tmp_path / "part.npz", **arrays, groups=np.arange(9))
    goal = PolicyGoal("time", max_accuracy_drop=3.0, confidence=0.9)
    with pytest.raises(DataError, match=r"d\.npz has 8 groups, .* give more groups"):
        select_per_input(BySize(), nets, tmp_path / "d.npz", goal)
    found = select_per_input(BySize(), nets, tmp_path / "part.npz", PolicyGoal())
    assert found.fit.notes[-1].endswith(
        "part.npz has groups, but no groups_val: each validation row counts as independent of all others."
    )


def test_rows_that_may_have_trained_the_networks_are_refused_unless_the_user_vouches_for_them(place):
    nets = [place / "small.tflite", place / "large.tflite"]
    with pytest.raises(DataError, match=r"plain\.npz has only x and y.*--held-out"):
        select_per_input(BySize(), nets, place / "plain.npz")
    found = select_per_input(BySize(), nets, place / "plain.npz", held_out=True)
    assert found.judged_on == f"1200 rows of {place / 'plain.npz'}"


def test_the_longest_time_of_any_input_is_kept(place):
    nets = [place / "small.tflite", place / "large.tflite"]
    found = select_per_input(BySize(), nets, place / "d.npz", PolicyGoal(longest_ms=0.7))
    assert found.fit.chosen.longest_ms <= 0.7


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--policy", "oracle"), "no policy 'oracle'"),
        (("--prefer", "accuracy", "--budget-ms", "0"), "budget_ms of 0"),
        (("--max-accuracy-drop", "-1"), "drop of -1"),
        (("--link", "mbps=8"), "latency_ms"),
        (("--link", "latency_ms=1,mbps=8", "--policy", "premodel"), "edge_or_cloud"),
        (("--max-memory-kb", "5"), "no limit of memory"),
        (("--split",), "--link and one network"),
    ],
)
def test_bad_arguments_are_refused_in_a_sentence(command, capsys, more, words):
    status, out, err = run_verb(capsys, *command, *more)
    assert (status, out) == (2, "")
    assert words in err


def left(folder):
    return sorted(path.name for path in folder.rglob("*"))


def test_places_that_cannot_be_written_to_are_told_before_any_work(command, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("selector.fitting.select_per_input", None)  # working would fail
    (tmp_path / "file").write_text("")
    for option in ("-o", "--html"):
        status, out, err = run_verb(capsys, *command, option, tmp_path / "file" / "p.json")
        assert (status, out) == (1, "")
        assert err.count("\n") == 1
        assert "Cannot write" in err
    assert left(tmp_path) == ["file"]


def test_a_disk_that_fills_up_is_one_sentence_and_leaves_no_half_file(command, capsys, tmp_path):
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
        status, out, err = run_verb(capsys, *command, "--json", "-o", tmp_path / "policy")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (status, out) == (1, "")
    assert "File too large" in err
    assert err.count("edgetime: ") == 1
    assert left(tmp_path) == ["policy"]


def test_ctrl_c_half_way_leaves_nothing(command, capsys, tmp_path, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("selector.policies.cascade.as_fit", stop)
    status, out, err = run_verb(
        capsys, *command, "--json", "-o", tmp_path / "p.json", "--html", tmp_path / "p.html"
    )
    assert (status, out) == (1, "")
    assert err.endswith("edgetime: Stopped.\n")
    assert left(tmp_path) == []


KILLED = """
import os, signal, sys
sys.path[:0] = [{tests!r}, {here!r}]
import selector.runtime.files as files
from test_select_per_input import BySize
from edgetime.cli import app
import selector.fitting
selector.fitting.TimeModel.load = lambda path: BySize()
files.write_json = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
app({arguments!r})
"""


def test_a_kill_while_the_policy_is_written_leaves_the_one_before_whole(command, capsys, tmp_path):
    status, _, _ = run_verb(capsys, *command, "-o", tmp_path / "policy")
    assert status == 0
    before = load_policy(tmp_path / "policy").specification
    loose = ("--max-accuracy-drop", "10", "--confidence", "0", "-o", tmp_path / "policy")
    here = Path(__file__).parent
    code = KILLED.format(
        tests=str(here.parents[1]), here=str(here), arguments=[str(one) for one in (*command, *loose)]
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert load_policy(tmp_path / "policy").specification == before
    status, _, _ = run_verb(capsys, *command, *loose)
    assert status == 0
    assert load_policy(tmp_path / "policy").specification != before


def test_options_of_policies_by_input_need_it(command, capsys):
    without = [one for one in command if one != "--per-input"]
    status, _, err = run_verb(capsys, *without, "--stages", "2")
    assert status == 2
    assert "--per-input" in err
    status, _, err = run_verb(capsys, *command[:-2])
    assert status == 2
    assert "--data" in err
