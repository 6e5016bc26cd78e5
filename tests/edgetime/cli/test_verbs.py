"""The verbs on a made-up device: what they print, and one sentence and the right status for bad input."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edgetime.cli import VERBS, app
from profiler.devices import agent
from timemodel import TimeModel

KEYS = {
    "network", "device", "dtype", "predicted_ms", "low_ms", "high_ms", "measured_ms", "measured_p90_ms", "load_ms",
    "first_ms", "threads", "coverage", "uncovered", "peak_memory_bytes", "layers",
}  # fmt: skip
LAYER_KEYS = {"index", "op", "name", "macs", "predicted_ms", "measured_ms", "covered"}


def run(*arguments: object, status: int = 0):
    """Run ``edgetime ARGUMENTS`` in this process."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == status, f"{result.output}\n{result.exception!r}"
    assert "Traceback" not in result.output
    return result


def fails(status: int, *arguments: object) -> str:
    """The one sentence with which ``edgetime ARGUMENTS`` fails."""
    result = run(*arguments, status=status)
    assert result.stdout == ""
    lines = [line for line in result.stderr.splitlines() if line.startswith("edgetime: ")]
    assert len(lines) == 1, result.stderr
    assert "Unexpected" not in lines[0]
    return lines[0].removeprefix("edgetime: ")


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(verb: str):
    shown = run(verb, "--help").output
    assert f"$ edgetime {verb}" in shown
    assert "--json" in shown


def test_help_lists_every_verb():
    shown = run("--help").output
    for verb in VERBS:
        assert f" {verb} " in shown


def test_targets():
    rows = json.loads(run("targets", "--json").stdout)
    assert {"local", "local:threads=2"} <= {row["spec"] for row in rows}
    assert "ssh://" in run("targets").stdout


def test_operators_of_a_package_that_fails_are_one_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from importlib.metadata import EntryPoint

    from profiler.operators import registry

    gone = EntryPoint("gone", "no_such_module_at_all:GONE", registry.ENTRY_POINTS)
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [gone])
    registry._load_plugins.cache_clear()
    shown = run("bundle", "-o", tmp_path / "p.zip", "--ops", "softmax", "--dtype", "float32", "--json")
    registry._load_plugins.cache_clear()
    (line,) = [line for line in shown.stderr.splitlines() if "plug-in" in line]
    assert line.startswith(
        "warning: The plug-in 'gone' of an unnamed distribution (edgetime.operators) is left out"
    )


# --- fit and explain --------------------------------------------------------------------------------------------------


def test_fit_writes_a_model_and_shows_its_error_per_operator(profile_db: Path, tmp_path: Path):
    model = tmp_path / "m.timemodel.json"
    result = json.loads(run("fit", profile_db, "-o", model, "--json").stdout)
    assert result["time_model"] == str(model)
    assert json.loads(model.read_text())["device"] == "A made-up processor, 4 cores"
    by_op = {(error["op"], error["dtype"]): error for error in result["errors"]}
    assert by_op["conv_2d", "float32"]["median_error"] < 0.1
    shown = run("fit", profile_db, "-o", model).stdout
    assert "fully_connected" in shown
    assert "cross-validation" in shown


def test_explain_says_the_rules_and_plots_staircases(time_model_file: Path, tmp_path: Path):
    page = tmp_path / "page.html"
    shown = run("explain", time_model_file, "--op", "conv_2d", "--html", page).stdout
    assert "conv_2d float32" in shown
    assert "fully_connected" not in shown
    assert "ms per" in shown
    html = page.read_text()
    assert "plotly.js v" in html
    assert '"title": "time over width"' in html
    rules = json.loads(run("explain", time_model_file, "--json").stdout)["rules"]
    assert len(rules) >= 5


# --- predict and advise -----------------------------------------------------------------------------------------------


def test_predict_prints_the_documented_json(time_model_file: Path, networks_folder: Path):
    lines = run("predict", time_model_file, networks_folder, "--json").stdout.splitlines()
    conv, dense = map(json.loads, lines)
    assert set(conv) >= KEYS
    assert all(set(layer) >= LAYER_KEYS for layer in conv["layers"])
    assert (conv["network"], conv["dtype"], conv["threads"]) == ("conv.tflite", "float32", 1)
    assert [layer["op"] for layer in conv["layers"]] == ["conv_2d", "conv_2d"]
    assert conv["measured_ms"] is None
    assert conv["low_ms"] <= conv["predicted_ms"] <= conv["high_ms"]
    assert (conv["coverage"], conv["uncovered"]) == (1.0, [])
    assert dense["uncovered"] == ["tanh"]
    assert dense["coverage"] < 1


def test_predict_is_about_right(time_model_file: Path, networks_folder: Path, true_us):
    from profiler.tflite import read_network

    result = json.loads(run("predict", time_model_file, networks_folder / "conv.tflite", "--json").stdout)
    true_ms = sum(true_us(layer) for layer in read_network(networks_folder / "conv.tflite").layers) / 1000
    assert result["predicted_ms"] == pytest.approx(true_ms, rel=0.15)


def test_predict_for_people(time_model_file: Path, networks_folder: Path):
    shown = run("predict", time_model_file, networks_folder / "dense.tflite").stdout
    assert "tanh (estimated)" in shown
    assert "of the time), because never measured on this device: tanh" in shown
    assert "peak memory" in shown
    batch = run("predict", time_model_file, networks_folder).stdout
    assert "conv.tflite" in batch
    assert "dense.tflite" in batch
    assert "MACs" not in batch
    every = run("predict", time_model_file, networks_folder, "--layers", "all").stdout
    assert every.count("MACs") == 2


def test_one_bad_file_does_not_lose_the_others(time_model_file: Path, networks_folder: Path, tmp_path: Path):
    shutil.copytree(networks_folder, tmp_path / "nets")
    (tmp_path / "nets" / "bad.tflite").write_bytes((networks_folder / "conv.tflite").read_bytes()[:300])
    result = run("predict", time_model_file, tmp_path / "nets", "--json", status=1)
    assert [json.loads(line)["network"] for line in result.stdout.splitlines()] == [
        "conv.tflite",
        "dense.tflite",
    ]
    assert "bad.tflite" in result.stderr
    assert "1 of 3 networks could not be predicted" in result.stderr


def test_predict_starts_no_program_because_a_time_model_names_it(
    time_model_file: Path, networks_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("EDGETIME_CONFIG_DIR", str(tmp_path / "settings"))
    program = tmp_path / "program"
    program.write_text(f'#!/bin/sh\n: > {tmp_path}/started\nexec {sys.executable} "$@"\n')
    program.chmod(0o700)
    changed = TimeModel.load(time_model_file)
    here = {"machine": platform.machine(), "cpu": agent.cpu_model(), "cores": os.cpu_count() or 1}
    changed.setting().fingerprint = {**here, "executable": str(program)}
    model = tmp_path / "m.timemodel.json"
    changed.save(model)
    reported = fails(2, "predict", model, networks_folder / "conv.tflite", "--measure")
    assert f"--target local:python={program}" in reported
    assert not (tmp_path / "started").exists()
    run("predict", model, networks_folder / "conv.tflite", "--measure", "--target", f"local:python={program}")
    assert (tmp_path / "started").exists()


@pytest.mark.slow
def test_predict_measures_and_names_what_differs(time_model_file: Path, networks_folder: Path):
    result = run("predict", time_model_file, networks_folder / "conv.tflite", "--measure", "--json")
    (line,) = result.stdout.splitlines()
    value = json.loads(line)
    assert value["measured_ms"] > 0
    assert value["measured_p90_ms"] >= value["measured_ms"]
    assert value["load_ms"] > 0
    assert value["first_ms"] > 0
    assert sum(layer["measured_ms"] for layer in value["layers"]) == pytest.approx(
        value["measured_ms"], rel=0.01
    )
    assert "processor was A made-up processor" in result.stderr


def test_advise(time_model_file: Path, networks_folder: Path):
    advice = json.loads(run("advise", time_model_file, networks_folder / "conv.tflite", "--json").stdout)
    (group,) = [group for group in advice["groups"] if group["width"] == 17]
    # 17 channels pay for 32: 16 is the next step down, and up to 32 are nearly free.
    assert group["narrower"][0]["width"] == 16
    assert group["narrower"][0]["saving_ms"] > 0
    shown = run("advise", time_model_file, networks_folder / "conv.tflite").stdout
    assert "17" in shown
    assert "17 -> 16 channels: " in shown
    assert "± is the model's error of such a change" in shown


# --- bad input --------------------------------------------------------------------------------------------------------


def test_a_missing_or_foreign_time_model(networks_folder: Path, tmp_path: Path):
    net = networks_folder / "conv.tflite"
    assert "There is no time model" in fails(2, "predict", tmp_path / "none.timemodel.json", net)
    (tmp_path / "x.json").write_text("{}")
    assert "x.json is no time model" in fails(1, "predict", tmp_path / "x.json", net)
    assert "conv.tflite is damaged or no time model" in fails(1, "explain", net)


def test_a_time_model_of_another_version(time_model_file: Path, networks_folder: Path, tmp_path: Path):
    value = json.loads(time_model_file.read_text())
    value["version"] = 99
    other = tmp_path / "other.timemodel.json"
    other.write_text(json.dumps(value))
    assert "format version 99" in fails(1, "predict", other, networks_folder / "conv.tflite")


def test_networks_that_are_none(time_model_file: Path, tmp_path: Path):
    (tmp_path / "text.tflite").write_text("hello, this is no network")
    assert "text.tflite" in fails(1, "predict", time_model_file, tmp_path / "text.tflite")
    (tmp_path / "empty.tflite").touch()
    assert "empty.tflite is empty" in fails(1, "advise", time_model_file, tmp_path / "empty.tflite")
    assert "does not exist" in fails(2, "predict", time_model_file, tmp_path / "none.tflite")
    (tmp_path / "folder").mkdir()
    assert "holds no .tflite" in fails(2, "predict", time_model_file, tmp_path / "folder")


def test_options_that_make_no_sense(time_model_file: Path, networks_folder: Path, tmp_path: Path):
    net = networks_folder / "conv.tflite"
    assert "no input shape" in fails(2, "predict", time_model_file, net, "--input-shape", "1,x,3")
    assert "knows no setting with threads=7" in fails(
        2, "predict", time_model_file, net, "--target", "local:threads=7"
    )
    assert "nowhere" in fails(2, "predict", time_model_file, net, "--target", "nowhere")
    assert "--layers" in fails(2, "predict", time_model_file, net, "--layers", "some")
    assert "no operator 'foo'" in fails(2, "explain", time_model_file, "--op", "foo")


def test_profiles_that_are_none(tmp_path: Path):
    out = tmp_path / "m.timemodel.json"
    assert "There is no profile" in fails(2, "fit", tmp_path / "none.db", "-o", out)
    (tmp_path / "text.db").write_text("hello, this is no profile")
    assert "text.db" in fails(1, "fit", tmp_path / "text.db", "-o", out)
    assert not out.exists()


def test_an_empty_profile_and_one_of_another_version(tmp_path: Path):
    from contextlib import closing
    from sqlite3 import connect

    from profiler.measurement import Profile

    Profile.append(tmp_path / "empty.db").close()
    out = tmp_path / "m.timemodel.json"
    assert "empty.db" in fails(1, "fit", tmp_path / "empty.db", "-o", out)
    with closing(connect(tmp_path / "empty.db")) as connection:
        connection.execute("PRAGMA user_version = 99")
    assert "99" in fails(1, "fit", tmp_path / "empty.db", "-o", out)


def test_profile_arguments(tmp_path: Path):
    db = tmp_path / "d.db"
    assert "minutes" in fails(2, "profile", "local", "-o", db, "--minutes", "0")
    assert "float77" in fails(2, "profile", "local", "-o", db, "--dtype", "float77")
    assert "'foo'" in fails(2, "profile", "local", "-o", db, "--ops", "foo")
    assert "holds no name" in fails(2, "profile", "local", "-o", db, "--ops", ",")
    assert "nowhere" in fails(2, "profile", "nowhere", "-o", db)
    assert "'--output'" in fails(2, "profile", "local")
    assert "--minutes" in fails(2, "profile", "local", "-o", db, "--minutes", "soon")


def test_what_cannot_be_written(profile_db: Path, tmp_path: Path):
    assert "is a folder" in fails(2, "fit", profile_db, "-o", tmp_path)
    (tmp_path / "file").touch()
    assert "Cannot write" in fails(1, "fit", profile_db, "-o", tmp_path / "file" / "m.timemodel.json")


def test_report_needs_something_to_report(tmp_path: Path):
    out = tmp_path / "r.html"
    assert "is no folder" in fails(2, "report", tmp_path / "none", "-o", out)
    assert "holds nothing to report" in fails(2, "report", tmp_path, "-o", out)
    (tmp_path / "x.timemodel.json").write_text("{}")
    assert "x.timemodel.json" in fails(2, "report", tmp_path, "-o", out)


def test_report_shows_what_a_folder_holds(time_model_file: Path, networks_folder: Path, tmp_path: Path):
    shutil.copy(time_model_file, tmp_path / "a.timemodel.json")
    lines = run("predict", time_model_file, networks_folder, "--json").stdout
    (tmp_path / "predictions.jsonl").write_text(lines)
    (tmp_path / "broken.jsonl").write_text("{")
    out = tmp_path / "r.html"
    assert run("report", tmp_path, "-o", out).stdout == f"{out}: 1 time model, 2 predicted networks\n"
    html = out.read_text()
    assert "A made-up processor, 4 cores" in html
    assert "conv.tflite" in html
    assert "broken.jsonl, line 1 (" in html


# --- bundle and import ------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_bundle_goes_to_a_board_and_its_results_come_back(tmp_path: Path):
    """The board is another process that has the two files and nothing else of edgetime."""
    board = tmp_path / "board"
    board.mkdir()
    bundle = run(
        "bundle",
        "-o",
        board / "probes.zip",
        "--ops",
        "softmax",
        "--dtype",
        "float32",
        "--passes",
        1,
        "--json",
    )
    assert json.loads(bundle.stdout)["probes"] > 10
    command = [sys.executable, "-I", "agent.py", "probes.zip", "-o", "out.jsonl"]
    done = subprocess.run(command, cwd=board, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    profile = tmp_path / "board.db"
    first = json.loads(run("import", board / "out.jsonl", "-o", profile, "--json").stdout)
    assert first["imported"] > 10
    again = json.loads(run("import", board / "out.jsonl", "-o", profile, "--json").stdout)
    assert (again["imported"], again["known"]) == (0, first["imported"])
    fitted = json.loads(run("fit", profile, "-o", tmp_path / "m.json", "--json").stdout)
    assert {error["op"] for error in fitted["errors"]} == {"softmax"}


def test_bundle_and_import_arguments(tmp_path: Path):
    zipped = tmp_path / "p.zip"
    assert "no setting" in fails(2, "bundle", "-o", zipped, "--settings", "xnnpack:two")
    assert "'gpu'" in fails(2, "bundle", "-o", zipped, "--settings", "gpu:1")
    assert "passes" in fails(2, "bundle", "-o", zipped, "--passes", 0)
    assert not zipped.exists()
    assert "Cannot read" in fails(2, "import", tmp_path / "none.jsonl", "-o", tmp_path / "d.db")
    (tmp_path / "x.jsonl").write_text("hello\n")
    assert "x.jsonl" in fails(1, "import", tmp_path / "x.jsonl", "-o", tmp_path / "d.db")


# --- documentation ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_page_on_the_command_line_is_up_to_date(repository: Path):
    from docs.generate import page

    assert (repository / "docs" / "command-line.md").read_text("utf-8") == page(), "run 'make docs'"
