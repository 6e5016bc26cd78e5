"""Which versions of the code made a cell: numbers of different versions are not one comparison, and must not look it."""

from __future__ import annotations

import functools
import hashlib
import json
from collections import Counter
from pathlib import Path

from benchmarks.compression.pooled import Table
from profiler.files import write_json

ROOT = Path(__file__).resolve().parents[2]
DECIDING = ("compressor", "timemodel", "profiler")
"""Packages whose code decides what a cell comes to; besides, the tasks, schedules and originals of this benchmark."""

_FILE = "code.json"
UNKNOWN = "unknown"


@functools.lru_cache(maxsize=1)
def mark() -> str:
    """A short fingerprint of the code as it is now."""
    here = Path(__file__).parent
    files = [path for name in DECIDING for path in (ROOT / name).rglob("*.py")]
    files += [*here.glob("tasks*.py"), here / "schedules.py", here / "originals.py", here / "running.py"]
    found = hashlib.sha256()
    for path in sorted(files):
        found.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return found.hexdigest()[:10]


def remember(folder: Path) -> list[str]:
    """Note in a cell's folder that this version works on it; all that have so far.

    What was begun before versions were noted counts as of an unknown one.
    """
    path = folder / _FILE
    try:
        seen = list(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError):
        seen = [UNKNOWN] if any(folder.iterdir()) else []
    if mark() not in seen:
        seen.append(mark())
        write_json(path, seen)
    return seen


def lines(table: Table) -> list[str]:
    """One line where cells that are compared were made by different versions, with how many each made."""
    made = Counter(
        " then ".join(item.facts.get("code") or [UNKNOWN])
        for task in table.tasks for setting in table.settings
        for row in table.rows(task, setting) for item in row.made
    )  # fmt: skip
    if len(made) < 2:
        return []
    told = ", ".join(f"{version}: {count}" for version, count in made.most_common())
    return [
        f"(!) Cells were made by different versions of the code ({told}); column 'code' of compression.csv."
    ]
