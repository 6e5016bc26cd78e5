"""``edgetime report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgetime.terminal import Terminal, options


def command(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR",
            help="Folder with profiles, time models, predictions, selections and compression results.",
        ),
    ],
    output: Annotated[Path, options.output_option("FILE", "The page to write.")],
    json: options.JsonOption = False,
) -> None:
    """Make one web page of what a folder holds: staircases, predicted against measured, before and after.

    The page needs no network and can be mailed as it is. It shows every .db, .timemodel.json, .jsonl (what
    'predict --json' printed), advice.json, selection.json (what 'select --json' printed) and result.json in DIR and
    the folders in it.

    Example:

    \b
    $ edgetime report demo-out -o report.html
    """
    from edgetime.report import write_report

    with Terminal(json) as out:
        shown = write_report(folder, output)
        out.json({"report": str(output), "shown": shown})
        out.show(f"{output}: {', '.join(shown)}")
