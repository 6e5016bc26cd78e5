"""No verb writes over what it reads, whatever the names look like."""

from __future__ import annotations

import importlib
import os
import shutil
import typing
from pathlib import Path

import pytest
from typer.models import OptionInfo

from edgetime.cli import VERBS
from edgetime.terminal.outputs import OUTPUTS
from tests.edgetime.cli.test_verbs import fails, run

INPUTS = {
    "fit": {"profile", "table", "networks", "like"},
    "explain": {"model"},
    "predict": {"model", "networks", "table"},
    "advise": {"model", "network"},
    "compare": {"first", "second", "time_model"},
    "compress": {"network", "data", "time_model", "calibration"},
    "export": {"network", "calibration", "data", "time_model"},
    "exits": {"network", "data", "time_model", "calibration"},
    "select": {"networks", "time_model", "data", "cloud_time_model"},
    "tune-beam": {"model", "data", "time_model", "then"},
    "run": {"policy", "data", "lines"},
    "pack": {"network", "data"},
    "footprint": {"network"},
    "unpack": {"packed"},
    "import": {"results"},
    "report": {"folder"},
}
"""Parameters that name a file or folder that is read; every other path is an output."""


def paths_of(verb: str) -> dict[str, typing.Any]:
    """What Typer knows of each parameter of `verb` that is a path."""
    command = importlib.import_module(f"edgetime.cli.{VERBS[verb]}").command
    hints = typing.get_type_hints(command, include_extras=True)
    return {
        name: hint.__metadata__[0] for name, hint in hints.items() if "Path" in str(hint).split("typer")[0]
    }


PAIRS = [
    (verb, output, name)
    for verb in VERBS
    for output in sorted(set(paths_of(verb)) & set(OUTPUTS))
    for name in sorted(set(paths_of(verb)) - set(OUTPUTS))
]


def written(parameter: typing.Any, name: str, path: Path) -> list[str]:
    """How a parameter is given on the command line."""
    if not isinstance(parameter, OptionInfo):
        return [str(path)]
    return ["-o" if name == "output" else f"--{name.replace('_', '-')}", str(path)]


@pytest.mark.parametrize("verb", VERBS)
def test_every_path_of_a_verb_is_known_to_be_read_or_written(verb: str):
    assert set(paths_of(verb)) - set(OUTPUTS) == INPUTS.get(verb, set())


@pytest.mark.parametrize(("verb", "output", "name"), PAIRS)
def test_an_output_that_names_an_input_is_refused(verb: str, output: str, name: str, tmp_path: Path):
    known = paths_of(verb)
    given, link = tmp_path / "given", tmp_path / "link"
    given.write_bytes(b"precious")
    link.symlink_to(given)
    arguments = [*written(known[output], output, link), *written(known[name], name, given)]
    for other in INPUTS[verb] - {name}:
        if other in ("model", "network", "first", "second", "time_model", "folder", "results", "policy") or (
            other == "data" and verb in ("exits", "tune-beam")
        ):  # cannot be left out
            arguments += written(known[other], other, tmp_path / other)
    if verb == "select" and name != "networks":
        arguments.append("net.tflite")
    if verb == "footprint":
        arguments.append("sim:edge_tpu_like")
    reported = fails(2, verb, *arguments)
    assert "would overwrite what is read" in reported
    assert str(link) in reported
    assert str(given) in reported
    assert arguments[0] in reported
    assert given.read_bytes() == b"precious"
    assert link.is_symlink()


@pytest.mark.parametrize(
    "kind", ["same name", "other spelling", "symbolic link", "hard link", "linked folder"]
)
def test_a_profile_survives_fit_by_whatever_name(kind: str, profile_db: Path, tmp_path: Path):
    profile = tmp_path / "p.db"
    shutil.copy(profile_db, profile)
    before = profile.read_bytes()
    other = tmp_path / "q.db"
    if kind == "same name":
        other = profile
    elif kind == "other spelling":
        other = Path(f"{tmp_path}/../{tmp_path.name}/./p.db")
    elif kind == "symbolic link":
        other.symlink_to(profile)
    elif kind == "hard link":
        os.link(profile, other)
    else:
        (tmp_path / "there").symlink_to(tmp_path)
        other = tmp_path / "there" / "p.db"
    assert f"-o {other} would overwrite what is read as DEVICE.db" in fails(2, "fit", profile, "-o", other)
    assert profile.read_bytes() == before


def test_a_time_model_survives_explain_and_select(
    time_model_file: Path, networks_folder: Path, tmp_path: Path
):
    model = tmp_path / "m.timemodel.json"
    shutil.copy(time_model_file, model)
    before = model.read_bytes()
    assert "--html" in fails(2, "explain", model, "--html", model)
    assert "--time-model" in fails(2, "select", networks_folder, "--time-model", model, "-o", model)
    assert model.read_bytes() == before


def test_a_table_survives_predict(time_model_file: Path, tmp_path: Path):
    table = tmp_path / "t.csv"
    table.write_text("op,cin,cout,kernel,hw\nconv_2d,8,16,3,16\n")
    before = table.read_bytes()
    assert "--table" in fails(2, "predict", time_model_file, "--table", table, "-o", table)
    assert table.read_bytes() == before


def test_what_is_read_from_a_folder_is_kept_and_an_earlier_output_there_is_not(
    time_model_file: Path, networks_folder: Path, tmp_path: Path
):
    nets = tmp_path / "nets"
    shutil.copytree(networks_folder, nets)
    shutil.copy(time_model_file, nets / "m.timemodel.json")
    before = (nets / "conv.tflite").read_bytes()
    select = ["select", nets, "--time-model", time_model_file, "-o"]
    assert "NET.tflite" in fails(2, *select, nets / "conv.tflite")
    assert (nets / "conv.tflite").read_bytes() == before
    assert "DIR" in fails(2, "report", nets, "-o", nets / "m.timemodel.json")
    for _ in range(2):
        run(*select, nets / "policy.json")
        run("report", nets, "-o", nets / "report.html")


def test_a_network_in_the_folder_that_compress_writes_is_kept_where_it_would_be_replaced(tmp_path: Path):
    network = tmp_path / "compressed.keras"
    network.write_bytes(b"precious")
    reported = fails(2, "compress", network, "--data", "d.npz", "--time-model", "m.json", "-o", tmp_path)
    assert "would overwrite what is read as NET.keras" in reported
    other = network.rename(tmp_path / "net.keras")
    reported = fails(2, "compress", other, "--data", "d.npz", "--time-model", "m.json", "-o", tmp_path)
    assert "overwrite" not in reported


def test_an_output_that_is_not_there_yet_is_compared_by_where_it_would_be(tmp_path: Path):
    (tmp_path / "there").symlink_to(tmp_path)
    reported = fails(2, "fit", tmp_path / "new.db", "-o", tmp_path / "there" / "new.db")
    assert "would overwrite what is read" in reported
    assert not (tmp_path / "new.db").exists()
