"""``report.html``: what a folder of results says, on one page."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgetime import __version__, units
from edgetime.report import charts, compression, selection
from edgetime.report.explanation import add_errors, usual_first
from edgetime.report.outcome import headline
from edgetime.report.page import Page
from edgetime.report.reading import Found, collect
from profiler.errors import UsageError
from profiler.files import write_text

if TYPE_CHECKING:
    from timemodel import TimeModel

MOST_STAIRCASES = 12
MOST_COMPARISONS = 5
"""Plots of predicted against measured times: of whole networks, then of the layers of each."""

ODD_VALUES = (ValueError, TypeError, AttributeError, LookupError, ArithmeticError)
"""What values of the right type that make no sense together end in, such as a time of 0 that is divided by."""

LEAST_MS = 0.001
"""The runtime's profiler counts whole microseconds."""


def write_report(
    folder: str | os.PathLike[str], output: str | os.PathLike[str], title: str = ""
) -> list[str]:
    """Write the page for `folder` to `output`; returns what it shows, in a few words each.

    Raises
    ------
    UsageError
        There is no such folder, or nothing in it to show.
    """
    place = Path(folder)
    found = collect(place)
    page = page_of(found, title or f"edgetime: {place.resolve().name}")
    shown = found.names()
    if not shown and not found.odd:
        wrong = f" ({'; '.join(found.unreadable)})" if found.unreadable else ""
        raise UsageError(
            f"{place} holds nothing to report{wrong}: put time models (.timemodel.json), predictions (.jsonl, "
            "from 'predict --json'), advice (advice.json), selections (selection.json, from "
            "'select --json') or a compression's folder there."
        )
    write_text(output, page.render())
    return shown or ["nothing, for values in its files are odd: the page says which"]


def page_of(found: Found, title: str) -> Page:
    """Put the page together; a section whose values cannot be shown is left out, and the page says so."""
    page = Page(title)
    found.selections = _sound(found.selections, "a selection for", "device", selection.add_to, found)
    found.results = _sound(found.results, "the compression in", "folder", _compressions, found)
    found.advice = _sound(found.advice, "advice on", "network", _advices, found)
    found.predictions = _sound(found.predictions, "the prediction of", "network", _predicted, found)
    for model in found.models:
        _device_card(page, model)
    selection.add_to(page, found.selections)
    _compressions(page, found.results)
    for model in found.models:
        _staircases(page, model)
    _advices(page, found.advice)
    _predicted(page, found.predictions)
    for model in found.models:
        _rules(page, model)
    for reason in (*found.odd, *found.unreadable):
        page.text(f"Left out: {reason}", soft=True)
    page.footer(f"Made by edgetime {__version__}. All times are of the device named above.")
    return page


def _sound(
    values: Sequence[dict[str, Any]],
    what: str,
    key: str,
    add: Callable[[Page, Sequence[dict[str, Any]]], None],
    found: Found,
) -> list[dict[str, Any]]:
    """Those of `values` that `add` can show; of the others `found` keeps why not."""
    sound = []
    for value in values:
        try:
            add(Page(""), [value])
        except ODD_VALUES as error:
            found.odd.append(
                f"{what} {value.get(key)}, a value of which is odd ({type(error).__name__}: {error})"
            )
        else:
            sound.append(value)
    return sound


def _compressions(page: Page, results: Sequence[dict[str, Any]]) -> None:
    if results:
        page.tiles(headline(results))
        compression.add_to(page, results)


def _advices(page: Page, advice: Sequence[dict[str, Any]]) -> None:
    for one in advice:
        _advised(page, one)


def _device_card(page: Page, model: TimeModel) -> None:
    """The device, its settings, and how calm it was when each was profiled: share, other states, probes met in calm."""
    page.text("; ".join([model.device, *model.settings]), soft=True)
    for key, setting in model.settings.items():
        conditions = setting.conditions
        if conditions is not None:
            name = f"{key}: " if len(model.settings) > 1 else ""
            page.text(name + conditions.in_words(), soft=True)
            warning = conditions.warning("'edgetime profile'")
            if warning:
                page.text(name + warning)


def _slower_precisions(predictions: Sequence[Mapping[str, Any]]) -> list[str]:
    """Advice where a network stands beside itself in another precision (``NAME, int8``) and is slower in that."""
    from compressor.export import keep_float32

    measured = {str(p["network"]): p["measured_ms"] for p in predictions if p.get("measured_ms")}
    found = []
    for name, time_ms in measured.items():
        base, _, quantize = name.rpartition(", ")
        if base in measured:
            advice = keep_float32(quantize, time_ms, measured[base])
            found += [f"{base[0].upper()}{base[1:]}: {advice[0].lower()}{advice[1:]}"] if advice else []
    return found


def _staircases(page: Page, model: TimeModel) -> None:
    """One staircase of each operator that has measured widths, the usual ones first."""
    from profiler.operators import operator
    from timemodel.staircases import staircases

    figures = []
    for name, dtype in sorted(model.operators(), key=usual_first()):
        for steps in staircases(model.setting().operators[name, dtype])[:1]:
            figures.append(charts.staircase(steps, f"{name} {dtype}", operator(name).width_name))
    if figures:
        page.section(
            "Staircases",
            "How a layer's time depends on one width, all else equal. Dots were measured, the line is the model.",
        )
        page.figures(figures[:MOST_STAIRCASES])


def _rules(page: Page, model: TimeModel) -> None:
    from timemodel.explain import explain

    page.section("What the time model has learned")
    setting = model.setting()
    add_errors(page, [setting.operators[key] for key in model.operators()])
    page.text("Errors are of layers that the model did not learn from (cross-validation).", soft=True)
    page.folded("The rules in words", "\n\n".join(explain(setting)))


def _advised(page: Page, advice: Mapping[str, Any]) -> None:
    """Widths that cost less or no more, per group of layers that change together."""

    def options(found: Sequence[Mapping[str, Any]]) -> str:
        return ", ".join(f"{o['width']} ({units.percent(-o['saving_share'])})" for o in found[:3]) or "-"

    least = "at least " if advice.get("at_least") else ""
    page.section(
        f"Widths that this device likes: {advice['network']}",
        f"Predicted {least}{units.ms(advice['predicted_ms'])}. In brackets: what the whole network would take more or less.",
    )
    rows = [
        [g["name"].split(";")[0], str(g["width"]), options(g["wider"]), options(g["narrower"]), g["fixed"]]
        for g in advice["groups"]
    ]
    page.table(["first layer", "channels", "no slower", "faster", "why not"], rows)


def _predicted(page: Page, predictions: Sequence[Mapping[str, Any]]) -> None:
    if not predictions:
        return
    measured = [p for p in predictions if p.get("measured_ms")]
    page.section("Predicted against measured" if measured else "Predictions")
    rows = [
        [
            p["network"],
            p["dtype"],
            units.ms(p["predicted_ms"]),
            units.interval(p["low_ms"], p["high_ms"]),
            units.ms(p.get("measured_ms")),
            units.difference(p["predicted_ms"], p.get("measured_ms")),
            units.percent(p["coverage"]),
            units.mark(p),
        ]
        for p in predictions
    ]
    page.table(
        ["network", "number type", "predicted", "90% interval", "measured", "off", "coverage", ""],
        rows,
    )
    page.text(*_slower_precisions(predictions))
    figures = []
    if measured:
        points = [{**p, "name": p["network"]} for p in measured]
        caption = "Each point is a network that the model had not seen."
        figures.append(charts.predicted_against_measured(points, "Whole networks", caption))
    for p in measured:
        layers = [
            {**row, "name": f"{row['op']} {row['name'].split(';')[0]}".strip()}
            for row in p["layers"]
            if (row.get("measured_ms") or 0) >= LEAST_MS
        ]
        if layers:
            caption = f"The {len(layers)} layers of a microsecond or more."
            figures.append(charts.predicted_against_measured(layers, f"Layers of {p['network']}", caption))
    if figures:
        page.figures(figures[:MOST_COMPARISONS])
