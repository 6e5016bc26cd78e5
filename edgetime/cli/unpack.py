"""``edgetime unpack``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgetime import units
from edgetime.terminal import Terminal, options


def command(
    packed: Annotated[Path, typer.Argument(metavar="NET.lct", help="What 'edgetime pack' wrote.")],
    output: Annotated[Path, options.output_option("NET.tflite", "Where to write the network.")],
    json: options.JsonOption = False,
) -> None:
    """Write the .tflite that a .lct file holds, with decoded weights.

    It is the same to the bit each time and everywhere; a damaged .lct gives none.

    Example:

    \b
    $ edgetime unpack net.lct -o net.tflite
    """
    from compressor.weights.line_compress import unpack

    with Terminal(json) as out:
        unpack(packed, output)
        nbytes = output.stat().st_size
        out.json({"packed": str(packed), "output": str(output), "nbytes": nbytes})
        out.show(f"{output}: {units.size(nbytes)}")
