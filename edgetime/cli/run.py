"""``edgetime run``."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import RenderableType

from edgetime import units
from edgetime.terminal import Terminal, options, table

if TYPE_CHECKING:
    from selector.one_file import OneFile
    from selector.running import PolicyRun


class OnDrift(str, Enum):
    """What to do where rows stop at other stages than when the policy was fitted."""

    warn = "warn"
    single = "single"


def command(
    policy: Annotated[
        Path,
        typer.Argument(
            metavar="POLICY.json",
            help="What 'edgetime select' wrote, or its folder. Or one network (.tflite, .lct), which runs here.",
        ),
    ],
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="D.npz",
            help="Rows x (x.NAME for each of several inputs), with labels y for the accuracy. Of a file with several "
            "parts those for the test, else those for validation, else all.",
        ),
    ] = None,
    text: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="What to translate, by a policy of 'edgetime tune-beam'."),
    ] = None,
    lines: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="A file of lines to translate in place of --text; - is standard input."
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(metavar="TARGET", help="Where to run, such as ssh://pi@board; default: this process."),
    ] = None,
    seconds: Annotated[
        float, typer.Option(metavar="S", help="About how long to measure, once all rows were answered.")
    ] = 2.0,
    on_drift: Annotated[
        OnDrift,
        typer.Option(
            help="What to do where rows stop at other stages than when the policy was fitted: only warn, or let the best "
            "single network answer from then on."
        ),
    ] = OnDrift.warn,
    output: Annotated[
        Path | None, options.output_option("OUT.npz", "Where to write outputs, stage and times of each row.")
    ] = None,
    one_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.tflite",
            help="Write a cascade as one network that decides by itself (outputs answer and stage), checked on these rows.",
        ),
    ] = None,
    json: options.JsonOption = False,
) -> None:
    """Run a policy on rows, and its best single network in turns with it: answers, accuracy, measured times.

    On a target, the agent that profiles it runs the policy: what it needs is sent there with the policy's folder and the
    rows, and nothing is left there.

    Example:

    \b
    $ edgetime run policy.json --data d.npz
    $ edgetime run policy.json --data d.npz --target ssh://pi@board -o answers.npz
    $ edgetime run policy.json --data d.npz --one-file policy.tflite
    $ edgetime run packed.lct --data d.npz
    $ edgetime run policy.json --text "Ein Hund läuft."
    """
    if text is not None or lines is not None:
        from edgetime.cli.texts import run_texts

        run_texts(policy, text, lines, output, json)
        return
    from profiler.errors import UsageError
    from profiler.files import check_writable, write_bytes
    from selector.running import run_policy
    from selector.runtime import packed

    with Terminal(json) as out:
        if data is None:
            raise UsageError(
                "Name what to run on: --data with rows, or --text or --lines for a policy that translates."
            )
        for file in (output, one_file):
            if file is not None:
                check_writable(file)
        if policy.suffix in (".tflite", ".lct"):
            if target is not None or one_file is not None:
                raise UsageError(
                    "--target and --one-file take policies: write one with 'edgetime select', or leave them out."
                )
            _run_network(policy, data, output, out)
            return
        with out.progress("Run") as progress:
            found = run_policy(
                policy,
                data,
                target,
                seconds=seconds,
                on_drift=on_drift.value,
                one_file=one_file,
                progress=progress,
            )
        if output is not None:
            write_bytes(output, packed(found.arrays))
        out.json(
            {"policy": str(policy), **found.to_dict(), "output": None if output is None else str(output)}
        )
        out.show(*_shown(found))
        if output is not None:
            out.show(f"Outputs of each row written to {output}")


def _run_network(network: Path, data: Path, output: Path | None, out: Terminal) -> None:
    """Run one network on all rows: its answers, accuracy, and time of a row in this process."""
    from edgetime.networks import read
    from profiler.files import write_bytes
    from selector.running import run_network
    from selector.runtime import packed

    found = run_network(read(network).tflite, data, str(network))
    if output is not None:
        names = ["outputs", *(f"outputs.{number}" for number in range(1, len(found.outputs)))]
        write_bytes(output, packed(dict(zip(names, found.outputs, strict=True))))
    written = None if output is None else str(output)
    accuracy, mean_ms = found.accuracy, found.mean_ms
    out.json(
        {"network": str(network), "rows": len(found.outputs[0]), "judged_on": found.rows}
        | {"mean_ms": mean_ms, "accuracy": accuracy, "output": written}
    )
    right = "" if accuracy is None else f", accuracy {units.percent(accuracy, 2)}"
    out.show(f"{network}: {found.rows}, {units.ms(mean_ms)} a row{right}")
    if output is not None:
        out.show(f"Outputs of each row written to {output}")


def _shown(found: PolicyRun) -> list[RenderableType]:
    summary = found.summary
    measured, predicted, single = summary["measured"], summary["predicted"], summary["single"]
    on_agent = any("agent_ms" in stage for stage in summary["stages"])
    columns = ["stage", "network", "answers", "runs on", "predicted", "measured"] + ["alone"] * on_agent
    rows = [
        [
            number + 1,
            stage["network"],
            units.percent(stage["answered"]),
            units.percent(stage["ran"]),
            units.ms(stage["predicted_ms"]),
            units.ms(stage["measured_ms"]),
            *([units.ms(stage.get("agent_ms"))] if on_agent else []),
        ]
        for number, stage in enumerate(summary["stages"])
    ]
    names = {"mean_ms": "mean", "p50_ms": "p50", "p90_ms": "p90", "p99_ms": "p99"}
    times = [
        ["measured", *(units.ms(measured[name]) for name in names)],
        ["predicted", *(units.ms(predicted[name]) for name in names)],
        [f"{single['network']} alone, measured", *(units.ms(single["measured"][name]) for name in names)],
        [f"{single['network']} alone, predicted", units.ms(single["predicted_ms"]), "", "", ""],
    ]
    lines: list[RenderableType] = [
        table(columns, rows),
        "",
        table(["time of an input", *names.values()], times),
        "",
    ]
    if found.accuracy is not None and found.single_accuracy is not None:
        lines.append(
            f"Accuracy {units.percent(found.accuracy, 2)} on {found.rows}; {single['network']} alone "
            f"{units.percent(found.single_accuracy, 2)} ({units.points(100 * (found.accuracy - found.single_accuracy))})"
        )
    else:
        lines.append(f"Ran on {found.rows}; no accuracy, because there are no class labels")
    ratio = single["measured"]["mean_ms"] / max(measured["mean_ms"], 1e-12)
    lines.append(
        f"{ratio:.2f} times as fast as {single['network']} alone, measured in {summary['rounds']} "
        f"round{'s' * (summary['rounds'] > 1)} of turns on {found.device}; "
        f"{summary['around_networks_us']:.2f} us an input goes to choosing and copying"
    )
    if summary["single_rows"] and summary["kind"] != "static":
        lines.append(
            f"{summary['single_rows']:,} rows were left to {single['network']} alone "
            f"({summary['untrusted_rows']:,} because a stage gave NaN or infinity)"
        )
    if found.one_file is not None:
        lines.append(_one_file(found.one_file))
    return lines


def _one_file(written: OneFile) -> str:
    same = f"stops at the same stage on all {written.rows:,} rows"
    if written.different:
        same = f"stops at another stage, for rounding, on {written.different:,} of {written.rows:,} rows"
    return (
        f"{written.path} {same}, and its outputs differ by at most {written.largest_difference:.1g}; an input takes "
        f"{written.file_us:.1f} us by it, {written.policy_us:.1f} us by the policy, {written.blocks_us:.1f} us by it in blocks"
    )
