"""``edgetime compress --join``: help with a search that was begun elsewhere."""

from __future__ import annotations

from pathlib import Path

from edgetime.cli.console import Terminal
from edgetime.cli.failures import StoppedError


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
    """Take part in the search at `where` until it is over, and tell what was done."""
    from compressor.joining import join

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
        out.json(joined.to_dict())
