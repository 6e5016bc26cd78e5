"""The examples of docs/architecture.md do what they say, and the files that it names are there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[1] / "docs" / "architecture.md"
EXAMPLES = dict(
    re.findall(r"^### … an? ([\w ]+)\n.*?```python\n(.*?)```", PAGE.read_text("utf-8"), re.M | re.S)
)

MOST_LINES = 40


def test_there_is_an_example_of_each_thing_that_can_be_added():
    assert list(EXAMPLES) == [
        "operator",
        "target",
        "layer rule",
        "change of networks",
        "search method",
        "policy",
    ]


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_are_short_and_run(name: str, repository: Path):
    code = EXAMPLES[name]
    assert len(code.splitlines()) < MOST_LINES
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_files_and_folders_that_the_page_names_exist(repository: Path):
    text = PAGE.read_text("utf-8")
    named = re.findall(r"`((?:profiler|timemodel|compressor|selector|edgetime|tests)/[\w/]*(?:\.py)?)`", text)
    assert len(named) > 20
    assert [path for path in named if not (repository / path).exists()] == []


def test_functions_stand_in_the_files_that_the_page_names(repository: Path):
    """``file.py`: `name`` is a function or class of that file."""
    pairs = re.findall(r"`([\w/]+/\w+\.py)`: `(\w+)(?:\.(\w+))?`", PAGE.read_text("utf-8"))
    assert len(pairs) > 10
    for file, name, method in pairs:
        text = (repository / file).read_text("utf-8")
        assert re.search(rf"^(?:def|class) {name}\b", text, re.M), f"{file} has no {name}"
        assert not method or re.search(rf"^    def {method}\b", text, re.M), f"{file} has no {name}.{method}"
