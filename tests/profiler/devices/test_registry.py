"""Targets of other packages: found by every verb, and those that fail named with their distribution."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from profiler.devices import LocalTarget, Target, list_targets, open_target, register_target, registry
from profiler.errors import EdgetimeWarning, UsageError

SIMULATOR = """
from profiler.devices import Setting, Target
from profiler.errors import UsageError
from profiler.tflite import read_network


class Simulator(Target):
    specs = {"mysim:cores=2": "a device that exists on paper"}

    def __init__(self, cores=1):
        self.name, self.cores = "mysim", cores

    @classmethod
    def from_options(cls, options):
        name, _, value = (options or "cores=1").partition("=")
        if name != "cores":
            raise UsageError(f"{name!r} is no option; the options are cores=.")
        return cls(int(value))

    @property
    def setting(self):
        return Setting("mysim", "1")

    def hello(self):
        return {"machine": "paper", "cpu": "Paper", "cores": self.cores, "runtime": "mysim", "version": "1"}

    def time_probe(self, content):
        time_us = len(read_network(content).layers) + read_network(content).macs / 1e3 / self.cores
        names = ("min_us", "p20_us", "median_us", "p90_us")
        return {**dict.fromkeys(names, time_us), "spread": 0.0, "samples": 1}

    def measure_network(self, content, seconds=2.0, shapes=()):
        return {**self.time_probe(content), "load_ms": 0.0, "first_ms": 0.0}
"""


def install(folder: Path, distribution: str, prefix: str, module: str) -> None:
    """What an installer leaves of a distribution with one target."""
    metadata = folder / f"{distribution}-1.2.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n")
    entry_point = f"[edgetime.targets]\n{prefix} = {distribution}_plugin:Simulator\n"
    (metadata / "entry_points.txt").write_text(entry_point)
    (folder / f"{distribution}_plugin.py").write_text(module)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A place for distributions; the registry is as new, and afterwards as it was."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(registry, "_targets", {"local": LocalTarget})
    registry._load_plugins.cache_clear()
    yield tmp_path
    registry._load_plugins.cache_clear()
    for name in [name for name in sys.modules if name.endswith("_plugin")]:
        del sys.modules[name]


def test_a_target_of_another_package_is_opened_and_listed(folder: Path) -> None:
    install(folder, "simulators", "mysim", SIMULATOR)
    target = open_target("mysim:cores=4")
    assert target.hello()["cores"] == 4
    assert open_target("mysim").hello()["cores"] == 1
    assert {"spec": "mysim:cores=2", "offers": "a device that exists on paper"} in list_targets()
    with pytest.raises(UsageError, match=r"'mysim:speed=3': 'speed' is no option"):
        open_target("mysim:speed=3")


def test_known_targets_are_opened_without_loading_others(folder: Path) -> None:
    install(folder, "broken", "mysim", "raise AssertionError('imported')\n")
    assert open_target("local").name == "local"


def test_a_plug_in_that_fails_is_named_in_one_warning_and_the_others_work(folder: Path) -> None:
    install(folder, "broken", "bad", "import no_such_module_at_all\n")
    install(folder, "thief", "local", SIMULATOR)
    install(folder, "textual", "text", "Simulator = 'no class'\n")
    install(folder, "simulators", "mysim", SIMULATOR)
    with pytest.warns(EdgetimeWarning) as caught:
        assert open_target("mysim").name == "mysim"
    assert isinstance(open_target("local"), LocalTarget)
    (warning,) = caught
    broken, textual, thief = sorted(str(warning.message).split("\n"), key=lambda line: line.split(" of ")[1])
    assert "broken 1.2" in broken
    assert "no_such_module_at_all" in broken
    assert "textual 1.2" in textual
    assert "no subclass" in textual
    assert "thief 1.2" in thief
    assert "'local' is taken" in thief
    with pytest.raises(UsageError, match="there are local, mysim"):
        open_target("bad")


def test_the_command_line_finds_such_targets_in_every_verb(tmp_path: Path) -> None:
    install(tmp_path, "simulators", "mysim", SIMULATOR)
    install(tmp_path, "broken", "bad", "import no_such_module_at_all\n")

    def edgetime(*arguments: str) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join([str(tmp_path), *sys.path])
        return subprocess.run(
            [sys.executable, "-c", "from edgetime.cli import main; main()", *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
        )

    listed = edgetime("targets", "--json")
    assert {"spec": "mysim:cores=2", "offers": "a device that exists on paper"} in json.loads(listed.stdout)
    assert listed.stderr.count("broken 1.2") == 1
    assert listed.stderr.startswith("warning: The plug-in 'bad'")
    assert len(listed.stderr.splitlines()) == 1
    profiled = edgetime(
        "profile", "mysim:cores=3", "-o", "sim.db", "--ops", "relu", "--dtype", "float32", "--json"
    )
    assert profiled.returncode == 0, profiled.stderr
    assert json.loads(profiled.stdout)["device"] == "Paper, 3 cores"
    wrong = edgetime("profile", "bad:x", "-o", "sim.db")
    assert wrong.returncode == 2
    assert wrong.stderr.splitlines()[-1].startswith("edgetime: Unknown target 'bad:x'")


class Bare(Target):
    """A target that says nothing of itself.

    More about it.
    """

    name = "bare"


def test_a_class_is_registered_by_hand_and_again_without_harm(folder: Path) -> None:
    register_target("bare", Bare)
    register_target("bare", Bare)
    assert isinstance(open_target("bare"), Bare)
    assert {"spec": "bare", "offers": "A target that says nothing of itself."} in list_targets()
    with pytest.raises(UsageError, match="'bare:x': there are no options"):
        open_target("bare:x")


@pytest.mark.parametrize(
    ("prefix", "target", "message"),
    [
        ("local", Bare, "'local' is taken by LocalTarget"),
        ("my sim", Bare, "'my sim' is no prefix"),
        ("", Bare, "no prefix"),
        ("mysim", object, "no subclass"),
        ("mysim", Bare(), "no subclass"),
    ],
)
def test_what_cannot_be_registered_is_refused(
    folder: Path, prefix: str, target: type[Target], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        register_target(prefix, target)
    assert isinstance(open_target("local"), LocalTarget)
