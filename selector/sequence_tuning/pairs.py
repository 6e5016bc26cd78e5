"""Development data: lines with what they should become."""

from __future__ import annotations

import os
from pathlib import Path

from profiler.errors import DataError, missing

_HOW = "write one pair per line, the source, a tab, and what it should become"


def read_pairs(path: str | os.PathLike[str]) -> tuple[list[str], list[str]]:
    """Sources and references of a file with one pair per line, a tab in between.

    Raises
    ------
    DataError
        The file is missing or empty, or a line holds no pair.
    """
    file = Path(path)
    try:
        lines = file.read_text("utf-8").split("\n")
    except FileNotFoundError:
        raise missing(DataError(f"{file} does not exist: {_HOW}.")) from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file} cannot be read as text ({error}): {_HOW}.") from error
    pairs = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        parts = line.rstrip("\r").split("\t")
        if len(parts) != 2:
            raise DataError(f"Line {number} of {file} has {len(parts) - 1} tabs: {_HOW}.")
        pairs.append((parts[0], parts[1]))
    if not pairs:
        raise DataError(f"{file} has no lines: {_HOW}.")
    return [source for source, _ in pairs], [reference for _, reference in pairs]
