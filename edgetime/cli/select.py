"""``edgetime select``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import RenderableType

from edgetime import units
from edgetime.terminal import Terminal, options, table

if TYPE_CHECKING:
    from selector.selection import NetworkOption, Selection


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
            help="Rows x (x.NAME for each of several inputs) with labels y: the networks are run on them for their "
            "accuracy. Without it nothing is run.",
        ),
    ] = None,
    budget_ms: Annotated[
        float | None, typer.Option(metavar="X", help="Longest predicted time that is accepted, in ms.")
    ] = None,
    output: Annotated[Path | None, options.output_option("POLICY.json", "Where to write the choice.")] = None,
    input_shape: options.InputShapeOption = None,
    json: options.JsonOption = False,
) -> None:
    """Choose between networks by their predicted time on a device.

    Of the networks whose predicted time is within the budget the most accurate is recommended, without --data
    the fastest. "front" marks those that no other beats in both. Times are never measured here: "may exceed"
    and "may fit" mark networks whose interval crosses the budget, and 'edgetime predict --measure' settles it.

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
            output = found.save(output)
        for candidate in found.candidates:
            if candidate.uncovered:
                out.warn(
                    f"{candidate.path}: {', '.join(candidate.uncovered)} not measured on this device in its number type, "
                    f"so only estimated ({units.percent(1 - candidate.coverage)} of the predicted time)."
                )
        out.json({**found.to_dict(), "policy": None if output is None else str(output)})
        out.show(*_shown(found))
        if output is not None:
            out.show(f"Policy written to {output}")


def _shown(found: Selection) -> list[RenderableType]:
    columns = {
        "network": [str(c.path) for c in found.candidates],
        "predicted": [units.ms(c.predicted_ms) for c in found.candidates],
        "interval": [f"{units.ms(c.low_ms)} to {units.ms(c.high_ms)}" for c in found.candidates],
        "covered": [units.percent(c.coverage) for c in found.candidates],
        "accuracy": [units.percent(c.accuracy) for c in found.candidates],
        "file": [units.size(c.file_bytes) for c in found.candidates],
        "": [", ".join(_marks(found, c, on)) for c, on in zip(found.candidates, found.on_front, strict=True)],
    }
    if all(candidate.coverage > 0.9995 for candidate in found.candidates):
        del columns["covered"]
    if not found.judged_on:
        del columns["accuracy"]
    rows = list(zip(*columns.values(), strict=True))
    judged = f"accuracy on {found.judged_on}" if found.judged_on else "nothing was run, so the fastest is it"
    return [table(list(columns), rows), "", f"Times predicted for {found.device}; {judged}"]


def _marks(found: Selection, candidate: NetworkOption, on_front: bool) -> list[str]:
    """What is to be said of one candidate, in few words."""
    marks = ["recommended"] if candidate is found.recommended else []
    if on_front and found.judged_on:
        marks.append("front")
    fits, crosses = candidate.fits(found.budget_ms), candidate.crosses(found.budget_ms)
    if crosses:
        marks.append("may exceed" if fits else "may fit")
    elif not fits:
        marks.append("too slow")
    return marks
