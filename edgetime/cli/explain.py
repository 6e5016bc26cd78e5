"""``edgetime explain``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgetime.terminal import Terminal, options, views

_SCREEN_ROWS = 24
"""Of a terminal whose height is not known; and of taller ones too, so that the summary stays one."""


def command(
    model: options.ModelArgument,
    op: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Only this operator, such as conv_2d, and everything about it."),
    ] = None,
    setting: options.SettingOption = None,
    html: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write a page as well: measured points, staircases, what each size does, trees and tables.",
        ),
    ] = None,
    json: options.JsonOption = False,
) -> None:
    """Say what a device likes, what to avoid on it, and how sure that is; then each operator's tree in words.

    Every sentence names the split or leaf of the tree that it comes from, and is only printed if the model's own
    predictions confirm it by more than the model's error.

    Example:

    \b
    $ edgetime explain here.timemodel.json
    $ edgetime explain here.timemodel.json --op conv_2d --html page.html
    """
    from timemodel import TimeModel
    from timemodel.explain import explain, findings, summary

    with Terminal(json) as out:
        loaded = TimeModel.load(model)
        key = options.find_setting(loaded.settings, setting)
        chosen = loaded.setting(key)
        texts = explain(chosen, op, found := findings(chosen, op))
        out.json(
            {
                "device": loaded.device,
                "setting": key,
                "settings": list(loaded.settings),
                "conditions": chosen.conditions.to_dict() if chosen.conditions else None,
                "findings": [finding.to_dict() for finding in found],
                "rules": texts,
            }
        )
        head = [f"{loaded.device}; {key}"]
        others = [name for name in loaded.settings if name != key]
        if chosen.conditions is not None:
            head.append(chosen.conditions.in_words())
        if others:
            head.append(f"Also known, with --setting: {'; '.join(others)}")
        out.show(*head)
        if op is None:
            width = out.width
            used = sum(len(views.broken(line, width)) for line in head)
            lines = summary(chosen, found, width or views.WIDE, _SCREEN_ROWS - 2 - used)
            out.show(*(views.rules(line, width) for line in lines), "")
        out.show("\n\n".join(views.rules(text, out.width) for text in texts))
        if html is not None:
            from edgetime.report import write_explanation

            write_explanation(loaded, html, op, key)
            out.note(f"Page: {html}")
