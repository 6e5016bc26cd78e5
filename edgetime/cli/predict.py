"""``edgetime predict``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgetime.cli import tables
from edgetime.terminal import Terminal, each_network, end_of_batch, options, views

_measure = options.panel("Measure as well")
_table = options.panel("Layers of a table in place of networks")


def command(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL.timemodel.json",
            help="The time model that 'edgetime fit' wrote; with --mcu it may be left out.",
        ),
    ],
    networks: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[NET…]", help="Network files (.tflite, .keras) or folders of them."),
    ] = None,
    measure: Annotated[
        bool, _measure("--measure", help="Run each network as well and compare.", show_default=False)
    ] = False,
    target: Annotated[
        str | None,
        _measure(metavar="TARGET", help="Where to measure; default: where the model's profile was measured."),
    ] = None,
    time_limit: Annotated[
        float | None,
        _measure(
            "--time-limit",
            metavar="SECONDS",
            min=1,
            help="Give a network up that takes longer to measure, and go on; default: 20 and more for slow networks.",
        ),
    ] = None,
    setting: options.SettingOption = None,
    signature: options.SignatureOption = None,
    loop_turns: options.LoopTurnsOption = None,
    input_shape: options.InputShapeOption = None,
    load: Annotated[
        views.LoadChoice | None,
        typer.Option(
            help="Say too how long it takes under the load that the profile met: median and 90th percentile."
        ),
    ] = None,
    mcu: Annotated[
        bool,
        typer.Option(
            "--mcu",
            help="Say what each network needs on a microcontroller with TFLite Micro: flash, arena, what is missing there.",
            show_default=False,
        ),
    ] = False,
    layers: Annotated[
        views.Layers | None,
        typer.Option(help="Which layers to list; default: top for one network, none for several."),
    ] = None,
    table: Annotated[
        Path | None,
        _table(metavar="T.csv", help="Predict the layers of a table (.csv, .csv.gz) in place of networks."),
    ] = None,
    output: Annotated[
        Path | None,
        _table(
            "-o",
            "--output",
            metavar="P.csv",
            help="With --table: where to write its rows with predictions.",
        ),
    ] = None,
    device: Annotated[
        str | None,
        _table(metavar="NAME", help="With --table: whose rows to take from one of several devices."),
    ] = None,
    json: options.JsonOption = False,
) -> None:
    """Predict how long networks take on a device: per layer, in total, and how sure that is.

    A bad file does not stop a batch: the others are done, and the exit status is 1. A file with several signatures is so many
    networks.

    With --mcu times are those of the time model, such as one that was fitted to a table of layers measured on the
    microcontroller ('edgetime fit --table'); without one, memory alone is said. Arena: the tensors as TFLite Micro's greedy
    planner places them, and what its interpreter keeps per tensor and operator. Flash: the file, and an estimate of the code of
    interpreter and kernels. Where the package tflite-micro is installed ("edgetime[mcu]") its interpreter is asked too.

    Example:

    \b
    $ edgetime predict pi4.timemodel.json net.tflite --measure
    $ edgetime predict pi4.timemodel.json net.tflite --setting "2 threads"
    $ edgetime predict laptop.timemodel.json net.tflite --load typical
    $ edgetime predict pi4.timemodel.json models/ --json > predictions.jsonl
    $ edgetime predict gpu.timemodel.json --table layers.csv -o predicted.csv
    $ edgetime predict net.tflite --mcu
    """
    from edgetime import networks as files
    from edgetime.cli import microcontroller
    from edgetime.prediction import Predictor
    from profiler.errors import UsageError
    from timemodel import TimeModel

    with Terminal(json) as out:
        if mcu:
            if table or output or measure or target or load or input_shape or device:
                raise UsageError(
                    "--mcu takes networks as their files are, and microcontrollers are not measured: only --setting, "
                    "--layers and --json go with it."
                )
            microcontroller.predict([model, *(networks or [])], setting, layers, out)
            return
        if (not networks) == (table is None):
            raise UsageError("Name either networks or a table (--table T.csv) to predict.")
        if table is not None:
            if output is None or measure or target is not None or load is not None:
                raise UsageError(
                    "With --table name a file for the predictions (-o P.csv); tables are not measured and know no load."
                )
            tables.predict(model, table, output, setting, device, out)
            return
        if output is not None or device is not None:
            raise UsageError("-o and --device go with --table: leave them out, or use --json for a file.")
        assert networks is not None
        paths = files.expand(networks)
        shape = files.parse_shapes(input_shape or [])
        known = TimeModel.load(model)
        key = options.find_setting(known.settings, setting) if setting is not None else None
        with (
            Predictor(
                known, target, measure, key, load is not None, turns=loop_turns, time_limit_s=time_limit
            ) as predictor,
            out.progress("Predict") as progress,
        ):
            results, failed = each_network(
                paths, lambda path, name: predictor.predict(path, shape, name), out, progress, signature
            )
        several = len(paths) > 1 or len(results) > 1
        shown = layers or (views.Layers.none if several else views.Layers.top)
        others = [name for name in known.settings if name != predictor.setting.key]
        if others:
            out.note(f"Setting: {predictor.setting.key}. Also known, with --setting: {'; '.join(others)}")
        if several and shown is views.Layers.none and results:
            out.show(*views.batch(results))
        else:
            for result in results:
                out.show(*views.prediction(result, shown))
        end_of_batch(failed, len(paths), out)
