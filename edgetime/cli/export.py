"""``edgetime export``."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from edgetime import units
from edgetime.terminal import Terminal, options

_check = options.panel("When is the file good enough?")


class Quantize(str, Enum):
    """Precisions of a `.tflite` file."""

    none = "none"
    float16 = "float16"
    dynamic = "dynamic"
    int8 = "int8"
    int16 = "int16"


class Io(str, Enum):
    """Types of inputs and outputs."""

    float32 = "float32"
    int8 = "int8"


def command(
    network: Annotated[Path, typer.Argument(metavar="NET.keras", help="The Keras model.")],
    output: Annotated[Path, options.output_option("NET.tflite", "Where to write the network.")],
    quantize: Annotated[
        Quantize,
        typer.Option(
            help="none: float32. float16: half-size weights. dynamic: int8 weights. "
            "int8: weights and activations. int16: int8 weights, int16 activations."
        ),
    ] = Quantize.none,
    calibration: Annotated[
        Path | None,
        typer.Option(
            metavar="D.npz",
            help="Typical inputs, for int8 and int16: a .npz with x, or with x.NAME for each of several inputs; "
            "or a Python file with load(), which is run.",
        ),
    ] = None,
    io: Annotated[Io, typer.Option(help="Type of inputs and outputs; int8 only with int8.")] = Io.float32,
    data: Annotated[
        Path | None,
        _check(
            metavar="D.npz",
            help="Data to compare the file with the Keras model on, of the kinds that --calibration takes, with labels "
            "y (y.NAME for each of several outputs) or without; default: what --calibration names, else random inputs.",
        ),
    ] = None,
    max_drop: Annotated[
        float, _check(metavar="POINTS", help="Accuracy that may be lost, in percentage points.")
    ] = 1.0,
    min_agreement: Annotated[
        float, _check(metavar="SHARE", help="Share of rows that must keep their class, without labels.")
    ] = 0.95,
    allow_drop: Annotated[
        bool, _check("--allow-drop", help="Write the file whatever is lost.", show_default=False)
    ] = False,
    input_shape: options.InputShapeOption = None,
    json: options.JsonOption = False,
) -> None:
    """Write a Keras model as a .tflite file, run that file and compare it with the model.

    The file gets its name only if it does what the model does: accuracy (with labels), agreement (without) or
    outputs (on random inputs) within the limits, and every type as asked for.

    Example:

    \b
    $ edgetime export net.keras -o net.tflite
    $ edgetime export net.keras -o net_int8.tflite --quantize int8 --calibration train.npz
    """
    from compressor.export import export
    from edgetime.networks import parse_shapes

    with Terminal(json) as out:
        with out.progress("Export") as progress:
            result = export(
                network,
                output,
                quantize.value,
                calibration,
                io=io.value,
                check_data=data,
                max_drop=max_drop,
                min_agreement=min_agreement,
                allow_drop=allow_drop,
                input_shape=parse_shapes(input_shape or []),
                progress=progress,
            )
        for note in result.notes:
            out.warn(note)
        out.json(result.to_dict())
        out.show(f"{result.path}: {quantize.value}, {units.size(result.file_bytes)}", *_compared(result))


def _compared(result: Any) -> list[str]:
    """How the file compares with the model, in lines."""
    found = result.comparison
    lines = [f"  compared with Keras on {result.checked_on}:"]
    if found.drop_points is not None:
        before, after = units.percent(found.accuracy_before), units.percent(found.accuracy_after)
        lines.append(f"  accuracy {before} before, {after} after ({-found.drop_points:+.2f} points)")
    if found.agreement is not None:
        lines.append(f"  same class on {units.percent(found.agreement)} of rows")
    lines.append(
        f"  outputs differ by {found.max_difference:.2g} at most, {found.mean_difference:.2g} on average"
    )
    return lines
