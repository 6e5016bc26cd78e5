"""``edgetime tune-beam``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import RenderableType

from edgetime import units
from edgetime.terminal import Terminal, options, table

if TYPE_CHECKING:
    from selector.sequence import LoadedSequencePolicy
    from selector.sequence_tuning import SequenceCosts, Tuned, TunedPoint


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
    then: Annotated[
        Path | None,
        typer.Option(
            metavar="LARGE.json",
            help="Another network's policy, which answers lines that this one is not sure of, by its score per token; only how "
            "sure it has to be is tuned.",
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
    worst_drop: Annotated[
        float | None,
        typer.Option(
            metavar="POINTS",
            help="In place of --max-drop: how much worse it may be at the lower end of the 95% interval of the difference.",
        ),
    ] = None,
    trials: Annotated[int, typer.Option(metavar="N", help="How many policies to try, over all kinds.")] = 300,
    minutes: Annotated[float, typer.Option(metavar="M", help="For how long to try policies.")] = 10.0,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of the search.")] = 0,
    json: options.JsonOption = False,
) -> None:
    """Find how wide the beam of a sequence-to-sequence network should be, input by input.

    Every fixed width and policies by thresholds, entropy, deviation and learning run on all development data; Optuna searches
    them for quality and time. The policy that is written is the cheapest that is no worse than the best fixed width by more than
    --max-drop, or surely by no more than --worst-drop.

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
        if trials < 0 or not minutes > 0 or not max_drop >= 0 or not (worst_drop is None or worst_drop >= 0):
            raise UsageError(
                "--trials, --max-drop and --worst-drop are numbers from 0, --minutes is above 0."
            )
        if then is not None and worst_drop is not None:
            raise UsageError(
                "With --then only --max-drop says how much worse the two together may be: leave --worst-drop out."
            )
        check_writable(output)
        sources, references = read_pairs(data)
        loaded = load_sequence_policy(model)

        def costs_of(policy: LoadedSequencePolicy) -> SequenceCosts:
            lines = [policy.tokens(line) for line in sources[:50]]
            if time_model is None:
                return measured_costs(policy, lines, _here())
            from timemodel import TimeModel

            found = predicted_costs(TimeModel.load(time_model), policy.network.file, policy.network.palette)
            if found.device != _here():
                return found
            return found.with_search(measured_costs(policy, lines))

        if then is not None:
            _tune_cascade(loaded, then, sources, references, costs_of, metric, max_drop, output, out)
            return
        with out.progress("Tune") as progress:
            progress(0.0, "times of encoder and steps")
            costs = costs_of(loaded)
            found = tune_widths(
                loaded,
                sources,
                references,
                costs,
                metric=metric,
                kinds=[kind for kind in kinds.split(",") if kind],
                widest=widest,
                max_drop=max_drop,
                worst_drop=worst_drop,
                trials=trials,
                minutes=minutes,
                seed=seed,
                progress=progress,
            )
        written = save_sequence_policy(found.policy, output, *_files(loaded))
        out.json({"policy": str(written), "data": str(data), **found.to_dict()})
        out.show(*_shown(found))
        out.show(f"Policy written to {written}")


def _tune_cascade(
    loaded: LoadedSequencePolicy,
    then: Path,
    sources: list[str],
    references: list[str],
    costs_of: Callable[[LoadedSequencePolicy], SequenceCosts],
    metric: str,
    max_drop: float,
    output: Path,
    out: Terminal,
) -> None:
    """Find how sure the small network has to be, and write it with the large one behind it."""
    from selector.sequence import load_sequence_policy, save_sequence_policy
    from selector.sequence_tuning import tune_cascade

    large = load_sequence_policy(then)
    with out.progress("Tune") as progress:
        progress(0.0, "running both on all lines")
        found = tune_cascade(
            loaded, large, sources, references, costs_of(loaded), costs_of(large), metric, max_drop
        )
    behind = save_sequence_policy(found.then, output.with_suffix(".then.json"), *_files(large))
    written = save_sequence_policy(found.policy, output, *_files(loaded), then=behind)
    plain = {name: value for name, value in vars(found).items() if name not in ("policy", "then")}
    out.json(
        {
            "policy": str(written),
            "then": str(behind),
            "least_per_token": found.policy.least,
            "metric": metric,
            **plain,
        }
    )
    difference, low, high = found.gap
    out.show(
        f"{loaded.file.name} answers {units.percent(1 - found.handed_on)} of the lines, {then.name} the rest: {metric} "
        f"{found.quality:.2f} ({found.small_quality:.2f} and {found.large_quality:.2f} alone; against the better one "
        f"{difference:+.2f} [{low:+.2f}, {high:+.2f}]), {units.ms(found.mean_ms)} a line ({units.ms(found.small_ms)} and "
        f"{units.ms(found.large_ms)} alone)"
    )
    out.show(f"Policy written to {written}")


def _files(loaded: LoadedSequencePolicy) -> tuple[Path, Path | None, Path | None]:
    """The network and the tokens of both sides of a policy."""
    folder = loaded.file.parent
    source, target = (None if name is None else folder / name for name in loaded.policy.files[1:])
    return loaded.network.file, source, target


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
