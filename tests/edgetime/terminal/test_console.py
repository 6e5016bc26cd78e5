"""Terminal: results on stdout, the rest on stderr."""

import json
import subprocess
import sys

import pytest

from edgetime.terminal.console import Terminal, clock, table

NOISY = """
import os, subprocess, sys
from edgetime.terminal.console import Terminal
with Terminal(json={json}) as out:
    print("noise of a library")
    os.write(1, b"noise from below Python\\n")
    subprocess.run(["echo", "noise of a child"])
    out.note("a note")
    out.warn("a warning")
    with out.progress("Work") as progress:
        progress(0.5, "half")
    out.show("shown")
    out.json({{"a": [1.5, None]}})
print("afterwards")
"""


def run(as_json: bool) -> subprocess.CompletedProcess[str]:
    code = NOISY.format(json=as_json)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)


def test_with_json_stdout_carries_only_json():
    result = run(as_json=True)
    line, after = result.stdout.splitlines()
    assert json.loads(line) == {"a": [1.5, None]}
    assert after == "afterwards"
    assert "noise from below Python" in result.stderr
    assert "noise of a child" in result.stderr
    assert "warning: a warning" in result.stderr


def test_without_json_stdout_carries_only_results():
    result = run(as_json=False)
    assert result.stdout.splitlines() == ["shown", "afterwards"]
    assert "noise of a library" in result.stderr


def test_markup_in_text_is_shown_as_it_stands(capsys: pytest.CaptureFixture[str]):
    with Terminal() as out:
        out.show("[red]conv[/red] [1, 2]", table(["[b]x"], [["[/] y"]]))
    shown = capsys.readouterr().out
    assert "[red]conv[/red] [1, 2]" in shown
    assert "[/] y" in shown


def test_nan_is_not_json():
    with Terminal(json=True) as out, pytest.raises(ValueError, match="JSON"):
        out.json({"a": float("nan")})


def test_tables_fit_eighty_columns_and_lose_nothing(capsys: pytest.CaptureFixture[str], monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    name = "block_1/expand/" * 8
    with Terminal() as out:
        out.show(table(["#", "name", "time"], [[1, name, "1.91 ms"], [20, "b", "12.3 ms"]]))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    folded = "".join(line[3:] for line in lines[1:-1])
    assert folded.replace("1.91 ms", "").replace(" ", "") == name
    assert lines[1].startswith(" 1")
    assert lines[-1].endswith("12.3 ms")


@pytest.mark.parametrize(("seconds", "text"), [(5, "0:05"), (125.4, "2:05"), (3700, "1:01:40"), (-1, "0:00")])
def test_clock(seconds, text):
    assert clock(seconds) == text
