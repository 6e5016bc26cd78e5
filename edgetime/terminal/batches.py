"""Many networks at once: lines of JSON as they come, and one bad file never ends the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import typer

from edgetime.terminal.console import Terminal
from profiler.errors import EdgetimeError
from profiler.progress import ProgressCallback

Answer = tuple[dict[str, Any], Sequence[str]]
"""What is known of a network, and warnings."""


def each_network(
    paths: Sequence[Path],
    answer: Callable[[Path, str | None], Answer],
    out: Terminal,
    progress: ProgressCallback,
) -> tuple[list[dict[str, Any]], int]:
    """Ask for every signature of every file; returns what was answered, and how many files failed.

    A file that fails is complained of; where it is the only one its error is raised.
    """
    from edgetime import networks as files  # here, since starting any verb imports this room

    results: list[dict[str, Any]] = []
    failed = 0
    for done, path in enumerate(paths):
        progress(done / len(paths), path.name)
        try:
            found = [answer(path, signature) for signature in files.signatures(path)]
        except EdgetimeError as error:
            if len(paths) == 1:
                raise
            out.complain(str(error))
            failed += 1
            continue
        for result, warnings in found:
            for warning in warnings:
                out.warn(warning)
            out.json(result)
            results.append(result)
    progress(1.0, "")
    return results, failed


def end_of_batch(failed: int, count: int, out: Terminal) -> None:
    """Exit with status 1 where any file failed."""
    if failed:
        out.complain(f"{failed} of {count} networks could not be predicted.")
        raise typer.Exit(1)
