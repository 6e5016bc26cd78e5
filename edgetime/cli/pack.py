"""``edgetime pack``."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgetime import units
from edgetime.terminal import Terminal, options

if TYPE_CHECKING:
    from compressor.weights.line_compress import PackResult

_goal = options.panel("How small, or how good (one of them)")


class Level(str, Enum):
    """How weights are turned into lines."""

    paper = "paper"
    dp = "dp"
    finetune = "finetune"


class Coding(str, Enum):
    """How words and lengths are stored."""

    entropy = "entropy"
    fixed = "fixed"


def command(
    network: Annotated[Path, typer.Argument(metavar="NET.tflite", help="The network, in float32 at best.")],
    output: Annotated[Path, options.output_option("NET.lct", "Where to write the packed network.")],
    level: Annotated[
        Level,
        typer.Option(
            help="paper: monotonic runs up to a tolerance, as published. dp: the segments that cost the outputs least for "
            "their bits. finetune: those, trained on --data to answer as the float network does (needs TensorFlow)."
        ),
    ] = Level.dp,
    ratio: Annotated[
        float | None,
        _goal(
            metavar="R",
            help="Bytes of the float32 file over bytes of the .lct; default of dp and finetune: 7.5.",
        ),
    ] = None,
    tolerance: Annotated[
        float | None,
        _goal(
            metavar="T",
            help="paper: the step back that a run may take, as a share of the tensor's range (default 0.05). dp: no weight "
            "is further off than this.",
        ),
    ] = None,
    max_accuracy_drop: Annotated[
        float | None,
        _goal(
            metavar="POINTS", help="The smallest file that loses no more accuracy on held-out rows of --data."
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="D.npz",
            help="Rows x that calibrate (dp, finetune), with labels y that judge: validation rows, else those for the test, "
            "else all. Or a Python file with load(), which is run. Without it all weights count the same.",
        ),
    ] = None,
    coding: Annotated[
        Coding,
        typer.Option(
            help="entropy: smallest. fixed: words of so many bits each, which decode at memory speed."
        ),
    ] = Coding.entropy,
    epochs: Annotated[float, typer.Option(metavar="N", help="Epochs of level finetune.")] = 2.0,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of level finetune.")] = 0,
    json: options.JsonOption = False,
) -> None:
    """Pack a network's weights as segments of lines into a .lct file.

    The file holds the whole network: 'edgetime unpack' gives the .tflite with decoded weights, always the same bits, and
    predict, select and run take it as it is. Every damaged byte is noticed. Activations are computed as before: what
    shrinks is the file.

    Example:

    \b
    $ edgetime pack net.tflite -o net.lct
    $ edgetime pack net.tflite -o net.lct --data d.npz --max-accuracy-drop 1
    $ edgetime pack net.tflite -o net.lct --data d.npz --level finetune --ratio 8
    $ edgetime unpack net.lct -o decoded.tflite
    """
    from compressor.weights.line_compress import pack

    with Terminal(json) as out:
        with out.progress("Pack") as progress:
            result = pack(
                network,
                output,
                level.value,
                ratio=ratio,
                tolerance=tolerance,
                max_accuracy_drop=max_accuracy_drop,
                data=data,
                coding=coding.value,
                epochs=epochs,
                seed=seed,
                progress=progress,
            )
        out.json(result.to_dict())
        out.show(*_shown(result))


def _shown(result: PackResult) -> list[str]:
    lines = [
        f"{result.path}: {units.size(result.nbytes)}, {result.ratio:.2f} times smaller than {units.size(result.float32_bytes)} "
        f"in float32 ({result.bits_per_weight:.2f} bits a weight, {units.percent(result.on_lines)} of weights in segments of "
        "three or more)"
    ]
    if result.source_bytes != result.float32_bytes:
        lines.append(
            f"  {result.source_bytes / result.nbytes:.2f} times smaller than the file that was packed"
        )
    if result.accuracy_before is not None and result.accuracy_after is not None:
        change = 100 * (result.accuracy_after - result.accuracy_before)
        lines.append(
            f"  accuracy {units.percent(result.accuracy_before, 2)} before, {units.percent(result.accuracy_after, 2)} after "
            f"({change:+.2f} points) on {result.judged_on}"
        )
    return lines
