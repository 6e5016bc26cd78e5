"""What ``edgetime select --per-input`` does: fit a policy, show it beside what it must be seen beside, write it."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import RenderableType

from edgetime import units
from edgetime.networks import InputShape
from edgetime.terminal import Terminal, table, views

if TYPE_CHECKING:
    from selector.fitting import PerInputSelection
    from selector.policies import Policy, PolicyGoal, PolicyPoint

_FRONT = 8
"""Policies of the front that are shown."""


def choose(
    networks: Sequence[Path],
    time_model: Path,
    data: Path,
    goal: PolicyGoal,
    policy: Policy,
    held_out: bool,
    input_shape: InputShape | None,
    output: Path | None,
    html: Path | None,
    out: Terminal,
) -> None:
    """Fit the policy, write it and a page, and show it."""
    from selector.fitting import select_per_input

    with out.progress("Select") as progress:
        found = select_per_input(
            time_model,
            networks,
            data,
            goal,
            policy,
            held_out=held_out,
            input_shape=input_shape,
            progress=progress,
        )
    if output is not None:
        output = found.save(output)
    if html is not None:
        from edgetime.report import pictures_of, write_selection

        pictures = [] if found.answers is None else pictures_of(found.answers, found.inputs)
        write_selection([found.to_dict()], html, pictures)
    for note in found.fit.notes:
        out.warn(note)
    out.json({**found.to_dict(), "policy": None if output is None else str(output)})
    out.show(*_shown(found, out.width))
    if output is not None:
        out.show(f"Policy written to {output}")
    if html is not None:
        out.show(f"Page written to {html}")


def _shown(found: PerInputSelection, width: int | None) -> list[RenderableType]:
    fit, single = found.fit, found.single
    chosen = fit.chosen
    parts: list[RenderableType] = [
        table(_COLUMNS, [_row(found, point) for point in (*fit.baselines, chosen)])
    ]
    others = [point for point in fit.front if point != chosen]
    if others:
        step = max(1, -(-len(others) // _FRONT))
        front = table(
            _COLUMNS,
            [_row(found, point) for point in others[::step]],
            f"Other {chosen.kind} policies of the front",
        )
        parts += ["", front]
    expected = fit.specification.expected.get("expected_accuracy", chosen.expected_accuracy)
    saved = f"{found.saving(chosen):.2f} times as fast as {single.name} alone"
    lines = [
        f"{chosen.name}: {saved}, predicted mean {units.ms(chosen.mean_ms)} on {found.device}, at most "
        f"{units.ms(chosen.longest_ms)}; accuracy {units.points(100 * (chosen.accuracy - single.accuracy))} on {found.judged_on}"
        + ("" if expected is None else f", {units.percent(expected, 2)} expected of new rows"),
        found.promise(),
    ]
    return [*parts, "", *("\n".join(views.broken(line, width)) for line in lines)]


_COLUMNS = ["policy", "kind", "accuracy", "predicted mean", "times as fast", "p90", "longest"]


def _row(found: PerInputSelection, point: PolicyPoint) -> list[str]:
    marks = [point.dtype] if point.dtype else []
    if point is found.fit.chosen:
        marks.append("chosen")
    if point is found.single:
        marks.append("best single")
    return [
        textwrap.shorten(point.name, 48, placeholder=" …"),
        ", ".join([point.kind, *marks]),
        units.percent(point.accuracy, 2),
        units.ms(point.mean_ms),
        f"{found.saving(point):.2f}",
        units.ms(point.p90_ms),
        units.ms(point.longest_ms),
    ]
