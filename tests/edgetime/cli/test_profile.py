"""``edgetime profile`` with its goal, on a device on paper."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import edgetime as et
from edgetime.cli import app
from edgetime.terminal.options import parse_share
from profiler import devices
from profiler.devices import Setting, Target
from profiler.errors import UsageError
from profiler.measurement import next_probes as advising
from profiler.measurement import profiling
from profiler.operators import conv_2d
from profiler.probes import Probe

PROBES = [Probe("layer", (conv_2d(8, 8, 4, width),)) for width in range(1, 41)]
TIMES_US = {probe.build(): 3.0 + 0.5 * number for number, probe in enumerate(PROBES)}


class PaperTarget(Target):
    """Every channel takes half a microsecond."""

    name = "paper"

    @property
    def setting(self) -> Setting:
        return Setting("paper", "1.0")

    def hello(self) -> dict[str, Any]:
        return {"machine": "m", "cpu": "c", "cores": 1}

    def time_probe(self, content: bytes) -> dict[str, Any]:
        us = TIMES_US.get(content, 2.0)
        return {"median_us": us, "min_us": us, "p20_us": us, "canaries_us": [5.0, 5.0], "disturbed": False}

    def close(self) -> None:
        pass


@pytest.fixture
def paper(monkeypatch: pytest.MonkeyPatch) -> None:
    """`local` is the device on paper, with a short plan of which 40 convolutions are all."""
    monkeypatch.setattr(devices, "open_target", lambda spec: PaperTarget())
    monkeypatch.setattr(PaperTarget, "plan", lambda *arguments: list(PROBES))
    monkeypatch.setattr(profiling, "CALM_TIMES", 1)


def run(*arguments: object, status: int = 0):
    result = CliRunner().invoke(app, ["profile", *(str(argument) for argument in arguments)])
    assert result.exit_code == status, f"{result.output}\n{result.exception!r}"
    return result


def test_json_says_why_it_stopped(tmp_path: Path, paper: None):
    result = json.loads(run("local", "-o", tmp_path / "d.db", "--json", "--goal", "20%").stdout)
    assert (result["stopped"], result["goal"], result["probes"]) == ("goal", 0.2, 40)
    assert 0 <= result["error"] <= 0.2
    assert result["error_of"] == "layers"
    assert (result["calm_probes"], result["calm_share"], result["covered"]) == (40, 1.0, 1.0)


def test_a_goal_of_nothing_is_never_reached(tmp_path: Path, paper: None):
    summary = et.profile("local", tmp_path / "d.db", goal=0.0, calm_times=1)
    assert summary.stopped == "complete"
    assert summary.advised > 0
    assert summary.error is not None
    assert "Cross-validated error" in str(summary)


def test_short_runs_ask_nobody(tmp_path: Path, paper: None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(advising, "LEAST_LEFT_S", 1e9)
    summary = et.profile("local", tmp_path / "d.db", calm_times=1)
    assert (summary.stopped, summary.error, summary.problem) == ("complete", None, "")


@pytest.mark.parametrize(("text", "share"), [("3%", 0.03), ("0.03", 0.03), ("0", 0.0), (" 2.5 % ", 0.025)])
def test_a_goal_is_a_share_or_percent(text: str, share: float):
    assert parse_share(text, "--goal") == pytest.approx(share)


@pytest.mark.parametrize("text", ["3", "-1%", "good", "nan", "", "100%"])
def test_a_bad_goal_is_refused_before_anything_is_written(tmp_path: Path, text: str):
    said = run("local", "-o", tmp_path / "d.db", "--goal", text, status=2).stderr
    assert "--goal must be a share below 1, such as 0.03 or 3%" in " ".join(said.split())
    assert list(tmp_path.iterdir()) == []


def test_a_bad_goal_in_python(tmp_path: Path):
    with pytest.raises(UsageError, match=r"0\.03 for 3%"):
        et.profile("local", tmp_path / "d.db", goal=3)
