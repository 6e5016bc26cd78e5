"""A board needs numpy and LiteRT to run a policy, nothing else."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_policies import picks, saved, two_stages

import profiler.errors
import profiler.files
import selector.runtime

SENT = [
    *Path(selector.runtime.__file__).parent.rglob("*.py"),
    *map(Path, (profiler.errors.__file__, profiler.files.__file__)),
]


@pytest.fixture
def policy(tmp_path):
    return saved(tmp_path, two_stages(), quick=picks([0, 1, 2]), slow=picks([3, 4, 5]))


def test_running_a_policy_imports_numpy_and_litert_alone(policy):
    code = (
        "import edgetime, json, sys\n"
        f"edgetime.load_policy({str(policy)!r})([[0.8, 0.1, 0.1, 0, 0, 1]])\n"
        "print('loaded:' + json.dumps(sorted(sys.modules)))"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    listed = next(line for line in output.splitlines() if line.startswith("loaded:"))
    modules = json.loads(listed.removeprefix("loaded:"))
    heavy = {"sklearn", "scipy", "tensorflow", "keras", "rich", "typer", "plotly", "flatbuffers"}
    assert not {name.split(".")[0] for name in modules} & heavy
    ours = {
        name for name in modules if name.split(".")[0] in ("profiler", "timemodel", "compressor", "selector")
    }
    assert {name for name in ours if not name.startswith("selector.runtime")} == {
        "profiler",
        "profiler.archives",
        "profiler.errors",
        "profiler.files",
        "profiler.values",
        "selector",
    }


@pytest.mark.parametrize("file", SENT, ids=lambda file: file.name)
def test_what_is_sent_to_boards_is_python_3_8(file):
    ast.parse(file.read_text(encoding="utf-8"), feature_version=(3, 8))
    assert "strict=" not in file.read_text(encoding="utf-8")
