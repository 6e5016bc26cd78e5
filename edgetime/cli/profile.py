"""``edgetime profile``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from edgetime.terminal import Terminal, keeping, options


def command(
    target: Annotated[
        str, typer.Argument(metavar="TARGET", help="Where to measure, such as local; see 'edgetime targets'.")
    ],
    output: Annotated[Path, options.output_option("DEVICE.db", "The profile; goes on where it stopped.")],
    minutes: Annotated[float, typer.Option(metavar="M", help="Wall time for the whole command.")] = 3.0,
    dtype: options.DtypeOption = "float32,int8",
    ops: options.OpsOption = None,
    goal: Annotated[
        str,
        typer.Option(
            metavar="ERROR",
            help="Stop once networks are predicted this well on average, such as 3% or 0.03; 0: use all minutes.",
        ),
    ] = "3%",
    json: options.JsonOption = False,
) -> None:
    """Measure how long layers take on a device and keep that in a profile.

    Nothing that was measured is ever lost: the same command goes on where an earlier one stopped, and more
    minutes measure more.

    Once all layers were met, cross-validation says how well the time model predicts networks. If that
    is within --goal, this is the end; else more layers are measured where it matters most, until the minutes are
    used. 90% of networks must be within 5/3 of the goal.

    With a source of power behind the target (power=rapl, power=ina, …; 'edgetime targets' says what this machine has) the
    last part of the minutes measures what layers draw, and all that is predicted has its energy.

    Example:

    \b
    $ edgetime profile local -o here.db --minutes 3
    $ edgetime profile local -o here.db --minutes 10 --goal 2%
    $ edgetime profile local:threads=2 -o here.db --dtype float32
    $ edgetime profile "ssh://user@board?power=ina" -o board.db --minutes 10
    """
    begin = time.monotonic()
    wanted = options.parse_share(goal, "--goal")
    from edgetime.facade import profile
    from profiler.devices import open_target

    place = open_target(target)
    with Terminal(json) as out, keeping(output):
        with out.progress("Profile") as progress:
            summary = profile(
                place,
                output,
                minutes=minutes,
                dtypes=options.split_names(dtype),
                ops=options.split_names(ops) if ops is not None else None,
                progress=progress,
                goal=wanted,
                begin=begin,
            )
        out.json(summary.to_dict())
        out.show(str(summary), f"Next: edgetime fit {output} -o {output.with_suffix('.timemodel.json')}")
