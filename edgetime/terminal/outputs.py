"""No verb may write over what it reads: checked here for all of them, before any work."""

from __future__ import annotations

import functools
import os
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from typer.models import OptionInfo

from profiler.errors import UsageError

OUTPUTS = ("output", "out", "html", "one_file")
"""Parameters of verbs that name what is written; every other path is read."""

_READ_IN_FOLDERS = (
    ".tflite",
    ".keras",
    ".jsonl",
    ".db",
    ".timemodel.json",
    "advice.json",
    "result.json",
    "selection.json",
)
"""Ends of names of what is looked for in a folder that is read."""

_MADE_IN_FOLDERS = frozenset(
    {"compressed.keras", "closest.keras", "best_so_far.keras", "points", "seeds", "checkpoints"}
)
"""What is put into a folder that is written and could be read, too."""


def keeping_inputs(command: Callable[..., None]) -> Callable[..., None]:
    """`command`, which first sees that no output names an input (else UsageError)."""

    @functools.wraps(command)
    def checked(**given: Any) -> None:
        for output in OUTPUTS:
            written = given.get(output)
            if isinstance(written, Path):
                _check(written, output, command, given)
        command(**given)

    return checked


def _check(written: Path, output: str, command: Callable[..., None], given: Mapping[str, Any]) -> None:
    for name, read in _inputs(given):
        if _same(written, read) or _is_part(written, read, command, output) or _is_replaced(read, written):
            raise UsageError(
                f"{_typed(command, output)} {written} would overwrite what is read as {_typed(command, name)} "
                f"({read}): name another place to write to."
            )


def _inputs(given: Mapping[str, Any]) -> Iterator[tuple[str, Path]]:
    """Every path that is read, with its parameter."""
    for name, value in given.items():
        if name not in OUTPUTS:
            for path in value if isinstance(value, (list, tuple)) else [value]:
                if isinstance(path, Path):
                    yield name, path


def _same(one: Path, other: Path) -> bool:
    """Whether two names lead to one file or folder, be it by links or in another case."""
    try:
        return os.path.samefile(one, other)
    except OSError:
        return os.path.realpath(one) == os.path.realpath(other)


def _is_part(written: Path, read: Path, command: Callable[..., None], output: str) -> bool:
    """Whether a file is read with its folder. What an earlier run of the verb wrote there is not."""
    if not written.is_file() or not _inside(written, read):
        return False
    own = str(_declared(command, output).metavar)
    return any(written.name.endswith(end) and not own.endswith(end) for end in _READ_IN_FOLDERS)


def _is_replaced(read: Path, folder: Path) -> bool:
    """Whether writing a folder writes over a file in it."""
    if not folder.is_dir() or not _inside(read, folder):
        return False
    return Path(os.path.realpath(read)).relative_to(os.path.realpath(folder)).parts[0] in _MADE_IN_FOLDERS


def _inside(path: Path, folder: Path) -> bool:
    return Path(os.path.realpath(folder)) in Path(os.path.realpath(path)).parents


def _typed(command: Callable[..., None], name: str) -> str:
    """A parameter as the user knows it, such as ``-o``, ``--data``, or an argument's ``DEVICE.db``."""
    declared = _declared(command, name)
    if not isinstance(declared, OptionInfo):
        return str(declared.metavar).strip("[]…")
    # Typer takes the first name of an annotated option for its default.
    names = [one for one in (declared.default, *(declared.param_decls or ())) if isinstance(one, str)]
    return names[0] if names else f"--{name.replace('_', '-')}"


def _declared(command: Callable[..., None], name: str) -> Any:
    """What Typer knows of a parameter."""
    return typing.get_type_hints(command, include_extras=True)[name].__metadata__[0]
