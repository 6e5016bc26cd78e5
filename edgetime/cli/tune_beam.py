"""``edgetime tune-beam``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import RenderableType

from edgetime import units
from edgetime.terminal import Terminal, options, table

if TYPE_CHECKING:
    from selector.sequence_tuning import Tuned, TunedPoint


def command(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL.json", help="What edgetime.sequence.export wrote, or tune-beam before."
        ),
    ],
    data: Annotated[
        Path,
        typer.Option(
            metavar="DEV.tsv",
            help="Development data: one pair per line, the source, a tab, what it should become.",
        ),
    ],
    output: Annotated[Path, options.output_option("POLICY.json", "Where to write the policy.")],
    time_model: Annotated[
        Path | None,
        typer.Option(
            metavar="MODEL.timemodel.json",
            help="What predicts times; default: they are measured here, in turns.",
        ),
    ] = None,
    metric: Annotated[
        str,
        typer.Option(
            help="What quality is: bleu, or exact for the share of lines that are as they should be."
        ),
    ] = "bleu",
    kinds: Annotated[
        str,
        typer.Option(metavar="NAMES", help="Kinds of policies to try beside every fixed width, with commas."),
    ] = "threshold,entropy,deviation,learned",
    widest: Annotated[
        int | None, typer.Option(metavar="W", help="The widest beam to try; default: the palette's.")
    ] = None,
    max_drop: Annotated[
        float,
        typer.Option(metavar="POINTS", help="How much worse than the best fixed width the policy may be."),
    ] = 0.0,
    trials: Annotated[int, typer.Option(metavar="N", help="How many policies to try, over all kinds.")] = 60,
    minutes: Annotated[float, typer.Option(metavar="M", help="For how long to try policies.")] = 10.0,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of the search.")] = 0,
    json: options.JsonOption = False,
) -> None:
    """Find how wide the beam of a sequence-to-sequence network should be, input by input.

    Every fixed width and policies by thresholds, entropy, deviation and learning run on all development data; Optuna searches
    them for quality and time. The policy that is written is the cheapest that is no worse than the best fixed width by more than
    --max-drop.

    Example:

    \b
    $ edgetime tune-beam translate.json --data dev.tsv --time-model pi4.timemodel.json -o policy.json
    $ edgetime run policy.json --text "Ein Hund läuft."
    """
    from profiler.errors import UsageError
    from profiler.files import check_writable
    from selector.sequence import load_sequence_policy, save_sequence_policy
    from selector.sequence_tuning import measured_costs, predicted_costs, read_pairs, tune_widths

    with Terminal(json) as out:
        if trials < 0 or not minutes > 0 or not max_drop >= 0:
            raise UsageError("--trials and --max-drop are numbers from 0, --minutes is above 0.")
        check_writable(output)
        sources, references = read_pairs(data)
        loaded = load_sequence_policy(model)
        with out.progress("Tune") as progress:
            if time_model is None:
                progress(0.0, "measuring encoder and steps")
                costs = measured_costs(loaded, [loaded.tokens(line) for line in sources[:50]], _here())
            else:
                from timemodel import TimeModel

                costs = predicted_costs(
                    TimeModel.load(time_model), loaded.network.file, loaded.network.palette
                )
            found = tune_widths(
                loaded,
                sources,
                references,
                costs,
                metric=metric,
                kinds=[kind for kind in kinds.split(",") if kind],
                widest=widest,
                max_drop=max_drop,
                trials=trials,
                minutes=minutes,
                seed=seed,
                progress=progress,
            )
        folder = model.parent
        tokens = [
            None if name is None else folder / name
            for name in (loaded.policy.source_tokens, loaded.policy.target_tokens)
        ]
        written = save_sequence_policy(found.policy, output, loaded.network.file, *tokens)
        out.json({"policy": str(written), "data": str(data), **found.to_dict()})
        out.show(*_shown(found))
        out.show(f"Policy written to {written}")


def _here() -> str:
    import os

    from profiler.devices import agent, device_name

    return device_name({"cpu": agent.cpu_model(), "cores": os.cpu_count() or 1})


def _shown(found: Tuned) -> list[RenderableType]:
    shown = [point for point in found.points if point.on_front or point.widths.kind == "fixed"]
    rows = [
        [*_row(point), "chosen" if point is found.chosen else "best fixed" if point is found.fixed else ""]
        for point in shown
    ]
    columns = ["widths", found.metric, "against best fixed", "of a line", "decoder", "mean width", ""]
    saved = 1 - found.chosen.mean_ms / found.fixed.mean_ms
    decoder = 1 - found.chosen.decoder_ms / found.fixed.decoder_ms
    return [
        table(columns, rows),
        "",
        f"{_words(found.chosen.widths)}: {units.percent(saved)} less time of a line, {units.percent(decoder)} less of the "
        f"decoder's, than {_words(found.fixed.widths)}, on {found.lines:,} lines; {found.trials} policies tried",
    ]


def _row(point: TunedPoint) -> list[str]:
    difference, low, high = point.gap
    interval = "" if low != low else f" [{low:+.2f}, {high:+.2f}]"
    return [
        _words(point.widths),
        f"{point.quality:.2f}",
        f"{difference:+.2f}{interval}",
        units.ms(point.mean_ms),
        units.ms(point.decoder_ms),
        f"{point.mean_width:.2f}",
    ]


def _words(widths: Any) -> str:
    """``threshold absolute=0.5 widest=7``."""
    plain = widths.to_dict()
    kind = plain.pop("kind")
    if kind == "learned":
        return f"learned sure={plain['sure']:.2f}"
    parts = [
        f"{name}={value:.3g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in plain.items()
        if value is not None
    ]
    return " ".join([kind, *parts])
