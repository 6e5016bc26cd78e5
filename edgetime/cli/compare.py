"""``edgetime compare``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgetime import differences, units
from edgetime.terminal import Terminal, options, table, views

if TYPE_CHECKING:
    from profiler.measurement import PairMeasurement
    from timemodel.compare import FileComparison
    from timemodel.model import SettingModel

_measure = options.panel("Measure as well")


def command(
    first: Annotated[Path, typer.Argument(metavar="A", help="A network file (.tflite or .keras).")],
    second: Annotated[Path, typer.Argument(metavar="B", help="Another file of the same network.")],
    time_model: Annotated[
        Path,
        typer.Option(
            metavar="MODEL.timemodel.json", help="The device's time model, which 'edgetime fit' wrote."
        ),
    ],
    setting: options.SettingOption = None,
    measure: Annotated[
        bool,
        _measure(
            "--measure", help="Run both files in turns, and their operators, as well.", show_default=False
        ),
    ] = False,
    target: Annotated[
        str | None,
        _measure(metavar="TARGET", help="Where to measure; default: where the model's profile was measured."),
    ] = None,
    signature: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Which network of a file with several signatures, in A and in B."),
    ] = None,
    loop_turns: options.LoopTurnsOption = None,
    input_shape: options.InputShapeOption = None,
    layers: Annotated[
        views.Layers, typer.Option(help="Which layers to list: those that differ most, all, or none.")
    ] = views.Layers.none,
    html: Annotated[
        Path | None, typer.Option(metavar="F.html", help="Write a page with every layer, too.")
    ] = None,
    json: options.JsonOption = False,
) -> None:
    """Say operator by operator why one of two files of a network is slower: of another number type, converter or width.

    Layers are aligned by the graph (what they read, their shapes, their names), never by their number. Every difference says how
    far it may be off (90%); what is no sure difference is called so. Two files that are not of one network are refused, with
    what they share.

    Example:

    \b
    $ edgetime compare net.tflite net_int8.tflite --time-model here.timemodel.json
    $ edgetime compare net.tflite net_int8.tflite --time-model here.timemodel.json --measure
    """
    from edgetime import networks as files
    from profiler.errors import UsageError
    from timemodel import TimeModel
    from timemodel.compare import compare

    with Terminal(json) as out:
        if target is not None and not measure:
            raise UsageError("--target says where to measure: give --measure too.")
        known = TimeModel.load(time_model)
        key = options.find_setting(known.settings, setting)
        shapes = files.parse_shapes(input_shape or [])
        both = [
            files.read(path, shapes, files.the_signature(path, signature), loop_turns)
            for path in (first, second)
        ]
        one, other = (read.network for read in both)
        measured = None
        if measure:
            compare(known, one, other, key)  # refuses files of two networks before anything is measured
            measured = _measured(known.setting(key), target, both[0].tflite, both[1].tflite, shapes, out)
        times = [] if measured is None else [measured.first.layer_ms, measured.second.layer_ms]
        found = compare(known, one, other, key, times)
        out.json(
            {
                **found.to_dict(),
                "setting": key,
                "measured": None if measured is None else measured.to_dict(),
                "explained": differences.explained(found, measured),
                "named": [one.text for one in differences.named(found)],
            }
        )
        show(found, measured, layers, out)
        if html is not None:
            from edgetime.report import write_comparison

            write_comparison(found, measured, html)
            out.note(f"Page: {html}")


def _measured(
    setting: SettingModel, target: str | None, first: Any, second: Any, shapes: Any, out: Terminal
) -> PairMeasurement:
    from profiler.calm import WITHIN
    from profiler.devices import default_target, open_target
    from profiler.measurement import measure_pair

    with open_target(target or default_target(setting)) as device, out.progress("Measure") as progress:
        if setting.conditions is not None:
            device.calm_below_us = WITHIN * setting.conditions.canary_us
        measured = measure_pair(first, second, device, input_shape=shapes, progress=progress)
    for one in (measured.first, measured.second):
        if one.layer_note:
            out.warn(f"{one.network}: {one.layer_note}.")
    return measured


def show(
    found: FileComparison, measured: PairMeasurement | None, layers: views.Layers, out: Terminal
) -> None:
    """Print the verdict, what explains it, and layers where they are asked for."""
    for line in differences.verdict(found, measured):
        out.show(views.rules(line, out.width))
    rows = differences.named(found)
    with_measured = measured is not None
    if rows:
        cells = [differences.row(one, with_measured) for one in rows]
        out.show("", table(differences.headers(found, with_measured), cells))
        share = differences.explained(found, measured)
        rest = len(found.differences) - len(rows)
        if share is not None:
            what = "measured" if measured is not None and measured.first.layer_ms else "predicted"
            out.show(
                f"They make up {share:.0%} of the {what} difference; {rest} other kinds of layers the rest."
            )
    if layers is views.Layers.none:
        return
    chosen = differences.rows(found)[: views.TOP] if layers is views.Layers.top else found.layers
    lines = [
        [
            views.short_name(one.name, 28),
            one.reason.operators,
            units.ms(one.first_ms) if one.first else "-",
            units.ms(one.second_ms) if one.second else "-",
        ]
        for one in chosen
    ]
    out.show("", table(["layer", "operator", "first", "second"], lines))
