"""``edgetime compress``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from compressor.method_names import METHODS
from edgetime.terminal import StoppedError, Terminal, options, views
from profiler.errors import BudgetError, EdgetimeError, UsageError

REPORT = "report.html"

_input = options.panel("What it works on")
_cost = options.panel("What may it cost, and what may it lose?")
_search = options.panel("How to search, and for how long?")
_measure = options.panel("Where to measure?")
_share = options.panel("Who else helps to search?")


def command(
    context: typer.Context,
    network: Annotated[
        Path | None,
        typer.Argument(metavar="NET.keras", help="The trained Keras network.", show_default=False),
    ] = None,
    data: Annotated[
        Path | None,
        _input(
            metavar="D.npz|D.py",
            help="Rows x and labels y, perhaps x_val, y_val, x_test, y_test and groups (where the network has several "
            "inputs or outputs x.NAME and y.NAME in place of x and y); or a Python file, which is run, with load() and "
            "perhaps loss, metric(model, data) and augment.",
        ),
    ] = None,
    time_model: Annotated[
        Path | None,
        _input(metavar="MODEL.timemodel.json", help="The device's time model, from 'edgetime fit'."),
    ] = None,
    groups: Annotated[
        str | None,
        _input(
            metavar="NAME",
            help="The array of D that says which rows belong together (subject, speaker); default: groups.",
        ),
    ] = None,
    output: Annotated[
        Path | None, _input("-o", "--output", metavar="DIR", help="Folder for everything that is made.")
    ] = None,
    calibration: Annotated[
        Path | None,
        _input(
            metavar="C.npz",
            help="Typical inputs for int8 (x, or x.NAME for each of several); default: the training rows.",
        ),
    ] = None,
    budget_ms: Annotated[
        float | None, _cost(metavar="MS", help="Predicted time that the network may take.")
    ] = None,
    max_accuracy_drop: Annotated[
        float | None,
        _cost(
            metavar="POINTS",
            help="Points of accuracy that may be lost on new data, with 95% confidence where enough validation rows are "
            "given; then the least time is looked for.",
        ),
    ] = None,
    max_size_kb: Annotated[
        float | None, _cost(metavar="KB", help="What the .tflite file may take (1 kB is 1,000 bytes).")
    ] = None,
    max_memory_kb: Annotated[
        float | None, _cost(metavar="KB", help="What the activations may take at their peak.")
    ] = None,
    max_energy_mj: Annotated[
        float | None,
        _cost(metavar="MJ", help="Millijoules of an inference; needs a device whose profile has energy."),
    ] = None,
    minimize: Annotated[
        str | None,
        _cost(
            metavar="time|size|memory|energy",
            help="With --max-accuracy-drop: what is made small in place of time.",
        ),
    ] = None,
    quantize: Annotated[
        str,
        _cost(
            help="Arithmetic of the result: none, int8, or auto: float32, int8, dynamic or a mix by operator, "
            "searched together with the widths."
        ),
    ] = "none",
    method: Annotated[
        str,
        _search(
            metavar="NAME",
            help=f"How widths are chosen, and by structure which blocks go: {', '.join(sorted(METHODS))}.",
        ),
    ] = "optuna",
    importance: Annotated[str, _search(help="Which channels stay: by taylor or by magnitude.")] = "taylor",
    steer: Annotated[
        str,
        _search(
            metavar="time|flops|measured",
            help="What stands for time in the search: predicted time, multiplications (to compare), or times that "
            "are measured on the target, which takes seconds for each candidate.",
        ),
    ] = "time",
    trials: Annotated[
        int | None, _search(metavar="N", help="Candidates that --method optuna looks at; default: 16.")
    ] = None,
    seed: Annotated[int, _search(min=0, help="First seed.")] = 0,
    seeds: Annotated[int, _search(min=1, help="Fine-tunings of the winner, for the spread.")] = 3,
    points: Annotated[
        int,
        _search(
            metavar="N",
            help="Networks to train in full along the front of accuracy and time; fewer if --minutes end.",
        ),
    ] = 4,
    family: Annotated[
        int | None,
        _search(
            metavar="N",
            help="In place of --points: N networks made for working together, for 'edgetime select --per-input DIR'; all but "
            "the winner are ever faster.",
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        _search(
            metavar="M",
            help="Wall time for all of it, most of it for training in full; default: what it takes. In less time fewer "
            "networks are trained, or the last ones for less.",
        ),
    ] = None,
    target: Annotated[
        str | None,
        _measure(metavar="TARGET", help="Where to measure; default: this machine, if the model is of it."),
    ] = None,
    setting: Annotated[
        str | None, _measure(help="Which of the time model's settings; default: its first.")
    ] = None,
    measure: Annotated[
        bool, _measure("--measure/--no-measure", help="Measure before and after in turns.")
    ] = True,
    workers: Annotated[
        int, _share(metavar="N", help="Processes on this machine that search together (optuna).")
    ] = 1,
    storage: Annotated[
        str | None,
        _share(
            metavar="URL",
            help="Database of the search, for other machines: sqlite:///FILE or postgresql://USER@HOST/DATABASE; "
            "default: a file in DIR.",
        ),
    ] = None,
    join: Annotated[
        str | None,
        _share(
            metavar="DIR|URL",
            help="Help with a search that was begun elsewhere: its folder, or the URL of its storage (then name the "
            "same files again).",
        ),
    ] = None,
    resume: Annotated[
        bool, _search("--resume", help="Go on with an interrupted run in DIR.", show_default=False)
    ] = False,
    json: options.JsonOption = False,
) -> None:
    """Make a network faster on a device: remove channels where that saves time, fine-tune, run and compare.

    Give a budget of time (or of size, memory, energy), an accuracy to keep, or several of these together: the best
    accuracy within the budgets, or with --max-accuracy-drop the least time.

    DIR gets compressed.keras, compressed.tflite, original.tflite, points/ (further networks, faster and slower),
    rebuild.py (which trains one of them anew without edgetime), result.json and report.html. Where the goal is missed,
    or a faster network was asked for and none is faster, closest.keras and closest.tflite take the place of compressed.*,
    and the exit status is 1. Validation rows are split off the training rows, test rows are looked at once, on the
    finished files. A run that was stopped goes on with --resume.

    Example:

    \b
    $ edgetime compress digits.keras --data digits.npz --time-model pc.timemodel.json --budget-ms 0.02 -o small
    $ edgetime compress digits.keras --data digits.npz --time-model pc.timemodel.json --max-accuracy-drop 1 -o small
    $ edgetime compress --join small
    """
    if join is not None:
        check_options(context)
        join_search(join, network, data, time_model, calibration, storage, minutes, json)
        return
    counted = context.get_parameter_source("points")
    if family is not None and counted is not None and counted.name == "COMMANDLINE":
        raise UsageError("--family stands in place of --points: leave one of them out.")
    if network is None or data is None or time_model is None or output is None:
        named = {"NET.keras": network, "--data": data, "--time-model": time_model, "-o": output}
        lacking = [name for name, value in named.items() if value is None]
        raise UsageError(f"Missing {' and '.join(lacking)} (see 'edgetime compress --help').")
    from compressor.pipeline import compress
    from compressor.pipeline.result import RESULT_FILE

    with Terminal(json) as out:
        try:
            with out.progress("Compress") as progress:
                result = compress(
                    network,
                    data,
                    time_model,
                    output,
                    budget_ms=budget_ms,
                    max_accuracy_drop=max_accuracy_drop,
                    max_size_kb=max_size_kb,
                    max_memory_kb=max_memory_kb,
                    max_energy_mj=max_energy_mj,
                    minimize=minimize,
                    points=points,
                    family=family,
                    method=method,
                    quantize=quantize,
                    calibration=calibration,
                    target=target,
                    setting=setting,
                    importance=importance,
                    steer=steer,
                    storage=storage,
                    workers=workers,
                    trials=trials,
                    groups=groups,
                    seed=seed,
                    seeds=seeds,
                    minutes=minutes,
                    resume=resume,
                    measure=measure,
                    progress=progress,
                    warn=out.warn,
                )
        except KeyboardInterrupt as stop:
            raise StoppedError(
                f"Stopped; what was finished is kept in {output}: give the same command with --resume to go on."
            ) from stop
        except BudgetError:
            if (output / RESULT_FILE).exists():
                _report(output, out)  # what came nearest is worth a look
            raise
        for note in result.notes:
            out.warn(note)
        out.show(*views.compression_tables(result))
        written = [result.after.keras, result.after.tflite, "points", RESULT_FILE]
        written += [REPORT] if _report(output, out) else []
        out.show("", f"Written to {output}: {', '.join(str(name) for name in written)}")
        out.json(result.to_dict())


def _report(folder: Path, out: Terminal) -> bool:
    """Write the page on a finished compression; that it cannot be written is no reason to lose the rest."""
    from edgetime.report import write_report

    try:
        write_report(folder, folder / REPORT, f"edgetime compress: {folder.resolve().name}")
    except (EdgetimeError, OSError) as error:
        out.warn(f"No {REPORT}: {error}")
        return False
    return True


_ALLOWED = frozenset(
    {"network", "data", "time_model", "calibration", "storage", "minutes", "join", "json", "help"}
)
"""What says where the search and its files are, and how long to help; all else was said where it was begun."""


def check_options(context: typer.Context) -> None:
    """Refuse what was given beside ``--join`` and would be ignored, be it the default."""
    names = []
    for option in context.command.params:
        source = context.get_parameter_source(str(option.name))
        if option.name not in _ALLOWED and source is not None and source.name == "COMMANDLINE":
            names.append(_typed(option, context))
    if not names:
        return
    listed = f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]
    do, them = ("do", "them") if len(names) > 1 else ("does", "it")
    mend = "; for more processes give the command several times" if "--workers" in names else ""
    raise UsageError(
        f"{listed} {do} not go with --join, which helps with a search as it was begun: leave {them} out{mend}."
    )


def _typed(option: Any, context: typer.Context) -> str:
    """An option as it was typed, such as ``--no-measure``; of several names the first."""
    off = option.secondary_opts if context.params[option.name] is False else ()
    return str((*off, *option.opts)[0])


def join_search(
    where: str,
    network: Path | None,
    data: Path | None,
    time_model: Path | None,
    calibration: Path | None,
    storage: str | None,
    minutes: float | None,
    json: bool,
) -> None:
    """Take part in the search at `where` until it is over, and say what was done."""
    from compressor.pipeline.shared import join

    with Terminal(json) as out:
        try:
            with out.progress("Search") as progress:
                joined = join(
                    where,
                    model=network,
                    data=data,
                    time_model=time_model,
                    calibration=calibration,
                    storage=storage,
                    minutes=minutes,
                    progress=progress,
                )
        except KeyboardInterrupt as stop:
            raise StoppedError(
                "Stopped; the candidate that was at work is left to the others, those before it are in the search."
            ) from stop
        out.show(
            f"{joined.tried} candidates tried here, {joined.trials} in all: the result is made where it was begun."
        )
        out.json(asdict(joined))
