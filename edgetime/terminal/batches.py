"""Many networks at once: lines of JSON as they come, and one bad file never ends the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import typer

from edgetime.terminal.console import Terminal
from edgetime.terminal.failures import describe
from profiler.progress import ProgressCallback

Answer = tuple[dict[str, Any], Sequence[str]]
"""What is known of a network, and warnings."""


def each_network(
    paths: Sequence[Path],
    answer: Callable[[Path, str | None], Answer],
    out: Terminal,
    progress: ProgressCallback,
    signature: str | None = None,
) -> tuple[list[dict[str, Any]], int]:
    """Ask for every signature of every file, or for the one named; returns what was answered, and how many files failed.

    A file that fails is complained of, and what its other signatures answered stands; where it is the only one its error is
    raised.
    """
    from edgetime import networks as files  # here, since starting any verb imports this room

    results: list[dict[str, Any]] = []
    failed = 0
    for done, path in enumerate(paths):
        progress(done / len(paths), path.name)
        names = files.signatures(path, signature)
        bad = False
        for name in names:
            try:
                result, warnings = answer(path, name)
            except (
                Exception
            ) as error:  # even a bug in edgetime that one file brings out is no reason to leave the others
                if len(paths) == len(names) == 1:
                    raise
                out.complain(describe(error)[0])
                bad = True
                continue
            for warning in warnings:
                out.warn(warning)
            out.json(result)
            results.append(result)
        failed += bad
    progress(1.0, "")
    return results, failed


def end_of_batch(failed: int, count: int, out: Terminal) -> None:
    """Exit with status 1 where any file failed."""
    if failed:
        out.complain(f"{failed} of {count} networks could not be predicted.")
        raise typer.Exit(1)
