"""``edgetime advise``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from edgetime import units
from edgetime.terminal import Terminal, options, table, views

if TYPE_CHECKING:
    from timemodel.advise import Advice, NumberType, OperatorInType, Saving, WidthOption

_FIRST = 3
"""Changes that stand on top."""

_WORTH = 0.01
"""Share of the network's time that an operator must gain or lose to be named."""

_OPERATORS = 4
"""Operators that are named where a number type is slower or faster."""


def command(
    model: options.ModelArgument,
    network: options.NetworkArgument,
    most: Annotated[
        int, typer.Option("--most", min=1, metavar="N", help="At most so many narrower widths per layer.")
    ] = 3,
    setting: options.SettingOption = None,
    signature: options.SignatureOption = None,
    loop_turns: options.LoopTurnsOption = None,
    input_shape: options.InputShapeOption = None,
    json: options.JsonOption = False,
) -> None:
    """Say which changes of a network save time on a device, and how much: widths per layer, and its number type.

    Layers whose channels go together (through additions, say) change together and share a row. Only changes that save
    more than the model may be wrong about them are shown; "free" widths cost no more than now. Percentages are of the
    whole network's predicted time, predicted on the changed network. A file with several signatures is so many networks.

    Example:

    \b
    $ edgetime advise here.timemodel.json net.tflite
    """
    from edgetime import networks as files
    from timemodel import TimeModel
    from timemodel.advise import advise

    with Terminal(json) as out:
        time_model = TimeModel.load(model)
        key = options.find_setting(time_model.settings, setting)
        shape = files.parse_shapes(input_shape or [])
        for name in files.signatures(network, signature):
            read = files.read(network, shape, name, loop_turns)
            advice = advise(time_model, read.network, setting=key, most_steps=most)
            out.json({**advice.to_dict(), "device": time_model.device, "setting": key, "signature": name})
            _show(advice, f"{time_model.device}; {key}", out)


def _show(advice: Advice, where: str, out: Terminal) -> None:
    energy = "" if advice.energy_mj is None else f" and {units.mj(advice.energy_mj)}"
    least = "at least " if advice.at_least else ""
    out.show(f"{advice.network}: predicted {least}{units.ms(advice.predicted_ms)}{energy} on {where}")
    if advice.unknown:
        line = f"  not known: {', '.join(advice.unknown)}; percentages are of the rest"
        out.show(views.rules(line, out.width))
    out.show("")
    out.show(*(views.rules(line, out.width) for line in first(advice)), "")
    for kind in advice.number_types:
        out.show(*(views.rules(line, out.width) for line in number_type(kind)))
    if advice.number_types:
        out.show("")
    rows = [{**row, "name": label(row["name"])} for row in advice.rows()]
    if not any(row["wider"] for row in rows):
        rows = [{key: text for key, text in row.items() if key != "wider"} for row in rows]
    if rows:
        out.show(table(list(rows[0]), [list(row.values()) for row in rows]))
    fixed = [group for group in advice.groups if group.fixed]
    if fixed:
        reasons = "; ".join(dict.fromkeys(group.fixed for group in fixed))
        out.show(f"{len(fixed)} of {len(advice.groups)} widths cannot change: {reasons}.")
    for note in advice.notes:
        out.note(note)


def first(advice: Advice) -> list[str]:
    """What saves most, in a few lines; or that nothing does."""
    if not advice.top:
        if advice.unsure is None:
            return ["No other width would make it faster."]
        number, option = advice.unsure
        return [
            f"No change saves more than the model's error: the best, {_change(advice, number, option)}, would save "
            f"{units.percent(option.saving_share)}, and the model is only sure to within {_percent_of(advice, option)}."
        ]
    shown = advice.top[:_FIRST]
    lines = ["What saves most:" if len(shown) > 1 else "What saves time:"]
    for place, (number, option) in enumerate(shown, 1):
        lines.append(f"  {place}. {_change(advice, number, option)}: {_saved(advice, option)}")
    if advice.combined is not None:
        both = "both" if len(advice.combined.changes) == 2 else f"all {len(advice.combined.changes)}"
        lines.append(f"  {both} together: {_saved(advice, advice.combined)}")
    lines.append(
        "  ± is the model's error of such a change (90%); what saves less than that is not suggested."
    )
    return lines


def number_type(kind: NumberType) -> list[str]:
    """What another number type would bring as a whole, and which operators are slower or faster in it."""
    if abs(kind.saving_ms) <= kind.error_ms:
        verdict = f"no surely different time ({units.ms(kind.predicted_ms)}, ± {units.ms(kind.error_ms)})"
    else:
        how = "faster" if kind.saving_ms > 0 else "slower"
        verdict = f"{how}, {units.ms(kind.predicted_ms)} ({-100 * kind.saving_share:+.0f}%)"
    lines = [f"In {kind.dtype} as a whole: {verdict}."]
    for word, rows in (
        ("slower", [row for row in kind.operators if row.slower and _counts(row, kind)]),
        ("faster", [row for row in kind.operators if row.faster and _counts(row, kind)]),
    ):
        if rows:
            named = [
                f"{row.op} {units.ms(row.now_ms)} -> {units.ms(row.other_ms)}{'' if row.measured else ' (estimated)'}"
                for row in rows[:_OPERATORS]
            ]
            more = f" and {len(rows) - _OPERATORS} more" if len(rows) > _OPERATORS else ""
            lines.append(f"  {word} there: {', '.join(named)}{more}")
    unknown = [row.op for row in kind.operators if not row.measured]
    if unknown:
        lines.append(f"  not measured in {kind.dtype}, so only estimated: {', '.join(unknown)}")
    return lines


def _counts(row: OperatorInType, kind: NumberType) -> bool:
    """Whether an operator's difference is worth a word in a network of this time."""
    return abs(row.now_ms - row.other_ms) >= _WORTH * (kind.predicted_ms + kind.saving_ms)


def label(name: str) -> str:
    """A layer's name in few letters: of ``model/activation_3/Relu;…`` the part before the operator's own."""
    parts = [part for part in name.split(";")[0].split("/") if part]
    return views.short_name(parts[-2] if len(parts) > 1 else name, 28)


def _change(advice: Advice, number: int, option: WidthOption) -> str:
    group = advice.groups[number]
    others = len(group.layers) - 1
    coupled = f" (with {others} coupled layer{'s' if others > 1 else ''})" if others else ""
    return f"{label(group.name)}{coupled} {group.width} -> {option.width} channels"


def _saved(advice: Advice, saving: Saving) -> str:
    energy = "" if saving.saving_mj is None else f", {units.mj(saving.saving_mj)}"
    return f"{units.ms(saving.saving_ms)} less ({units.percent(saving.saving_share)} ± {_percent_of(advice, saving)}){energy}"


def _percent_of(advice: Advice, saving: Saving) -> str:
    return units.percent(saving.error_ms / advice.predicted_ms if advice.predicted_ms > 0 else 0.0)
