"""``edgetime run``: what it prints, what it writes, how it fails."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tiny_policies import picks, saved, two_stages

from edgetime.cli import app


@pytest.fixture
def place(tmp_path):
    policy = saved(tmp_path / "policy", two_stages(), quick=picks([0, 1, 2]), slow=picks([3, 4, 5]))
    x = np.random.default_rng(0).dirichlet([1, 1, 1], (40, 2)).reshape(40, 6).astype(np.float32)
    np.savez(tmp_path / "d.npz", x=x, y=x[:, 3:].argmax(axis=1))
    return policy, tmp_path


def run_verb(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        app([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return ended.value.code, captured.out, captured.err


def test_prints_only_json_and_writes_what_each_row_got(place, capsys):
    policy, folder = place
    out_file = folder / "out.npz"
    arguments = ("run", policy, "--data", folder / "d.npz", "--seconds", "0.01", "-o", out_file, "--json")
    status, out, err = run_verb(capsys, *arguments)
    assert status == 0
    value = json.loads(out)
    assert value["rows"] == 40
    assert value["policy_device"] == "board"
    assert value["single"]["accuracy"] == 1.0
    assert "made for board" in err
    with np.load(out_file) as arrays:
        assert arrays["outputs"].shape == (40, 3)
        assert set(arrays["stage"].tolist()) == {0, 1}
        assert arrays["measured_ms"].min() > 0


def test_shows_stages_times_and_accuracy(place, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    policy, folder = place
    status, out, _ = run_verb(capsys, "run", policy.parent, "--data", folder / "d.npz", "--seconds", "0.01")
    assert status == 0
    for words in ("quick", "slow alone, measured", "p99", "Accuracy", "times as fast as slow alone"):
        assert words in out


def test_writes_the_policy_as_one_file_and_says_how_it_compares(place, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    policy, folder = place
    arguments = ("run", policy, "--data", folder / "d.npz", "--seconds", "0.01", "--one-file")
    status, out, _ = run_verb(capsys, *arguments, folder / "one.tflite")
    assert status == 0
    assert "one.tflite stops at the same stage on all 40 rows" in " ".join(out.split())
    status, out, _ = run_verb(capsys, *arguments, folder / "one.tflite", "--json")
    assert json.loads(out)["one_file"]["different"] == 0
    status, _, err = run_verb(capsys, *arguments, folder / "one.bin")
    assert status == 2
    assert "is to be a .tflite file" in err


def test_fails_in_one_sentence(place, capsys):
    policy, folder = place
    (folder / "policy" / "nets" / "slow.tflite").write_bytes(b"other")
    status, out, err = run_verb(capsys, "run", policy, "--data", folder / "d.npz")
    assert (status, out) == (1, "")
    assert "slow.tflite is not the file that" in " ".join(err.split())
    status, _, err = run_verb(capsys, "run", folder / "none.json", "--data", folder / "d.npz")
    assert status == 2
    assert "does not exist" in err
