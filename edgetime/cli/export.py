"""``edgetime export``."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgetime import units
from edgetime.terminal import Terminal, options
from profiler.errors import EdgetimeError, UsageError
from profiler.progress import sub_progress

if TYPE_CHECKING:
    from compressor.export import PrecisionTimes
    from compressor.weights.quantization import MixedResult
    from profiler.devices import Target
    from timemodel.model import TimeModel

_check = options.panel("When is the file good enough?")
_device = options.panel("Is it worth it on a device?")


class Quantize(str, Enum):
    """Precisions of a `.tflite` file."""

    none = "none"
    float16 = "float16"
    dynamic = "dynamic"
    int8 = "int8"
    int16 = "int16"
    weight_int8 = "weight-int8"
    weight_int4 = "weight-int4"
    dynamic_int4 = "dynamic-int4"
    auto = "auto"


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
            help="none: float32. float16: weights of half the size. dynamic: int8 weights, activations become int8 "
            "within each operator. int8: weights and activations. int16: int8 weights, int16 activations. "
            "weight-int8, weight-int4: smaller weights that are float32 once loaded, not faster and often slower. "
            "dynamic-int4: as dynamic with int4 weights, of fully connected layers with a scale for every 32. "
            "auto: float32, int8 or dynamic for each operator, whatever is fastest within --max-accuracy-drop; "
            "needs --time-model and --calibration."
        ),
    ] = Quantize.none,
    calibration: Annotated[
        Path | None,
        typer.Option(
            metavar="D.npz",
            help="Typical inputs, for int8, int16 and auto: a .npz with x, or with x.NAME for each of several inputs; "
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
        float,
        _check(
            "--max-accuracy-drop", metavar="POINTS", help="Accuracy that may be lost, in percentage points."
        ),
    ] = 1.0,
    min_agreement: Annotated[
        float, _check(metavar="SHARE", help="Share of rows that must keep their class, without labels.")
    ] = 0.95,
    allow_drop: Annotated[
        bool, _check("--allow-drop", help="Write the file whatever is lost.", show_default=False)
    ] = False,
    finetune_epochs: Annotated[
        int | None,
        _check(
            metavar="N",
            help="Train the weights to be integers for N passes over the rows of --calibration, with the float network as the "
            "example; for int8, dynamic, weight-int8 and weight-int4, and for auto where what is fastest loses too much.",
        ),
    ] = None,
    time_model: Annotated[
        Path | None,
        _device(
            metavar="MODEL.timemodel.json",
            help="Predict the file's time beside that of float32, and say where float32 is faster; what auto goes by.",
        ),
    ] = None,
    target: Annotated[
        str | None,
        _device(metavar="TARGET", help="Measure both there, in turns; in place of --time-model."),
    ] = None,
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
    $ edgetime export net.keras -o net_int8.tflite --quantize int8 --calibration train.npz --target local
    $ edgetime export net.keras -o net_int4.tflite --quantize weight-int4 --calibration train.npz --finetune-epochs 3
    $ edgetime export net.keras -o net_auto.tflite --quantize auto --calibration train.npz --data test.npz \
          --max-accuracy-drop 0.5 --time-model pc.timemodel.json
    """
    if time_model is not None and target is not None:
        raise UsageError("Give --time-model to predict or --target to measure, not both.")
    if (time_model is not None or target is not None) and quantize is Quantize.none:
        raise UsageError("--time-model and --target compare a precision with float32: give --quantize too.")
    from compressor.export import export, precision_times
    from compressor.weights.quantization import check_epochs, export_finetuned
    from edgetime.networks import parse_shapes

    if finetune_epochs is not None:
        check_epochs(finetune_epochs, quantize.value)
        if io is not Io.float32:
            raise UsageError("--finetune-epochs keeps float32 inputs and outputs: leave --io out.")

    shapes = parse_shapes(input_shape or [])
    if quantize is Quantize.auto:
        checks = {"check_data": data, "max_drop": max_drop, "min_agreement": min_agreement}
        if finetune_epochs is not None:
            checks["finetune_epochs"] = finetune_epochs
        _mixed(network, output, time_model, calibration, io, allow_drop, shapes, checks, json)
        return
    with Terminal(json) as out, _opened(time_model, target) as device:
        times, problem = None, ""
        with out.progress("Export") as progress:
            asked: dict[str, Any] = {
                "check_data": data,
                "max_drop": max_drop,
                "min_agreement": min_agreement,
                "allow_drop": allow_drop,
                "input_shape": shapes,
                "progress": sub_progress(progress, 0.0, 0.5) if device is not None else progress,
            }
            if finetune_epochs is not None:
                result = export_finetuned(
                    network, output, quantize.value, calibration, finetune_epochs, **asked
                )
            else:
                result = export(network, output, quantize.value, calibration, io=io.value, **asked)
            if device is not None:
                progress(0.5, "comparing its time with float32")
                try:
                    times = precision_times(network, output, quantize.value, device, shapes)
                except EdgetimeError as error:
                    problem = str(
                        error
                    )  # the file is written and checked: that it is not compared is no failure
        if problem:
            out.warn(problem)
        for note in result.notes:
            out.warn(note)
        if times is not None and times.advice:
            out.warn(times.advice)
        out.json(result.to_dict() | ({} if times is None else {"times": times.to_dict()}))
        out.show(f"{result.path}: {quantize.value}, {units.size(result.file_bytes)}", *_compared(result))
        if times is not None:
            out.show(_beside_float32(times))


def _mixed(
    network: Path,
    output: Path,
    time_model: Path | None,
    calibration: Path | None,
    io: Io,
    allow_drop: bool,
    shapes: Any,
    checks: dict[str, Any],
    json: bool,
) -> None:
    """``--quantize auto``."""
    from compressor.weights.quantization import export_mixed
    from timemodel.model import TimeModel

    if time_model is None:
        raise UsageError("--quantize auto goes by predicted time: give --time-model MODEL.timemodel.json.")
    if calibration is None:
        raise UsageError("--quantize auto needs typical inputs: give them with --calibration D.npz.")
    if allow_drop or io is not Io.float32:
        raise UsageError(
            "--quantize auto keeps the accuracy and float32 inputs: leave --allow-drop and --io out."
        )
    predictor = TimeModel.load(time_model)
    with Terminal(json) as out:
        with out.progress("Export") as progress:
            result = export_mixed(
                network, output, predictor, calibration, input_shape=shapes, progress=progress, **checks
            )
        for note in result.export.notes:
            out.warn(note)
        out.json(result.to_dict())
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(result.operators.items()))
        out.show(
            f"{result.export.path}: {kinds}, {units.size(result.export.file_bytes)}",
            *_compared(result.export),
        )
        out.show(
            f"  on {predictor.device}, predicted: {units.ms(result.predicted_ms)}", *_beside_rivals(result)
        )
        out.show(*(f"  {reason}" for reason in result.reasons))


def _beside_rivals(result: MixedResult) -> list[str]:
    lines = []
    for rival in result.rivals:
        lost = "" if rival.lost_points is None else f", {-rival.lost_points:+.2f} points"
        lines.append(f"    {rival.name}: {units.ms(rival.predicted_ms)}{lost}")
    return lines


@contextlib.contextmanager
def _opened(time_model: Path | None, target: str | None) -> Iterator[TimeModel | Target | None]:
    """What says how long networks take, if anything does."""
    from profiler.devices import open_target
    from timemodel.model import TimeModel

    if target is not None:
        with open_target(target) as opened:
            yield opened
    else:
        yield None if time_model is None else TimeModel.load(time_model)


def _beside_float32(times: PrecisionTimes) -> str:
    from compressor.export import faster_in_words

    how = "measured in turns" if times.measured else "predicted"
    ratio = faster_in_words(times.float32_ms / times.quantized_ms)
    return (
        f"  on {times.device}: {times.quantize} {units.ms(times.quantized_ms)}, float32 {units.ms(times.float32_ms)} "
        f"({how}): {ratio}"
    )


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
