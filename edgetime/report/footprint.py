"""A page on footprints: time and energy by bits of the weights, on each accelerator."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from edgetime import __version__, units
from edgetime.report.charts import Chart, chart, series
from edgetime.report.page import Page
from profiler.files import write_text

Value = Mapping[str, Any]

PAPER = {"time_ms": -77, "energy_mj": -87}
"""Percent that the paper on LineCompress reports, at 7.4 times fewer bits, averaged over its networks."""

_WORDS = {"time_ms": "time", "energy_mj": "energy"}
_COLORS = ("model", "third", "good", "bad")


def write_footprint(values: Sequence[Value], output: str | os.PathLike[str]) -> None:
    """Write a page of what ``edgetime footprint --json`` prints."""
    page = Page("edgetime: footprint of weights")
    page.section(
        "Fewer bits for weights",
        "Change against the widest weights that the accelerator takes; the paper counts from 32 bits.",
    )
    page.figures([_chart(values, quantity) for quantity in _WORDS])
    for value in values:
        page.heading(value["target"])
        page.text("; ".join(_pays(value, quantity) for quantity in _WORDS) + ".")
        rows = [
            [
                one["name"],
                f"{one['bits_per_weight']:.2f}",
                f"{one['ratio']:.2f}",
                units.ms(one["time_ms"]),
                units.mj(one["energy_mj"]),
            ]
            for one in (*value["costs"], *value["sweep"])
        ]
        page.table(["weights as", "bits", "ratio", "time", "energy"], rows)
    page.footer(f"Made by edgetime {__version__}. All times and energies are simulated.")
    write_text(output, page.render())


def _pays(value: Value, quantity: str) -> str:
    ratio = value[f"{quantity.partition('_')[0]}_pays_from"]
    where = "at no footprint" if ratio is None else f"from {ratio:.2f} times fewer bits than float32 on"
    return f"In {_WORDS[quantity]} decoding pays against int8 {where}"


def _chart(values: Sequence[Value], quantity: str) -> Chart:
    shown = []
    for number, value in enumerate(values):
        color = _COLORS[number % len(_COLORS)]
        base = value["costs"][0][quantity]
        if base is None:
            continue
        line = [one for one in value["sweep"] if one[quantity] is not None]
        name = f"{value['target'].removeprefix('sim:')} (from {value['costs'][0]['name']})"
        shown.append(
            series(
                name,
                "line",
                [one["ratio"] for one in line],
                [100 * (one[quantity] / base - 1) for one in line],
                color,
            )
        )
        costs = [one for one in value["costs"] if one["name"] != "packed, decoding free"]
        shown.append(
            series(
                ", ".join(one["name"] for one in costs),
                "points",
                [one["ratio"] for one in costs],
                [100 * (one[quantity] / base - 1) for one in costs],
                color,
                text=[one["name"] for one in costs],
            )
        )
    shown.append(
        series("LineCompress as published", "points", [7.4], [PAPER[quantity]], "points", symbol="star")
    )
    title = f"{_WORDS[quantity].capitalize()} by footprint"
    return chart(
        title, "decoder counted", "times fewer bits than float32", "change in %", shown, y_range=[-100, 5]
    )
