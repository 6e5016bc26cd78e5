"""``edgetime explain``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgetime.cli import views
from edgetime.cli.console import JsonOption, Terminal
from edgetime.cli.options import ModelArgument


def command(
    model: ModelArgument,
    op: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only this operator, such as conv_2d; default: all.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a page with plots of the staircases as well.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Say in words what a device's time model has learned.

    Example:

    \b
    $ edgetime explain here.timemodel.json --op conv_2d
    $ edgetime explain here.timemodel.json --html staircases.html
    """
    from edgetime.report import write_explanation
    from timemodel import TimeModel

    with Terminal(json) as out:
        loaded = TimeModel.load(model)
        texts = loaded.explain(op)
        out.json({"device": loaded.device, "rules": texts})
        out.show("\n\n".join(views.rules(text, out.width) for text in texts))
        if html is not None:
            write_explanation(loaded, html, op)
            out.note(f"Plots: {html}")
