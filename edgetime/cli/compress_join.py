"""``edgetime compress --join``: help with a search that was begun elsewhere."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer

from edgetime.terminal import StoppedError, Terminal
from profiler.errors import UsageError

_ALLOWED = frozenset(
    {"network", "data", "time_model", "calibration", "storage", "minutes", "join", "json", "help"}
)
"""What says where the search and its files are, and how long to help; all else was said where it was begun."""


def check_options(context: typer.Context) -> None:
    """Refuse what was given beside ``--join`` and would be ignored, be it the default."""
    names = [_typed(one, context) for one in context.command.params if _is_refused(one, context)]
    if not names:
        return
    listed = f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]
    do, them = ("do", "them") if len(names) > 1 else ("does", "it")
    mend = "; for more processes give the command several times" if "--workers" in names else ""
    raise UsageError(
        f"{listed} {do} not go with --join, which helps with a search as it was begun: leave {them} out{mend}."
    )


def _is_refused(option: Any, context: typer.Context) -> bool:
    source = context.get_parameter_source(option.name)
    return option.name not in _ALLOWED and source is not None and source.name == "COMMANDLINE"


def _typed(option: Any, context: typer.Context) -> str:
    """An option as it was typed, such as ``--no-measure``; of several names the first."""
    off = option.secondary_opts if context.params[option.name] is False else ()
    return str((*off, *option.opts)[0])


def join_search(
    where: str,
    network: Path | None,
    data: Path | None,
    time_model: Path | None,
    calibration: Path | None,
    storage: str | None,
    minutes: float | None,
    json: bool,
) -> None:
    """Take part in the search at `where` until it is over, and say what was done."""
    from compressor.pipeline.shared import join

    with Terminal(json) as out:
        try:
            with out.progress("Search") as progress:
                joined = join(
                    where,
                    model=network,
                    data=data,
                    time_model=time_model,
                    calibration=calibration,
                    storage=storage,
                    minutes=minutes,
                    progress=progress,
                )
        except KeyboardInterrupt as stop:
            raise StoppedError(
                "Stopped; the candidate that was at work is left to the others, those before it are in the search."
            ) from stop
        out.show(
            f"{joined.tried} candidates tried here, {joined.trials} in all: the result is made where it was begun."
        )
        out.json(asdict(joined))
