"""``edgetime bundle``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgetime.terminal import Terminal, options


def command(
    output: Annotated[Path, options.output_option("FILE.zip", "The bundle; agent.py is put beside it.")],
    dtype: options.DtypeOption = "float32,int8",
    ops: options.OpsOption = None,
    settings: Annotated[
        str,
        typer.Option(
            metavar="KERNELS:THREADS", help="Settings to measure, with commas, such as xnnpack:1,builtin:1."
        ),
    ] = "xnnpack:1",
    passes: Annotated[int, typer.Option(metavar="N", help="How often each probe is measured.")] = 3,
    json: options.JsonOption = False,
) -> None:
    """Pack probes for a board that only takes a USB stick.

    The board needs Python 3.7 or later, numpy and ai-edge-litert or tflite-runtime. What agent.py writes there
    is read by 'edgetime import'; the agent can be stopped and started again at any time.

    Example:

    \b
    $ edgetime bundle -o probes.zip
    board$ python3 agent.py probes.zip -o out.jsonl
    $ edgetime import out.jsonl -o board.db
    """
    from profiler.measurement import write_bundle
    from profiler.probes import plan_probes

    with Terminal(json) as out:
        probes = plan_probes(
            options.split_names(dtype), options.split_names(ops) if ops is not None else None
        )
        with out.progress("Bundle") as progress:
            summary = write_bundle(output, probes, passes, options.parse_settings(settings), progress)
        out.json(summary.to_dict())
        out.show(str(summary))
