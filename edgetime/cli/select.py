"""``edgetime select``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import RenderableType

from edgetime import units
from edgetime.cli.console import JsonOption, Terminal, table

if TYPE_CHECKING:
    from selector.selection import Selection


def command(
    networks: Annotated[
        list[Path], typer.Argument(metavar="NET.tflite…", help="Networks to choose from, or folders of them.")
    ],
    time_model: Annotated[
        Path,
        typer.Option(metavar="MODEL.timemodel.json", help="The time model that 'edgetime fit' wrote."),
    ],
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="D.npz",
            help="Rows with labels: the networks are run on them for their accuracy. "
            "Without it nothing is run.",
        ),
    ] = None,
    budget_ms: Annotated[
        float | None, typer.Option(metavar="X", help="Longest predicted time that is accepted, in ms.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="POLICY.json", help="Where to write the choice."),
    ] = None,
    input_shape: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]N,H,W,C", help="Input shape, for files that leave more than the batch open."
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Choose between networks by their predicted time on a device.

    Of the networks whose predicted time is within the budget the most accurate is recommended, without --data
    the fastest. Times are never measured here: a network whose interval crosses the budget is marked, and
    'edgetime predict --measure' settles it.

    Example:

    \b
    $ edgetime select --time-model pi4.timemodel.json --data val.npz --budget-ms 5 nets/ -o policy.json
    """
    from edgetime.networks import expand, parse_shapes
    from selector.selection import select

    with Terminal(json) as out:
        # A folder stands for its .tflite files; Keras models in it are sources, not candidates.
        paths = [path for path in expand(networks) if path.suffix != ".keras" or path in networks]
        with out.progress("Select") as progress:
            found = select(
                time_model,
                paths,
                data,
                budget_ms,
                input_shape=parse_shapes(input_shape or []),
                progress=progress,
            )
        if output is not None:
            found.policy.save(output)
        for candidate in found.candidates:
            if candidate.uncovered:
                out.warn(
                    f"{candidate.path}: {', '.join(candidate.uncovered)} never measured on this device, "
                    f"so only estimated ({units.percent(1 - candidate.coverage)} of the predicted time)."
                )
        out.json({**found.to_dict(), "policy": None if output is None else str(output)})
        out.show(*_shown(found))
        if output is not None:
            out.show(f"Policy written to {output}")


def _shown(found: Selection) -> list[RenderableType]:
    rows = []
    for candidate, on_front in zip(found.candidates, found.on_front, strict=True):
        marks = ["recommended"] if candidate is found.recommended else []
        marks += ["front"] if on_front and found.judged_on else []
        if candidate.crosses(found.budget_ms):
            marks.append("interval crosses the budget")
        elif not candidate.fits(found.budget_ms):
            marks.append("over the budget")
        rows.append(
            [
                candidate.path,
                units.ms(candidate.predicted_ms),
                f"{units.ms(candidate.low_ms)} to {units.ms(candidate.high_ms)}",
                units.percent(candidate.coverage),
                units.percent(candidate.accuracy),
                units.size(candidate.file_bytes),
                ", ".join(marks),
            ]
        )
    columns = ["network", "predicted", "interval", "coverage", "accuracy", "file", ""]
    judged = (
        f"accuracy on {found.judged_on}"
        if found.judged_on
        else "no --data: nothing was run, the fastest is recommended"
    )
    return [table(columns, rows), "", f"Times predicted for {found.device}; {judged}"]
