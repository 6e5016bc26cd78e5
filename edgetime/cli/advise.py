"""``edgetime advise``."""

from __future__ import annotations

from typing import Annotated

import typer

from edgetime import units
from edgetime.cli.console import JsonOption, Terminal, table
from edgetime.cli.options import InputShapeOption, ModelArgument, NetworkArgument
from edgetime.cli.views import short_name


def command(
    model: ModelArgument,
    network: NetworkArgument,
    most: Annotated[
        int, typer.Option("--most", min=1, metavar="N", help="At most so many narrower widths per layer.")
    ] = 3,
    input_shape: InputShapeOption = None,
    json: JsonOption = False,
) -> None:
    """Say per layer which widths cost less or no more on a device, and what each change would save.

    Layers whose channels go together (through additions, say) change together and share a row. Percentages
    are of the whole network's predicted time.

    Example:

    \b
    $ edgetime advise here.timemodel.json net.tflite
    """
    from edgetime import networks as files
    from timemodel import TimeModel
    from timemodel.advice import advise

    with Terminal(json) as out:
        time_model = TimeModel.load(model)
        read = files.read(network, files.parse_shapes(input_shape or []))
        advice = advise(time_model, read.network, most_steps=most)
        out.json(advice.to_dict())
        rows = [{**row, "name": short_name(row["name"])} for row in advice.rows()]
        if rows:
            out.show(table(list(rows[0]), [list(row.values()) for row in rows]), "")
        out.show(f"{advice.network}: predicted {units.ms(advice.predicted_ms)} on {time_model.device}")
        if advice.top:
            number, option = advice.top[0]
            group = advice.groups[number]
            out.show(
                f"What saves most in one step: {short_name(group.name)} from {group.width} to {option.width} channels, "
                f"{units.ms(option.saving_ms)} less ({units.percent(option.saving_share)})."
            )
        else:
            out.show("No other width would make it faster.")
        for note in advice.notes:
            out.note(note)
