"""``edgetime import``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgetime.terminal import Terminal, keeping, options


def command(
    results: Annotated[Path, typer.Argument(metavar="OUT.jsonl", help="What agent.py wrote on the board.")],
    output: Annotated[Path, options.output_option("DEVICE.db", "The profile; results are added to it.")],
    json: options.JsonOption = False,
) -> None:
    """Read what agent.py measured on a board into a profile.

    Results can be imported again and again as the board goes on measuring: each counts once.

    Example:

    \b
    $ edgetime import out.jsonl -o board.db
    $ edgetime fit board.db -o board.timemodel.json
    """
    from profiler.measurement import import_results

    with Terminal(json) as out, keeping(output):
        with out.progress("Import") as progress:
            summary = import_results(results, output, progress)
        for problem in summary.problems:
            out.warn(problem)
        out.json(summary.to_dict())
        out.show(str(summary), f"Next: edgetime fit {output} -o {output.with_suffix('.timemodel.json')}")
