"""Entry points of other distributions, real ones on the path."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from profiler.plugins import load_plugins


def install(folder: Path, distribution: str, entry_points: str, module: str = "") -> None:
    """What an installer leaves of a distribution: its metadata, and a module named after it."""
    metadata = folder / f"{distribution}-1.2.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n")
    (metadata / "entry_points.txt").write_text(entry_points)
    (folder / f"{distribution}_plugin.py").write_text(module)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in [name for name in sys.modules if name.endswith("_plugin")]:
        del sys.modules[name]


def test_a_plug_in_is_registered_under_the_name_of_its_entry_point(folder: Path) -> None:
    install(folder, "alpha", "[made.up]\nmine = alpha_plugin:THING\n", "THING = 7\n")
    found: dict[str, object] = {}
    assert load_plugins("made.up", found.__setitem__, []) == []
    assert found == {"mine": 7}


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        ("import no_such_module_at_all\n", "ModuleNotFoundError: No module named 'no_such_module_at_all'"),
        ("raise RuntimeError('first line.\\nsecond line')\n", "RuntimeError: first line."),
        ("OTHER = 1\n", "AttributeError"),
        ("import sys; sys.exit()\n", "SystemExit"),
        ("syntax error\n", "SyntaxError"),
    ],
)
def test_one_that_fails_to_load_is_named_with_its_distribution_and_the_others_load(
    folder: Path, module: str, reason: str
) -> None:
    install(folder, "broken", "[made.up]\nbad = broken_plugin:THING\n", module)
    install(folder, "sound", "[made.up]\ngood = sound_plugin:THING\n", "THING = 7\n")
    found: dict[str, object] = {}
    (problem,) = load_plugins("made.up", found.__setitem__, [])
    assert found == {"good": 7}
    assert "'bad' of broken 1.2" in problem
    assert reason in problem
    assert "\n" not in problem


def test_one_whose_registration_is_refused_is_named_with_the_reason(folder: Path) -> None:
    install(folder, "odd", "[made.up]\nodd = odd_plugin:THING\n", "THING = 7\n")

    def refuse(name: str, thing: object) -> None:
        raise TypeError(f"{thing} is no target.")

    (problem,) = load_plugins("made.up", refuse, [])
    assert "odd 1.2" in problem
    assert problem.endswith("TypeError: 7 is no target.")


def test_a_taken_name_is_refused_and_the_plug_in_is_not_even_imported(folder: Path) -> None:
    install(folder, "thief", "[made.up]\nlocal = thief_plugin:THING\n", "raise AssertionError('imported')\n")
    found: dict[str, object] = {}
    (problem,) = load_plugins("made.up", found.__setitem__, ["local"])
    assert found == {}
    assert "'local' is taken" in problem
    assert "thief 1.2" in problem


def test_of_two_plug_ins_of_one_name_the_second_is_refused_and_both_distributions_are_named(
    folder: Path,
) -> None:
    install(folder, "aaa", "[made.up]\nsame = aaa_plugin:THING\n", "THING = 'first'\n")
    install(folder, "bbb", "[made.up]\nsame = bbb_plugin:THING\n", "THING = 'second'\n")
    found: dict[str, object] = {}
    (problem,) = load_plugins("made.up", found.__setitem__, [])
    assert found == {"same": "first"}
    assert "bbb 1.2" in problem
    assert "taken by aaa 1.2" in problem


def test_other_groups_are_not_loaded(folder: Path) -> None:
    install(folder, "other", "[another.group]\nmine = other_plugin:THING\n", "raise AssertionError\n")
    assert load_plugins("made.up", {}.__setitem__, []) == []
