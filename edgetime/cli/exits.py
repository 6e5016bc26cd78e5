"""``edgetime exits``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import RenderableType

from edgetime import units
from edgetime.terminal import Terminal, keeping, options, table

if TYPE_CHECKING:
    from selector.early_exits import EarlyExits

_where = options.panel("Where to end early?")
_goal = options.panel("What may it lose?")


def command(
    network: Annotated[
        Path, typer.Argument(metavar="NET.keras", help="The trained Keras network, a classifier.")
    ],
    data: Annotated[
        Path,
        typer.Option(
            metavar="D.npz|D.py",
            help="Rows x with classes y, which heads learn from; x_val and y_val, which the network was not trained on, for "
            "thresholds; perhaps x_test and y_test to see what it comes to.",
        ),
    ],
    time_model: Annotated[
        Path,
        typer.Option(metavar="MODEL.timemodel.json", help="The device's time model, from 'edgetime fit'."),
    ],
    output: Annotated[Path, options.output_option("DIR", "Folder for everything that is made.")],
    exits: Annotated[
        int,
        _where(
            metavar="K", help="Exits to add, evenly in predicted time; those that do not pay are left out."
        ),
    ] = 3,
    after: Annotated[
        list[str] | None,
        _where(metavar="LAYER", help="Add an exit after this layer in place of --exits; several times."),
    ] = None,
    head: Annotated[
        str,
        _where(
            metavar="auto|pool|conv|deep|deeper|deepest",
            help="Heads: pooling and a dense layer, or with one convolution or more in front; auto: as many as take little time.",
        ),
    ] = "auto",
    epochs: Annotated[
        int | None,
        _where(
            metavar="N",
            min=1,
            help="Epochs that heads learn for; default: 15, and up to 60 where rows are few.",
        ),
    ] = None,
    all_layers: Annotated[
        bool,
        _where(
            "--all-layers",
            help="Then let the network's own layers learn along where its last answer is no worse for it; this takes longer.",
            show_default=False,
        ),
    ] = False,
    quantize: Annotated[str, typer.Option(help="Arithmetic of the result: none or int8.")] = "none",
    calibration: Annotated[
        Path | None,
        typer.Option(metavar="C.npz", help="Typical inputs for int8; default: the training rows."),
    ] = None,
    max_accuracy_drop: Annotated[
        float,
        _goal(
            metavar="POINTS",
            help="Hundredths of accuracy that may be lost against the network without exits.",
        ),
    ] = 0.2,
    confidence: Annotated[
        float | None,
        _goal(
            metavar="P",
            help="Promise that with this confidence, such as 0.95; half of the rows then test it.",
        ),
    ] = None,
    prefer: Annotated[
        str,
        _goal(
            metavar="time|accuracy",
            help="The least time within the drop, or the best accuracy in the same time.",
        ),
    ] = "time",
    budget_ms: Annotated[
        float | None,
        _goal(
            metavar="X",
            help="Longest mean predicted time; with --prefer accuracy and without it: that of the network without exits.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of training.")] = 0,
    setting: options.SettingOption = None,
    json: options.JsonOption = False,
) -> None:
    """Let a network answer easy inputs from its middle: add early exits, train them, and say where inputs stop.

    DIR gets exits.tflite, in which each segment is a signature and weights are stored once, policy.json with the thresholds
    ('edgetime run' answers by it), exits.keras, and single.tflite, the network without exits. Each exit learns from labels and
    from the network's last answer. What was stopped goes on with the same command, and another goal in the same DIR takes no
    training.

    Example:

    \b
    $ edgetime exits digits.keras --data digits.npz --time-model pi4.timemodel.json --exits 2 -o early
    $ edgetime exits digits.keras --data digits.npz --time-model pi4.timemodel.json --quantize int8 --max-accuracy-drop 0.5 -o early
    """
    from compressor.exits import CHECKPOINTS, JOINT
    from selector.early_exits import add_early_exits
    from selector.policies import PolicyGoal
    from timemodel import TimeModel

    with Terminal(json) as out:
        known = TimeModel.load(time_model)
        if setting is not None:
            known = known.only(options.find_setting(known.settings, setting))
        goal = PolicyGoal(
            prefer, budget_ms=budget_ms, max_accuracy_drop=max_accuracy_drop, confidence=confidence
        )
        with keeping(output / CHECKPOINTS), out.progress("Exits") as progress:
            found = add_early_exits(
                network,
                data,
                known,
                output,
                goal,
                count=exits,
                after=after or (),
                head=head,
                quantize=quantize,
                calibration=calibration,
                heads=epochs,
                joint=JOINT if all_layers else None,
                seed=seed,
                progress=progress,
            )
        for note in found.notes:
            out.warn(note)
        out.json(found.to_dict())
        out.show(*_shown(found))
        if found.policy is not None:
            out.show("", f"Policy written to {found.policy}, its network to {found.network.file}")


def _shown(found: EarlyExits) -> list[RenderableType]:
    made = found.network
    shares = dict.fromkeys(range(len(made.segments)), 0.0)
    for stage, share in zip(found.fit.specification.stages, found.fit.chosen.stop_shares, strict=True):
        shares[stage.network] = share
    rows, so_far = [], 0.0
    for place, segment in enumerate(made.segments):
        so_far += segment.predicted_ms
        rows.append(
            [
                f"after {segment.after}" if segment.after else "the end",
                units.ms(segment.predicted_ms),
                units.ms(so_far),
                units.percent(so_far / made.single_ms),
                units.percent(segment.validation_score),
                units.percent(shares[place]),
            ]
        )
    parts = table(
        ["exit", "predicted", "until there", "of the whole", "accuracy (Keras)", "stop there"], rows
    )
    chosen, expected = found.fit.chosen, found.fit.specification.expected
    lines: list[RenderableType] = [parts, ""]
    saved = 1 - chosen.mean_ms / made.single_ms
    lines.append(
        f"{units.ms(chosen.mean_ms)} on average in place of {units.ms(made.single_ms)} ({units.percent(saved)} less), "
        f"{units.percent(expected['accuracy'])} right in place of {units.percent(expected['single_accuracy'])}, "
        f"on {expected['rows']} rows"
    )
    if found.on_test:
        policy, single = found.on_test
        lines.append(
            f"On the test rows {units.ms(policy.mean_ms)} in place of {units.ms(single.mean_ms)} "
            f"({units.percent(1 - policy.mean_ms / single.mean_ms)} less), {units.percent(policy.accuracy)} right in place of "
            f"{units.percent(single.accuracy)}"
        )
    if found.fit.specification.promise is not None:
        lines.append(str(found.fit.specification.promise["sentence"]))
    return lines
