"""``edgetime pack`` and ``unpack``, and packed networks in other verbs."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tiny_lines import classifier, rows

from compressor.export import TfliteRunner
from edgetime.cli import app


@pytest.fixture
def place(tmp_path):
    (tmp_path / "net.tflite").write_bytes(classifier())
    x = rows(60)
    np.savez(tmp_path / "d.npz", x=x, y=TfliteRunner(classifier()).predict(x).argmax(axis=1))
    return tmp_path


def run_verb(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        app([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return ended.value.code, captured.out, " ".join(captured.err.split())


@pytest.fixture
def packed(place, capsys):
    arguments = ("--data", place / "d.npz", "--max-accuracy-drop", "2", "--json")
    status, out, err = run_verb(capsys, "pack", place / "net.tflite", "-o", place / "net.lct", *arguments)
    assert status == 0, err
    return json.loads(out)


def test_pack_says_size_and_accuracy_and_unpack_gives_the_network(place, packed, capsys):
    assert packed["ratio"] == pytest.approx(packed["float32_bytes"] / packed["nbytes"])
    assert packed["accuracy_before"] == 1.0
    assert packed["accuracy_after"] >= 0.98
    status, _, _ = run_verb(capsys, "unpack", place / "net.lct", "-o", place / "again.tflite")
    assert status == 0
    assert (place / "again.tflite").stat().st_size == (place / "net.tflite").stat().st_size


def test_a_packed_network_is_predicted_and_run_as_it_is(place, packed, capsys, time_model_file):
    status, out, err = run_verb(
        capsys, "predict", time_model_file, place / "net.tflite", place / "net.lct", "--json"
    )
    assert status == 0, err
    first, second = (json.loads(line) for line in out.splitlines())
    assert (second["network"].split("/")[-1], second["predicted_ms"]) == ("net.lct", first["predicted_ms"])
    arguments = ("--data", place / "d.npz", "-o", place / "out.npz", "--json")
    status, out, err = run_verb(capsys, "run", place / "net.lct", *arguments)
    assert status == 0, err
    assert json.loads(out)["accuracy"] == packed["accuracy_after"]
    with np.load(place / "out.npz") as arrays:
        assert arrays["outputs"].shape == (60, 3)


def test_a_packed_network_is_selected_and_its_policy_runs(place, packed, capsys, time_model_file):
    arguments = ("--time-model", time_model_file, "--data", place / "d.npz", "-o", place / "policy")
    status, _, err = run_verb(capsys, "select", place / "net.lct", *arguments)
    assert status == 0, err
    status, out, err = run_verb(
        capsys, "run", place / "policy", "--data", place / "d.npz", "--seconds", "0.01", "--json"
    )
    assert status == 0, err
    assert json.loads(out)["accuracy"] == packed["accuracy_after"]


@pytest.mark.parametrize(
    ("verb", "more"),
    [("predict", ()), ("run", ("--data", "d.npz")), ("unpack", ("-o", "again.tflite"))],
)
def test_a_damaged_file_is_named_by_every_verb(
    place, packed, capsys, monkeypatch, time_model_file, verb, more
):
    monkeypatch.chdir(place)
    content = bytearray((place / "net.lct").read_bytes())
    content[len(content) // 2] ^= 4
    (place / "net.lct").write_bytes(bytes(content))
    first = (time_model_file,) if verb == "predict" else ()
    status, out, err = run_verb(capsys, verb, *first, "net.lct", *more)
    assert (status, out) == (1, "")
    assert "net.lct is damaged" in err
    assert not (place / "again.tflite").exists()


def test_bad_arguments_are_status_2(place, capsys):
    for more in (("--ratio", "0"), ("--max-accuracy-drop", "1"), ("--level", "finetune")):
        status, _, _ = run_verb(capsys, "pack", place / "net.tflite", "-o", place / "x.lct", *more)
        assert status == 2
    status, _, err = run_verb(capsys, "pack", place / "net.tflite", "-o", place / "x.bin")
    assert (status, ".lct" in err) == (2, True)
