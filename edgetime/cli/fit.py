"""``edgetime fit``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgetime.cli import tables
from edgetime.terminal import Terminal, options
from profiler.errors import UsageError
from profiler.files import check_writable

_table = options.panel("Learn from a table in place of a profile")


def command(
    output: Annotated[Path, options.output_option("MODEL.timemodel.json", "Where to write the time model.")],
    profile: Annotated[
        Path | None, typer.Argument(metavar="[DEVICE.db]", help="The profile that 'edgetime profile' wrote.")
    ] = None,
    table: Annotated[
        list[Path] | None,
        _table(
            metavar="T.csv",
            help="A table of measured layers (.csv, .csv.gz) in place of a profile; repeatable.",
        ),
    ] = None,
    networks: Annotated[
        Path | None,
        _table(
            metavar="LAYERS",
            help="The table holds times of whole networks; their layers are in this file (.jsonl, .jsonl.gz) "
            "or folder of .tflite files.",
        ),
    ] = None,
    device: Annotated[
        str | None, _table(metavar="NAME", help="Whose times to take from a table of several devices.")
    ] = None,
    time_unit: Annotated[
        tables.TimeUnit | None,
        _table(help="Unit of the table's times; default: what the column's name says."),
    ] = None,
    like: Annotated[
        Path | None,
        _table(
            metavar="OTHER.timemodel.json",
            help="Keep the splits of this time model and fit its leaves to the table: for few measurements.",
        ),
    ] = None,
    json: options.JsonOption = False,
) -> None:
    """Learn a device's time model from its profile, or from a table of measurements that you have.

    Prints per operator how far the model is off on layers that it did not learn from (cross-validation).

    Example:

    \b
    $ edgetime fit here.db -o here.timemodel.json
    $ edgetime fit --table conv.csv --table dense.csv -o gpu.timemodel.json
    $ edgetime fit --table totals.csv --networks layers.jsonl --device Pixel_3 -o pixel3.timemodel.json
    """
    from timemodel import fit_profile
    from timemodel.fitting import notes_on

    with Terminal(json) as out:
        # Minutes of work must not end on a folder that cannot be written to.
        if networks is None or not output.is_dir():
            check_writable(output)
        if (profile is None) == (not table):
            raise UsageError("Name either a profile (DEVICE.db) or a table (--table T.csv) to learn from.")
        if table:
            unit = time_unit.value if time_unit is not None else None
            if networks is None:
                tables.fit(table, output, device, unit, like, out)
            elif len(table) > 1 or like is not None:
                raise UsageError("With --networks there is one --table and no --like: leave the others out.")
            else:
                tables.fit_totals(table[0], networks, output, device, unit, out)
            return
        if networks is not None or device is not None or time_unit is not None or like is not None:
            raise UsageError("--networks, --device, --time-unit and --like go with --table: add it.")
        assert profile is not None
        with out.progress("Fit") as progress:
            model = fit_profile(profile, progress=progress)
        model.save(output)
        notes = notes_on(profile, model)
        for note in notes:
            out.warn(note)
        tables.show_fitted(model, output, out, notes=notes)
        if len(model.settings) > 1:
            out.note(f"Settings: {'; '.join(model.settings)}; the table is the first one's.")
