"""The arena that TFLite Micro's own interpreter takes, where its Python package is installed."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from profiler.errors import MissingExtraError

_PROGRAM = """
import sys
from tflite_micro.python.tflite_micro import runtime
content = open(sys.argv[1], "rb").read()
interpreter = runtime.Interpreter.from_bytes(content, arena_size=int(sys.argv[2]))
interpreter.print_allocations()
if sys.argv[3] == "run":
    interpreter.invoke()
"""
"""In a process of its own: an arena that is too small can end it."""

_TOTAL = re.compile(r"Arena allocation total (\d+) bytes")
_LONGEST_S = 120.0
_ROOM_BYTES = 1 << 20


@dataclass(frozen=True)
class MeasuredArena:
    """What the interpreter of a PC took.

    `used_bytes` is what it says that it uses, None where it cannot run the file; `problem` is then why. `enough` is whether an
    arena of just the estimated size was enough to start.
    """

    used_bytes: int | None
    enough: bool
    problem: str = ""


def installed() -> bool:
    """Whether the package ``tflite-micro`` is there."""
    return importlib.util.find_spec("tflite_micro") is not None


def measure_arena(
    source: str | os.PathLike[str] | bytes, arena_bytes: int, run: bool = False
) -> MeasuredArena:
    """Start TFLite Micro's interpreter with a file, once with room and once with an arena of `arena_bytes`.

    `run` runs one inference as well: some types are refused only then. MissingExtraError where the package is not installed.
    """
    if not installed():
        raise MissingExtraError(
            'Measuring the arena needs tflite-micro, which is not installed: pip install "edgetime[mcu]".'
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.tflite"
        path.write_bytes(source if isinstance(source, bytes) else Path(source).read_bytes())
        used, problem = _start(path, 2 * arena_bytes + _ROOM_BYTES, run)
        enough = used is not None and _start(path, arena_bytes, False)[0] is not None
        return MeasuredArena(used, enough, problem)


def _start(path: Path, arena_bytes: int, run: bool) -> tuple[int | None, str]:
    """The bytes in use, or None and what was wrong."""
    command = [sys.executable, "-c", _PROGRAM, str(path), str(arena_bytes), "run" if run else ""]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_LONGEST_S, check=False)
    except subprocess.TimeoutExpired:
        return None, f"it took more than {_LONGEST_S:.0f} s"
    found = _TOTAL.search(done.stderr)
    if done.returncode == 0 and found:
        return int(found.group(1)), ""
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip() and not line.startswith("[")]
    return None, lines[0] if lines else f"its process ended with status {done.returncode}"
