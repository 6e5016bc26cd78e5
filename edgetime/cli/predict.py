"""``edgetime predict``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgetime.cli import views
from edgetime.cli.console import JsonOption, Terminal
from edgetime.cli.options import InputShapeOption, ModelArgument


def command(
    model: ModelArgument,
    networks: Annotated[
        list[Path], typer.Argument(metavar="NET…", help="Network files (.tflite, .keras) or folders of them.")
    ],
    measure: Annotated[
        bool, typer.Option("--measure", help="Run each network as well and compare.", show_default=False)
    ] = False,
    target: Annotated[
        str | None,
        typer.Option(
            metavar="TARGET", help="Where to measure; default: where the model's profile was measured."
        ),
    ] = None,
    input_shape: InputShapeOption = None,
    layers: Annotated[
        views.Layers | None,
        typer.Option(help="Which layers to list; default: top for one network, none for several."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Predict how long networks take on a device: per layer, in total, and how sure that is.

    A bad file does not stop a batch: the others are done, and the exit status is 1.

    Example:

    \b
    $ edgetime predict pi4.timemodel.json net.tflite --measure
    $ edgetime predict pi4.timemodel.json models/ --json > predictions.jsonl
    """
    from edgetime import networks as files
    from edgetime.prediction import Predictor
    from profiler.errors import EdgetimeError

    with Terminal(json) as out:
        paths = files.expand(networks)
        shape = files.parse_shapes(input_shape or [])
        shown = layers or (views.Layers.top if len(paths) == 1 else views.Layers.none)
        results, failed = [], 0
        with Predictor.load(model, target, measure) as predictor, out.progress("Predict") as progress:
            for done, path in enumerate(paths):
                progress(done / len(paths), path.name)
                try:
                    result, warnings = predictor.predict(path, shape)
                except EdgetimeError as error:
                    if len(paths) == 1:
                        raise
                    out.complain(str(error))
                    failed += 1
                    continue
                for warning in warnings:
                    out.warn(warning)
                out.json(result)
                results.append(result)
            progress(1.0, "")
        if len(paths) > 1 and shown is views.Layers.none and results:
            out.show(*views.batch(results))
        else:
            for result in results:
                out.show(*views.prediction(result, shown))
        if failed:
            out.complain(f"{failed} of {len(paths)} networks could not be predicted.")
            raise typer.Exit(1)
