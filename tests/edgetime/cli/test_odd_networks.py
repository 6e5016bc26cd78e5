"""Signatures, loops and bad files beside good ones, in the verbs that read networks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.edgetime.cli.test_verbs import fails, run
from tests.odd_files import empty_file, endless_loop, two_signatures


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of two signatures, one without operators, and one with a loop of unknown length."""
    folder = tmp_path_factory.mktemp("odd")
    for name, content in (("empty", empty_file()), ("loop", endless_loop()), ("two", two_signatures())):
        (folder / f"{name}.tflite").write_bytes(content)
    return folder


def test_each_signature_gets_a_line_and_one_can_be_chosen(time_model_file: Path, folder: Path):
    two = folder / "two.tflite"
    for verb in ("predict", "advise"):
        lines = [json.loads(line) for line in run(verb, time_model_file, two, "--json").stdout.splitlines()]
        assert [line["signature"] for line in lines] == ["decode", "prefill"]
        assert lines[0]["predicted_ms"] < lines[1]["predicted_ms"]
        (only,) = run(verb, time_model_file, two, "--signature", "prefill", "--json").stdout.splitlines()
        assert json.loads(only) == lines[1]
        assert "no signature 'gone', only decode, prefill" in fails(
            2, verb, time_model_file, two, "--signature", "gone"
        )


def test_select_ranks_the_signatures_and_leaves_a_bad_file_out(time_model_file: Path, folder: Path):
    names = folder / "empty.tflite", folder / "two.tflite"
    done = run("select", "--time-model", time_model_file, *names, status=1)
    assert "empty.tflite holds no operators" in " ".join(done.stderr.split())
    rows = [line.split("  ")[0].strip() for line in done.stdout.splitlines()[1:3]]
    assert rows == ["two, decode", "two, prefill"]
    found = json.loads(run("select", "--time-model", time_model_file, names[1], "--json").stdout)
    assert found["recommended"] == "two, decode.tflite"
    done = run("select", "--time-model", time_model_file, names[1], "--signature", "prefill")
    assert "two, prefill" in done.stdout
    assert "decode" not in done.stdout


@pytest.mark.parametrize("error", [RuntimeError("no idea"), RecursionError(), MemoryError()])
def test_even_a_bug_that_one_file_brings_out_ends_no_batch(
    time_model_file: Path, folder: Path, monkeypatch, error
):
    import profiler.tflite as tflite

    read = tflite.read_network

    def fail(source, *more, **named):
        if "loop" in str(source):
            raise error
        return read(source, *more, **named)

    monkeypatch.setattr(tflite, "read_network", fail)
    monkeypatch.setattr("selector.selection.read_network", fail)
    files = folder / "loop.tflite", folder / "two.tflite"
    done = run("predict", time_model_file, *files, "--json", status=1)
    assert len(done.stdout.splitlines()) == 2
    assert "1 of 2 networks could not be predicted" in done.stderr
    done = run("select", "--time-model", time_model_file, *files, status=1)
    assert "two, decode" in done.stdout


def test_a_loop_of_unknown_length_is_a_lower_bound_until_its_turns_are_given(
    time_model_file: Path, folder: Path
):
    done = run("predict", time_model_file, folder / "loop.tflite", "--json")
    assert "one turn is counted: say it with --loop-turns" in " ".join(done.stderr.split())
    assert json.loads(done.stdout)["at_least"]
    told = run("predict", time_model_file, folder / "loop.tflite", "--loop-turns", "1000", "--json")
    assert not json.loads(told.stdout)["at_least"]


def test_compare_takes_the_signature_that_is_meant(time_model_file: Path, folder: Path):
    two, model = folder / "two.tflite", ("--time-model", time_model_file)
    said = " ".join(fails(2, "compare", two, two, *model).split())
    assert "holds several networks (decode, prefill): name one of them with --signature" in said
    assert "has no 'gone'" in fails(2, "compare", two, two, *model, "--signature", "gone")
    done = run("compare", two, two, *model, "--signature", "prefill", "--json")
    assert json.loads(done.stdout)["first"]["network"] == "two.tflite, prefill"


def test_select_recommends_a_loop_whose_turns_are_given(time_model_file: Path, folder: Path):
    networks = ("--time-model", time_model_file, folder / "loop.tflite", folder / "two.tflite")
    found = json.loads(run("select", *networks, "--json", status=1).stdout)
    assert "how often loop turns" in found["failed"][0]["reason"]
    found = json.loads(run("select", *networks, "--loop-turns", "1", "--json").stdout)
    loop = next(one for one in found["candidates"] if "loop" in one["network"])
    assert loop["high_ms"] is not None
    fails(2, "select", *networks, "--split", "--link", "latency_ms=1,mbps=1,cloud_ms=1", "--loop-turns", "1")
