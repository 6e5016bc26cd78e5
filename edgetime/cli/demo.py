"""``edgetime demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgetime import units
from edgetime.terminal import Terminal, keeping, options, table


def command(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for everything that is made.")] = Path(
        "demo-out"
    ),
    minutes: Annotated[float, typer.Option(metavar="M", help="Time for profiling this machine.")] = 2.0,
    seed: Annotated[int, typer.Option(min=0, help="Of everything random.")] = 0,
    json: options.JsonOption = False,
) -> None:
    """Show the whole story on this machine, in under 8 minutes.

    Profiles this machine, learns its time model, trains a network that reads scanned digits (they come with
    scikit-learn), advises on its widths, compresses it to less than half the time, exports it as int8, and
    measures everything that was predicted. A run that was stopped goes on where it was.

    Example:

    \b
    $ edgetime demo --out demo-out
    """
    from compressor.export import faster_in_words, require
    from edgetime.demo import Demo

    require("tensorflow")
    with Terminal(json) as terminal, keeping(out):
        summary = Demo(out, terminal, minutes, seed).run()
        terminal.json(summary)
        columns = ["network", "accuracy", "predicted", "measured", "memory", "file", ""]
        rows = [
            [
                row["network"],
                units.percent(row["accuracy"]),
                units.ms(row["predicted_ms"]),
                units.ms(row["measured_ms"]),
                units.size(row["peak_memory_bytes"]),
                units.size(row["file_bytes"]),
                row["mark"],
            ]
            for row in summary["networks"]
        ]
        terminal.show("", table(columns, rows), "")
        if summary["device"]:
            terminal.show(summary["device"])
        ratio, accuracy = summary["speedup_measured"], f"accuracy {units.points(-summary['drop_points'])}"
        if summary["trainings"] > 1:  # the table has the one that is handed over
            accuracy += f" (mean of {summary['trainings']} trainings)"
        if not summary["met"]:
            terminal.show(f"The goal was missed. {summary['missed']}.")
        elif ratio:
            fast = f"{ratio:.2f} times as fast" if ratio > 1 else faster_in_words(ratio)
            terminal.show(f"Compressed: {fast} (measured in turns), {accuracy}.")
        if summary["advice"]:
            terminal.show(summary["advice"])
        terminal.show(f"Everything in pictures: {summary['report']}")
