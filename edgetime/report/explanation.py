"""The page that ``edgetime explain --html`` writes: what one setting's time model says of a device."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from edgetime import __version__, units
from edgetime.report import charts
from edgetime.report.page import Page
from profiler.files import write_text

if TYPE_CHECKING:
    from timemodel import TimeModel
    from timemodel.explain import Finding
    from timemodel.model import OperatorModel

FIRST_DTYPES = ("float32", "int8")
"""What comes first on the page."""

_SENTENCES = 12
"""Sentences on top of the page, of each kind."""


def write_explanation(
    model: TimeModel, output: str | os.PathLike[str], op: str | None = None, setting: str | None = None
) -> None:
    """Write the page, of one operator or all, of one of the model's settings (default: the first)."""
    write_text(output, explanation_page(model, op, setting).render())


def explanation_page(model: TimeModel, op: str | None = None, setting: str | None = None) -> Page:
    """Put the page together; see `write_explanation`."""
    from timemodel.explain import explain_runtime, findings, how_sure

    chosen = model.setting(setting)
    found = findings(chosen, op)
    known = sorted((key for key in model.operators(setting) if op in (None, key[0])), key=usual_first())
    models = [chosen.operators[key] for key in known]
    page = Page(f"What {model.device} likes" + (f": {op}" if op else ""))
    page.text(f"Setting: {chosen.key}", soft=True)
    others = [name for name in model.settings if name != chosen.key]
    if others:
        page.text(f"The time model also knows: {'; '.join(others)}.", soft=True)
    for kind, title in (("likes", "Likes"), ("avoid", "Avoid")):
        rows = [s for s in found if s.kind == kind]
        if rows:
            page.section(title)
            page.points([_point(s, named=True) for s in rows[:_SENTENCES]])
            if len(rows) > _SENTENCES:
                page.open(f"{len(rows) - _SENTENCES} more")
                page.points([_point(s, named=True) for s in rows[_SENTENCES:]])
                page.close()
    if not found:
        page.section("Likes and avoid", "Nothing stands out by more than the model's error.")
    page.section("How sure")
    for dtype in dict.fromkeys(key[1] for key in known):
        page.text(
            f"{dtype}: {how_sure([one for one in models if one.dtype == dtype])}, on layers not learned from."
        )
    add_errors(page, models)
    page.section(
        "Operators",
        "Of each: what it likes, its time over the width and over other sizes, and its tree. Dots were measured.",
    )
    for number, one in enumerate(models):
        own = [s for s in found if (s.op, s.dtype) == (one.op, one.dtype)]
        _operator(page, one, own, unfolded=bool(op) or number == 0)
    if op is None:
        page.section("What the runtime adds")
        page.folded("In words", explain_runtime(chosen))
    page.footer(
        f"Made by edgetime {__version__}. A sentence stands here only if the model's own predictions confirm it."
    )
    return page


def _operator(page: Page, model: OperatorModel, found: Sequence[Finding], unfolded: bool) -> None:
    from profiler.operators import operator
    from timemodel.explain import dependences, drawing
    from timemodel.staircases import staircases

    error = model.error
    page.open(
        f"{model.op} {model.dtype}: {error.probes:,} layers measured, {units.percent(error.median_error)} off",
        unfolded,
    )
    if found:
        page.points([_point(s, named=False) for s in found])
    width = operator(model.op).width_name
    steps = [charts.staircase(one, "time over width", width, interval=True) for one in staircases(model)]
    if steps:
        page.figures(steps)
    lines = [charts.dependence(one) for one in dependences(model)]
    if lines:
        page.heading("What each size does, all else equal")
        page.figures(lines, small=True)
    page.heading(f"Tree of {error.leaves} {'leaves' if error.leaves > 1 else 'leaf'}")
    page.tree(drawing(model))
    page.close()


def add_errors(page: Page, models: Sequence[OperatorModel]) -> None:
    """Add a table of how far each operator's model is off, which opens with a click."""
    page.table(
        ["operator", "number type", "measured layers", "leaves", "median error", "90% are within", "interval"],
        [
            [
                one.op, one.dtype, f"{one.error.probes:,}", str(one.error.leaves), units.percent(one.error.median_error),
                units.percent(one.error.p90_error), f"{100 * (one.low - 1):+.0f}% to {100 * (one.high - 1):+.0f}%",
            ]
            for one in models
        ],
        folded="Error of every operator",
    )  # fmt: skip


def _point(finding: Finding, named: bool) -> tuple[str, str, str]:
    name = f"{finding.op} {finding.dtype}: " if named else ""
    seen = "" if finding.measured is None else f"; measured on one layer: {finding.measured:.2f} times"
    return finding.kind, name + finding.text, f"{finding.evidence.text}{seen}"


def usual_first() -> Callable[[tuple[str, str]], tuple[int, int, str]]:
    """A key to sort (operator, dtype) by: operators that have a width come first, in the usual number types."""
    from profiler.operators import operators

    ops = [entry.name for entry in operators() if entry.output_width]
    places = {name: place for names in (ops, FIRST_DTYPES) for place, name in enumerate(names)}
    return lambda key: (places.get(key[0], len(ops)), places.get(key[1], len(FIRST_DTYPES)), key[0])
