"""Where to measure by default: what a file names is only started where the user started it before."""

from __future__ import annotations

import json
import os
import platform
import shlex
import stat
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from profiler.devices import agent, default_target, open_target
from profiler.devices.default import note_python
from profiler.errors import UsageError

HERE = {"machine": platform.machine(), "cpu": agent.cpu_model(), "cores": os.cpu_count() or 1}


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the user's settings."""
    monkeypatch.setenv("EDGETIME_CONFIG_DIR", str(tmp_path / "settings"))
    return tmp_path / "settings"


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """Another Python than this one: it says so itself."""
    path = tmp_path / "python of another"
    # The agent asks for `sys.executable`, which a Python takes from the name that it is started by.
    path.write_text(
        f"#!{sys.executable}\nimport runpy, sys\nsys.executable = {str(path)!r}\nsys.argv = sys.argv[1:]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    path.chmod(0o700)
    return path


def measured_with(python: object, **fingerprint: Any) -> SimpleNamespace:
    setting = {"threads": 2, "kernels": "xnnpack", "runtime": "ai-edge-litert"}
    return SimpleNamespace(setting=setting, fingerprint={**HERE, "executable": str(python), **fingerprint})


def test_a_python_that_only_a_file_names_is_refused_with_the_way_on(python: Path):
    with pytest.raises(UsageError) as told:
        default_target(measured_with(python))
    assert str(python) in str(told.value)
    assert f"--target {shlex.quote(f'local:python={python}')}" in str(told.value)
    assert "\n" not in str(told.value)


def test_a_python_that_the_user_measured_with_is_taken_again(python: Path, settings: Path):
    with open_target(f"local:python={python}") as target:
        fingerprint = target.hello()
    assert fingerprint["executable"] == str(python)
    assert default_target(measured_with(python)) == f"local:threads=2,kernels=xnnpack,python={python}"
    assert stat.S_IMODE((settings / "targets.json").stat().st_mode) == 0o600
    assert [path.name for path in settings.iterdir()] == ["targets.json"]


def test_what_is_started_is_what_the_user_named_and_not_what_the_file_names(python: Path, tmp_path: Path):
    named = tmp_path / "named"
    named.touch()
    note_python(str(python), {"executable": str(named)})
    assert default_target(measured_with(named)).endswith(f",python={python}")
    other = tmp_path / "other"
    other.touch()
    with pytest.raises(UsageError, match="because a file says so"):
        default_target(measured_with(other))


@pytest.mark.parametrize(
    ("executable", "fingerprint"),
    [
        (sys.executable, {}),
        ("/nowhere/python", {}),
        ("/bin/sh", {"cpu": "of a board"}),
        ("/bin/sh\n", {}),
        ("\0", {}),
    ],
)
def test_this_python_measures_where_no_other_is_named_that_is_here(
    executable: str, fingerprint: dict[str, Any]
):
    assert default_target(measured_with(executable, **fingerprint)) == "local:threads=2,kernels=xnnpack"


def test_a_model_that_knows_nothing_of_its_device_is_measured_here():
    assert default_target(SimpleNamespace()) == "local"


def test_this_python_is_not_noted(settings: Path):
    with open_target("local") as target:
        target.hello()
    assert not settings.exists()


@pytest.mark.parametrize("content", ["", "[]", '{"pythons": []}', '{"pythons": null}'])
def test_damaged_settings_note_nothing_and_are_written_anew(content: str, python: Path, settings: Path):
    settings.mkdir()
    (settings / "targets.json").write_text(content)
    with pytest.raises(UsageError):
        default_target(measured_with(python))
    note_python(str(python), {"executable": str(python)})
    assert json.loads((settings / "targets.json").read_text()) == {"pythons": {str(python): str(python)}}


def test_settings_that_cannot_be_written_stop_nothing(python: Path, settings: Path):
    settings.write_text("a file")
    with open_target(f"local:python={python}") as target:
        assert target.hello()["executable"] == str(python)


@pytest.mark.parametrize("base", ["XDG_CONFIG_HOME", "HOME"])
def test_settings_are_where_the_system_has_them(
    base: str, python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for name in ("EDGETIME_CONFIG_DIR", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv(base, str(tmp_path / "home"))
    note_python(str(python), {"executable": str(python)})
    folder = tmp_path / "home" / ("edgetime" if base == "XDG_CONFIG_HOME" else ".config/edgetime")
    assert (folder / "targets.json").exists()
