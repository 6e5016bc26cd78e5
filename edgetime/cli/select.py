"""``edgetime select``."""

from __future__ import annotations

import contextlib
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import RenderableType

from edgetime import units
from edgetime.cli import edge_cloud
from edgetime.cli import per_input as per_input_choice
from edgetime.terminal import Terminal, options, table

if TYPE_CHECKING:
    from selector.candidates import NetworkOption
    from selector.policies import Policy, PolicyGoal
    from selector.selection import Selection

_per_input = options.panel("Choose by input")
_elsewhere = options.panel("Another machine")
_CONFIDENCE = 0.95


class Prefer(str, Enum):
    """What a policy by input has most or least of."""

    time = "time"
    accuracy = "accuracy"


def command(
    networks: Annotated[
        list[Path], typer.Argument(metavar="NET.tflite…", help="Networks to choose from, or folders of them.")
    ],
    time_model: Annotated[
        list[Path],
        typer.Option(
            metavar="MODEL.timemodel.json",
            help="The time model that 'edgetime fit' wrote; given again: one choice for each device.",
        ),
    ],
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="D.npz",
            help="Rows x (x.NAME for each of several inputs) with labels y, perhaps x_val, y_val and groups_val (the person or "
            "recording of each row): the networks are run on them for their accuracy. Without it nothing is run.",
        ),
    ] = None,
    budget_ms: Annotated[
        float | None, typer.Option(metavar="X", help="Longest predicted time that is accepted, in ms.")
    ] = None,
    max_memory_kb: Annotated[
        float | None,
        typer.Option(metavar="KB", help="Most memory of the activations at their peak, in 1,000 bytes."),
    ] = None,
    max_energy_mj: Annotated[
        float | None,
        typer.Option(
            metavar="MJ", help="Millijoules of an inference; needs a device whose profile has energy."
        ),
    ] = None,
    per_input: Annotated[
        bool,
        _per_input("--per-input", help="Choose anew for every input; needs --data.", show_default=False),
    ] = False,
    policy: Annotated[
        str | None,
        _per_input(
            metavar="NAME", help="Kind of policy: cascade (default), premodel, hierarchical, or a plug-in's."
        ),
    ] = None,
    prefer: Annotated[
        Prefer,
        _per_input(
            help="The least mean time within --max-accuracy-drop, or the most accuracy within --budget-ms."
        ),
    ] = Prefer.time,
    max_accuracy_drop: Annotated[
        float | None,
        _per_input(
            metavar="POINTS", help="Points of accuracy that may be lost against the best single network."
        ),
    ] = None,
    confidence: Annotated[
        float | None,
        _per_input(
            metavar="C",
            help="How sure it is to be that no more is lost on new rows; default with --max-accuracy-drop: 0.95. 0: no promise.",
        ),
    ] = None,
    longest_ms: Annotated[
        float | None, _per_input(metavar="X", help="Longest predicted time of any input, in ms.")
    ] = None,
    stages: Annotated[
        int | None,
        _per_input(metavar="N", help="Networks that one input may run through; default: 4.", min=1),
    ] = None,
    held_out: Annotated[
        bool,
        _per_input("--held-out", help="Say that x and y of --data trained no network.", show_default=False),
    ] = False,
    link: Annotated[
        str | None,
        _elsewhere(
            metavar="LINK",
            help="The way to another machine, such as latency_ms=40,mbps=8,energy_mj_per_kb=2.5,cloud_ms=3: each input runs here "
            "or there.",
        ),
    ] = None,
    split: Annotated[
        bool,
        _elsewhere(
            "--split",
            help="With --link: where a single network is best cut between both machines.",
            show_default=False,
        ),
    ] = False,
    cloud_time_model: Annotated[
        Path | None,
        _elsewhere(
            metavar="MODEL.timemodel.json",
            help="With --link: the other machine's time model, in place of cloud_ms.",
        ),
    ] = None,
    output: Annotated[Path | None, options.output_option("POLICY.json", "Where to write the choice.")] = None,
    html: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a page as well: accuracy over time, stages, hardest rows."),
    ] = None,
    signature: options.SignatureOption = None,
    loop_turns: options.LoopTurnsOption = None,
    input_shape: options.InputShapeOption = None,
    json: options.JsonOption = False,
) -> None:
    """Choose between networks by their predicted time on a device.

    Of the networks whose predicted time is within the budget the most accurate is recommended, without --data
    the fastest; what 'edgetime compress' made is ranked by the accuracy that its result.json has.
    "front" marks those that no other beats in both. Times are never measured here: "may exceed"
    and "may fit" mark networks whose interval crosses the budget, and 'edgetime predict --measure' settles it.
    A bad file does not stop a batch: the others are done, and the exit status is 1. A file with several signatures is so many
    networks.

    With --per-input the networks run one after another, the fastest first, until one is sure of its answer; which, in
    which order and how sure is found on the rows of --data for validation (else for the test), on predicted times.

    Example:

    \b
    $ edgetime select --time-model pi4.timemodel.json --data val.npz --budget-ms 5 nets/ -o policy.json
    $ edgetime select --time-model pi4.timemodel.json --time-model phone.timemodel.json nets/ --max-memory-kb 256
    $ edgetime select --per-input --time-model pi4.timemodel.json --data d.npz --max-accuracy-drop 0.5 nets/ -o policy/
    $ edgetime select --per-input --link latency_ms=40,mbps=8 --time-model pi4.timemodel.json --data d.npz nets/
    """
    from edgetime.networks import expand, parse_shapes, unpacked, without_made
    from profiler.errors import BudgetError, UsageError
    from selector.candidates import DeviceLimits, compressed_accuracies
    from selector.selection import select_per_device

    with Terminal(json) as out, contextlib.ExitStack() as held:
        if output is not None and len(time_model) > 1:
            raise UsageError("A policy is of one device: give one --time-model with -o.")
        _check_places(output, html)
        # A folder stands for its .tflite files; Keras models in it are sources, not candidates.
        paths = [path for path in expand(networks) if path.suffix != ".keras" or path in networks]
        plain = not (split or per_input)
        if not plain and (signature is not None or loop_turns is not None):
            raise UsageError("--signature and --loop-turns do not go with --per-input or --split.")
        paths, wrong = held.enter_context(unpacked(paths, signature, each=plain))
        for sentence in wrong:
            out.complain(sentence)
        if split or per_input:
            if len(time_model) > 1 or max_memory_kb is not None or max_energy_mj is not None:
                raise UsageError(
                    "--per-input and --split take one --time-model and no limit of memory or energy."
                )
        elif (
            policy
            or link
            or cloud_time_model
            or stages
            or longest_ms
            or held_out
            or max_accuracy_drop is not None
            or confidence is not None
        ):
            raise UsageError("Options of policies by input go with --per-input: add it, or leave them out.")
        if split:
            if link is None or len(paths) != 1:
                raise UsageError("--split takes --link and one network: name both.")
            edge_cloud.split(paths[0], time_model[0], link, cloud_time_model, output, out)
            return
        if per_input:
            if data is None:
                raise UsageError("--per-input needs rows with labels: add --data D.npz.")
            goal = _goal(prefer, budget_ms, longest_ms, max_accuracy_drop, confidence)
            made = _policy(policy, stages, link, cloud_time_model)
            shape = parse_shapes(input_shape or [])
            per_input_choice.choose(
                paths, time_model[0], data, goal, made, held_out, shape, output, html, out
            )
            return
        limits = DeviceLimits(budget_ms, max_memory_kb, max_energy_mj)
        accuracies = compressed_accuracies(paths) if data is None else None
        if accuracies is not None and accuracies.reason:
            out.note(accuracies.reason)
        with out.progress("Select") as progress:
            shapes = parse_shapes(input_shape or [])
            found = select_per_device(
                time_model, paths, data, limits, shapes, progress, accuracies=accuracies, turns=loop_turns
            )
        first, misses = found[0], [one for one in found if one.chosen is None]
        for path, reason in first.failed:
            out.complain(f"{path.name} is left out: {reason}" if str(path) not in reason else reason)
        _warn(found, out)
        if output is not None and not misses:
            output = first.save(output)
        if html is not None:
            from edgetime.report import write_selection

            write_selection([one.to_dict() for one in found], html)
        if len(found) == 1:
            if misses:
                raise BudgetError(limits.miss(first.candidates))
            out.json({**without_made(first.to_dict()), "policy": None if output is None else str(output)})
            out.show(*_shown(first))
            if output is not None:
                out.show(f"Policy written to {output}")
        else:
            out.json([{**without_made(one.to_dict()), "policy": None} for one in found])
            out.show(*_devices(found))
            for one in misses:
                out.complain(f"{one.device}: {limits.miss(one.candidates)}")
        bad = len(first.failed) + len(wrong)
        if bad:
            out.complain(f"{bad} of {len(paths) + len(wrong)} networks could not be chosen from.")
        if bad or misses:
            raise typer.Exit(1)


def _check_places(output: Path | None, html: Path | None) -> None:
    """See before long work whether its results can be written."""
    from profiler.files import check_writable

    if output is not None:
        # A policy is a file of JSON, or a folder with one in it.
        check_writable(output if output.suffix == ".json" and not output.is_dir() else output / "policy.json")
    if html is not None:
        check_writable(html)


def _goal(
    prefer: Prefer,
    budget_ms: float | None,
    longest_ms: float | None,
    max_accuracy_drop: float | None,
    confidence: float | None,
) -> PolicyGoal:
    """What the options ask for: a drop that is given is promised, unless the confidence is 0."""
    from selector.policies import PolicyGoal

    if confidence is None and max_accuracy_drop is not None:
        confidence = _CONFIDENCE
    return PolicyGoal(prefer.value, budget_ms, longest_ms, max_accuracy_drop, confidence or None)


def _policy(name: str | None, stages: int | None, link: str | None, cloud_time_model: Path | None) -> Policy:
    """The kind of policy that is asked for, not fitted yet."""
    from profiler.errors import UsageError
    from selector.candidates import Link
    from selector.policies import EdgeOrCloudPolicy, SearchSettings, get_policy
    from timemodel import TimeModel

    settings = None if stages is None else SearchSettings(max_stages=stages)
    if link is not None:
        if name not in (None, "edge_or_cloud"):
            raise UsageError(f"--link goes with the policy edge_or_cloud, not {name}: leave one of them out.")
        there = None if cloud_time_model is None else TimeModel.load(cloud_time_model)
        return EdgeOrCloudPolicy(Link.parse(link), there, settings=settings)
    if settings is None:
        return get_policy(name or "cascade")
    try:
        return get_policy(name or "cascade", settings=settings)
    except TypeError:
        raise UsageError(f"--stages says nothing to the policy {name}: leave it out.") from None


def _warn(found: tuple[Selection, ...], out: Terminal) -> None:
    """Say what was only estimated; networks that lack the same operators are one warning."""
    from selector.candidates import doubts

    for one in found:
        for sentence in doubts(one.candidates, f"on {one.device}" if len(found) > 1 else "on this device"):
            out.warn(sentence)


_COVERED = 0.9995
"""A network of less coverage is marked."""


def _shown(found: Selection) -> list[RenderableType]:
    from edgetime.networks import short_names

    columns = {
        "network": short_names([c.path for c in found.candidates]),
        "predicted": [_predicted(c) for c in found.candidates],
        "90% interval": ["" if c.at_least else units.interval(c.low_ms, c.high_ms) for c in found.candidates],
        "accuracy": [units.percent(c.accuracy) for c in found.candidates],
        "memory": [units.size(c.peak_memory_bytes) for c in found.candidates],
        "energy": [units.mj(c.energy_mj) for c in found.candidates],
        "file": [units.size(c.file_bytes) for c in found.candidates],
        "": [", ".join(_marks(found, c, on)) for c, on in zip(found.candidates, found.on_front, strict=True)],
    }
    if not found.judged_on:
        del columns["accuracy"]
    if found.limits.max_memory_kb is None:
        del columns["memory"]
    if all(candidate.energy_mj is None for candidate in found.candidates):
        del columns["energy"]
    rows = list(zip(*columns.values(), strict=True))
    return [table(list(columns), rows), "", f"Times predicted for {found.device}; {_judged(found)}"]


def _cost(candidate: NetworkOption, mark: str, with_energy: bool) -> str:
    """``≥0.05 ms`` (what is known of the time) and below that ``0.012 mJ``, or ``-`` where energy is not known."""
    time = ("≥" if candidate.at_least else "") + units.ms(candidate.predicted_ms) + mark
    return f"{time}\n{units.mj(candidate.energy_mj)}" if with_energy else time


def _device_names(found: tuple[Selection, ...]) -> list[str]:
    """Devices for a table: without the number of cores where all have one."""
    names = [one.device for one in found]
    short = [name.removesuffix(", 1 core") for name in names]
    return names if set(short) & set(names) else short


def _devices(found: tuple[Selection, ...]) -> list[RenderableType]:
    """Predicted times of every network on every device, and the best network of each."""
    from edgetime.networks import short_names

    devices, candidates = _device_names(found), [c for one in found for c in one.candidates]
    with_energy = any(candidate.energy_mj is not None for candidate in candidates)
    options = [{c.path: c for c in one.candidates} for one in found]
    best = [one.chosen for one in found]
    networks = [candidate.path for candidate in found[0].candidates]

    def cell(device: int, network: Path) -> str:
        chosen = best[device]
        mark = " *" if chosen is not None and chosen.path == network else ""
        return _cost(options[device][network], mark, with_energy)

    short = dict(zip(networks, short_names(networks), strict=True))
    if len(devices) <= len(networks):
        grid = [[short[path], *(cell(i, path) for i in range(len(devices)))] for path in networks]
        shown = table(["predicted", *devices], grid)
    else:
        grid = [[device, *(cell(i, path) for path in networks)] for i, device in enumerate(devices)]
        shown = table(["predicted", *(path.name for path in networks)], grid)
    rows = [
        [
            device,
            "none" if chosen is None else short[chosen.path],
            "-" if chosen is None else _predicted(chosen),
            *([units.percent(None if chosen is None else chosen.accuracy)] if one.judged_on else []),
        ]
        for device, one, chosen in zip(devices, found, best, strict=True)
    ]
    columns = ["device", "recommended (*)", "predicted", *(["accuracy"] if found[0].judged_on else [])]
    least = "; ≥: at least, for not all is known" if any(c.at_least for c in candidates) else ""
    return [shown, "", table(columns, rows), "", f"Times predicted{least}; {_judged(found[0])}"]


def _predicted(candidate: NetworkOption) -> str:
    return ("at least " if candidate.at_least else "") + units.ms(candidate.predicted_ms)


def _judged(found: Selection) -> str:
    return f"accuracy on {found.judged_on}" if found.judged_on else "nothing was run, so the fastest is it"


def _marks(found: Selection, candidate: NetworkOption, on_front: bool) -> list[str]:
    """What is to be said of one candidate, in few words."""
    marks = ["recommended"] if candidate is found.chosen else []
    if candidate.at_least:
        marks.append("not all known")
    if on_front and found.judged_on:
        marks.append("front")
    fits, crosses = candidate.fits(found.budget_ms), candidate.crosses(found.budget_ms)
    if crosses:
        marks.append("may exceed" if fits else "may fit")
    if candidate.coverage < _COVERED:
        marks.append(f"{units.percent(1 - candidate.coverage)} estimated")
    words = {"time": "too slow", "memory": "too much memory", "energy": "too much energy"}
    return marks + [words[name] for name in found.limits.over(candidate) if not (name == "time" and crosses)]
