"""``edgetime compress --join`` as it is typed: what goes with it, and what it says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer.main
from typer.testing import CliRunner

from compressor.pipeline.shared import Joined
from edgetime.cli import app

TOGETHER = {"network", "data", "time_model", "calibration", "storage", "minutes", "join", "json", "help"}


def asked(*arguments: object) -> tuple[int, str, str]:
    """Exit status, stdout and the sentence on stderr."""
    shown = CliRunner().invoke(app, ["compress", *map(str, arguments)])
    told = [line for line in shown.stderr.splitlines() if line.startswith("edgetime: ")]
    assert len(told) <= 1
    return shown.exit_code, shown.stdout, told[0] if told else ""


def other_options() -> list[list[str]]:
    """Each option of the verb that does not go with ``--join``, with a value that it takes."""
    group = typer.main.get_command(app)
    found = []
    for option in group.get_command(None, "compress").params:  # type: ignore[attr-defined]
        if option.name in TOGETHER:
            continue
        for name in (option.opts[0], *option.secondary_opts):
            found.append([name] if option.is_flag else [name, "1"])
    return found


@pytest.mark.parametrize("option", other_options(), ids=lambda option: option[0])
def test_an_option_that_would_be_ignored_is_refused(option: list[str], tmp_path: Path):
    status, shown, told = asked("--join", tmp_path, *option)
    assert status == 2
    assert shown == ""
    assert f"{option[0]} does not go with --join" in told


def test_the_options_of_a_search_are_among_those():
    names = {option[0] for option in other_options()}
    assert names >= {
        "--trials",
        "--method",
        "--budget-ms",
        "-o",
        "--resume",
        "--target",
        "--workers",
        "--steer",
    }
    assert names >= {"--no-measure", "--measure", "--seed"}


def test_several_are_named_in_one_sentence_with_the_mend(tmp_path: Path):
    status, _, told = asked("--join", tmp_path, "-o", "out", "--workers", 1, "--resume", "--minutes", 5)
    assert status == 2
    assert told == (
        "edgetime: -o, --workers and --resume do not go with --join, which helps with a search as it was begun: leave "
        "them out; for more processes give the command several times."
    )


def test_what_goes_with_it_is_handed_on(monkeypatch: pytest.MonkeyPatch):
    given = {}

    def join(where, **options):
        given.update(options, where=where)
        return Joined("a study", 3, 7)

    monkeypatch.setattr("compressor.pipeline.shared.join", join)
    files = ("net.keras", "--data", "d.npz", "--time-model", "m.timemodel.json", "--calibration", "c.npz")
    status, shown, _ = asked("--join", "out", *files, "--storage", "sqlite:///s.db", "--minutes", 5, "--json")
    assert status == 0
    assert json.loads(shown) == {"study": "a study", "tried": 3, "trials": 7}
    del given["progress"]
    assert given == {
        "where": "out",
        "model": Path("net.keras"),
        "data": Path("d.npz"),
        "time_model": Path("m.timemodel.json"),
        "calibration": Path("c.npz"),
        "storage": "sqlite:///s.db",
        "minutes": 5.0,
    }
    status, shown, _ = asked("--join", "out")
    assert status == 0
    assert "3 candidates tried here, 7 in all: the result is made where it was begun." in shown


def test_a_folder_without_a_search_is_one_sentence(tmp_path: Path):
    status, shown, told = asked("--join", tmp_path)
    assert (status, shown) == (2, "")
    assert f"There is no search to join in {tmp_path} (study.json is missing)" in told


def test_stopping_it_says_what_becomes_of_the_candidate(monkeypatch: pytest.MonkeyPatch):
    def stopped(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("compressor.pipeline.shared.join", stopped)
    status, _, told = asked("--join", "out")
    assert status == 1
    assert "Stopped; the candidate that was at work is left to the others" in told
