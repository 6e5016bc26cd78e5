"""The house's rules: rooms of few files, public names through a room's door, no circles, one meaning per class name."""

from __future__ import annotations

import ast
import importlib
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("profiler", "timemodel", "compressor", "selector", "edgetime")

MOST_FILES = 14
MOST_LINES = 400
LONG = {"profiler/devices/agent.py": "the one file that goes to a board"}
"""Files that may be longer, and why."""

WIDE = {"edgetime.cli": "one module per verb"}
"""Rooms that may have more files, and why."""


def files() -> list[Path]:
    return [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_of(path): path for path in files()}
ROOMS = sorted(name for name, path in MODULES.items() if path.name == "__init__.py" and "." in name)


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def imports(path: Path) -> Iterator[tuple[str, str | None]]:
    """Every import of this project in a file, wherever it stands: (module, name)."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.module, alias.name) for alias in node.names)


def imported_modules(path: Path) -> set[str]:
    """The modules of this project that a file imports: ``from a import b`` is ``a.b`` where that is a module."""
    found = {
        f"{module}.{name}" if f"{module}.{name}" in MODULES else module for module, name in imports(path)
    }
    return found & set(MODULES)


def room_of(module: str) -> str:
    """The subpackage that a module belongs to; the package itself for files at its top."""
    return module if MODULES[module].name == "__init__.py" else module.rpartition(".")[0]


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_says_what_it_is_for_and_its_public_names_are_there(room: str):
    assert ast.get_docstring(tree_of(MODULES[room])), f"{room} does not say what it is for"
    home = importlib.import_module(room)
    assert [name for name in _public(room) if not hasattr(home, name)] == []


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_has_few_files_and_is_at_most_two_levels_deep(room: str):
    if room not in WIDE:
        assert len(list(MODULES[room].parent.glob("*.py"))) <= MOST_FILES + 1
    assert room.count(".") <= 2


def test_files_are_short():
    long = {
        str(path.relative_to(ROOT)): lines
        for path in files()
        if (lines := len(path.read_text("utf-8").splitlines())) > MOST_LINES
    }
    assert set(long) <= set(LONG), long


def _own(importer: str, imported: str) -> bool:
    """Whether a file may reach into another's room: its own, or one that its own lies in."""
    room = room_of(imported)
    return importer == room or importer.startswith(f"{room}.")


@pytest.mark.parametrize("package", PACKAGES)
def test_nothing_outside_a_room_imports_its_private_files(package: str):
    reached = [
        f"{importer} imports {imported}"
        for importer, path in MODULES.items()
        if importer.split(".")[0] == package
        for imported in imported_modules(path)
        if room_of(imported) != imported and "." in room_of(imported)
        if not _own(importer, imported)
        # A room may hand out one of its files as a name of its own.
        if imported.rpartition(".")[2] not in _public(room_of(imported))
    ]
    assert not reached


@cache
def _public(room: str) -> frozenset[str]:
    for node in tree_of(MODULES[room]).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            return frozenset(ast.literal_eval(node.value))
    return frozenset()


def test_no_two_files_import_each_other_by_any_way_round():
    graph = {name: imported_modules(path) - {name} for name, path in MODULES.items()}
    done: set[str] = set()
    circles: list[list[str]] = []

    def walk(module: str, trail: list[str]) -> None:
        if module in trail:
            circles.append([*trail[trail.index(module) :], module])
            return
        if module in done:
            return
        for other in sorted(graph[module]):
            walk(other, [*trail, module])
        done.add(module)

    for name in sorted(graph):
        walk(name, [])
    assert not circles


def test_a_class_name_stands_for_one_thing():
    names = Counter(
        node.name
        for path in files()
        for node in tree_of(path).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert [name for name, count in names.items() if count > 1] == []


def test_nothing_writes_into_the_dict_of_another_object():
    wrote = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in files()
        for node in ast.walk(tree_of(path))
        if _writes_dict(node)
    ]
    assert wrote == []


def _writes_dict(node: ast.AST) -> bool:
    """``x.__dict__[…] = …`` and ``x.__dict__.update(…)``; ``object.__setattr__`` on anything but `self`."""
    if isinstance(node, ast.Assign | ast.AugAssign | ast.Delete):
        targets = [node.target] if isinstance(node, ast.AugAssign) else node.targets
        return any(isinstance(target, ast.Subscript) and _is_dict(target.value) for target in targets)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        if _is_dict(node.func.value):
            return node.func.attr in ("update", "setdefault", "pop", "clear")
        if node.func.attr == "__setattr__" and getattr(node.func.value, "id", "") == "object":
            return getattr(node.args[0], "id", "") != "self"
    return False


def _is_dict(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "__dict__"


def test_tests_mirror_rooms():
    """Every folder of tests is a package, a room, or benchmarks."""
    folders = {path.parent.relative_to(ROOT / "tests") for path in (ROOT / "tests").rglob("test_*.py")}
    unknown = [
        str(folder)
        for folder in folders
        if folder.parts and folder.parts[0] in PACKAGES and not (ROOT / folder).is_dir()
    ]
    assert not unknown


def test_the_picture_of_the_rooms_is_up_to_date():
    from docs.rooms import PICTURE, picture

    assert PICTURE.read_text("utf-8") == picture(), "run 'make docs'"
