"""``edgetime fit``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgetime.cli.console import JsonOption, Terminal
from edgetime.cli.views import fit_table


def command(
    profile: Annotated[
        Path, typer.Argument(metavar="DEVICE.db", help="The profile that 'edgetime profile' wrote.")
    ],
    output: Annotated[
        Path,
        typer.Option("-o", "--output", metavar="MODEL.timemodel.json", help="Where to write the time model."),
    ],
    json: JsonOption = False,
) -> None:
    """Learn a device's time model from its profile.

    Prints per operator how far the model is off on layers that it did not learn from (cross-validation).

    Example:

    \b
    $ edgetime fit here.db -o here.timemodel.json
    """
    from timemodel import fit_profile

    with Terminal(json) as out:
        with out.progress("Fit") as progress:
            model = fit_profile(profile, progress=progress)
        model.save(output)
        errors = [error.to_dict() for error in model.errors]
        out.json({"time_model": str(output), "device": model.device, "errors": errors})
        out.show(fit_table(errors), f"Time model of {model.device}: {output}")
