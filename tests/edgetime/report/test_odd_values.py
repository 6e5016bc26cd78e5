"""A value that is odd costs its row or its section, and the page says which; names of files are shown, not obeyed."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from robustness import seed_files
from typer.testing import CliRunner

from edgetime.cli import app
from edgetime.report.page import Page
from edgetime.report.reading import collect
from edgetime.report.results import page_of

RESULTS = seed_files.results()


def page_for(folder: Path) -> str:
    return "\n".join(page_of(collect(folder), "t")._parts)


def put(folder: Path, name: str, *way: Any) -> None:
    """Write a whole file of that name, with the value at the end of `way` (keys, then the value) replaced."""
    value = json.loads(RESULTS[name].split(b"\n")[0])
    place = value
    *keys, last, new = way
    for key in keys:
        place = place[key]
    place[last] = copy.deepcopy(new)
    (folder / name).write_text(json.dumps(value))


@pytest.mark.parametrize(
    ("name", "way", "reason"),
    [
        ("result.json", ("points", 1, "measured_ms", []), "it.points[1].measured_ms is no number"),
        ("result.json", ("widths", 3.5), "it.widths is no list"),
        ("result.json", ("before", "file_bytes", 10**30), "more than 64 bits"),
        ("advice.json", ("groups", 0, "name", {}), "it.groups[0].name is no text"),
        ("advice.json", ("groups", 0, "wider", [{}]), "it.groups[0].wider[0] lacks width"),
        ("predictions.jsonl", ("high_ms", {}), "line 1 (it.high_ms is no number)"),
        ("predictions.jsonl", ("layers", 0, "name", 3), "line 1 (it.layers[0].name is no text)"),
        (
            "selection.json",
            ("candidates", 0, "predicted_ms", "fast"),
            "a selection for d, a value of which is odd",
        ),
        ("result.json", ("before", "file_bytes", 0), "a value of which is odd (ZeroDivisionError"),
    ],
)
def test_an_odd_value_costs_its_section_and_is_named(tmp_path: Path, name: str, way: tuple, reason: str):
    for whole, content in RESULTS.items():
        (tmp_path / whole).write_bytes(content)
    put(tmp_path, name, *way)
    page = page_for(tmp_path)
    assert page.count("Left out: ") == 1
    assert reason in page.replace("&#x27;", "'")
    sections = (
        "Before and after",
        "Widths that this device likes",
        "Predicted against measured",
        "Which network for",
    )
    missing = [section for section in sections if section not in page]
    assert len(missing) == 1


def test_one_odd_line_leaves_the_others(tmp_path: Path):
    lines = RESULTS["predictions.jsonl"].decode().split("\n")
    lines[1] = lines[1].replace("1.05", '"x"')
    (tmp_path / "predictions.jsonl").write_text("\n".join(lines))
    found = collect(tmp_path)
    assert len(found.predictions) == 2
    assert found.odd == [f"{tmp_path / 'predictions.jsonl'}, line 2 (it.measured_ms is no number)"]


def test_a_folder_of_nothing_but_odd_values_gets_a_page_that_says_why(tmp_path: Path):
    put(tmp_path, "advice.json", "groups", 0, "width", 1e999)
    done = CliRunner().invoke(app, ["report", str(tmp_path), "-o", str(tmp_path / "r.html")])
    assert done.exit_code == 0, done.output
    assert "it holds" in (tmp_path / "r.html").read_text("utf-8")


def test_names_from_files_are_shown_and_not_obeyed():
    page = Page("a\x1b[31m\u202eb</title>")
    page.table(["\u2066x", "y"], [["\ud800", "<script>"]])
    page.text("soft\u200bhyphen")
    text = page.render()
    text.encode()
    written = text.split("plotly.js", 1)[0] + text.rsplit("</script>", 1)[-1]
    assert r"a\x1b[31m\u202eb&lt;/title&gt;" in text
    assert r"\u2066x" in text
    assert r"\ud800" in text
    assert not {"\x1b", "\u202e", "\u2066", "\u200b"} & set(written)


def test_advice_on_each_signature_of_a_file_is_shown(tmp_path: Path):
    one = json.loads(RESULTS["advice.json"].split(b"\n")[0])
    lines = [
        json.dumps({**one, "network": name, "at_least": name == "net, b"}) for name in ("net, a", "net, b")
    ]
    (tmp_path / "advice.json").write_text("\n".join(lines) + "\n")
    found = collect(tmp_path)
    assert (found.unreadable, found.odd) == ([], [])
    page = page_for(tmp_path)
    assert page.count("Widths that this device likes") == 2
    assert page.count("Predicted at least") == 1
    (tmp_path / "advice.json").write_text(json.dumps(one, indent=1))
    assert len(collect(tmp_path).advice) == 1
