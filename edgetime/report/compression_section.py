"""The report's part on compressions: before and after, side by side with the baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgetime import layer_rows, units
from edgetime.report import charts, compression_charts
from edgetime.report.compression_charts import Result
from edgetime.report.page import Page

METHODS = {"uniform": "cut evenly (one width multiplier)", "optuna": "compressed"}
"""What results are called, by the method that made them."""

_SUMMED = ("before_ms", "after_ms", "saved_ms")


def headline(results: Sequence[Result]) -> list[tuple[str, str]]:
    """The figures to remember, of the best result."""
    if not results:
        return []
    best = in_order(results)[-1]
    before, after = best["before"], best["after"]
    tiles = []
    if best.get("speedup_measured"):
        tiles.append((f"{best['speedup_measured']:.1f}x", "as fast, measured"))
    tiles.append((f"{before['predicted_ms'] / after['predicted_ms']:.1f}x", "as fast, predicted"))
    lost = before["score"] - after["mean_score"]
    if best["score_name"] == "accuracy":
        tiles.append((units.points(-100 * lost), f"accuracy, to {units.percent(after['mean_score'])}"))
    else:
        tiles.append((f"{-lost:+.3g}", f"{best['score_name']}, to {after['mean_score']:.4g}"))
    tiles.append((units.percent(after["file_bytes"] / before["file_bytes"], 0), "of the file size"))
    return tiles


def in_order(results: Sequence[Result]) -> list[Result]:
    """The baseline first."""
    return sorted(results, key=lambda result: result["method"] != "uniform")


def add_to(page: Page, results: Sequence[Result]) -> None:
    """Add the section on `results`, which may be of several original networks."""
    by_original: dict[tuple[Any, ...], list[Result]] = {}
    for result in in_order(results):
        before = result["before"]
        by_original.setdefault((before["parameters"], before["macs"], before["score"]), []).append(result)
    for group in by_original.values():
        _add_group(page, group)


def _add_group(page: Page, group: Sequence[Result]) -> None:
    last = group[-1]
    page.section("Before and after")
    rows = [_row("original", last, last["before"])]
    points = [_point("original", last["before"])]
    for result in group:
        name = METHODS.get(result["method"], f"compressed ({result['method']})")
        if result["quantize"] != "none" and result.get("quantized"):
            rows.append(_row(f"original, {result['quantize']}", result, result["quantized"]))
        rows.append(_row(name, result, result["after"]))
        points.append(_point(name, result["after"]))
    columns = ["", last["score_name"], "measured", "predicted", "parameters", "multiplications", "file"]
    page.table(columns, rows, strong=len(rows) - 1)
    seeds = f", mean of {last['seeds']} trainings and their standard deviation" if last["seeds"] > 1 else ""
    page.text(
        f"{last['score_name'].capitalize()} of the files as written, on {last['test_rows']} test rows{seeds}. "
        "Measured in turns, so that a machine whose speed drifts slows all alike.",
        soft=True,
    )
    if last["score_name"] == "accuracy" and all(point["ms"] for point in points):
        caption = "Up and to the left is better."
        groups = {point["name"]: [point] for point in points}
        page.figures([charts.trade_off(groups, "Accuracy over measured time", caption), _width_chart(last)])
    for note in last.get("notes", ()):
        page.text(note, soft=True)
    for result in reversed(group):
        _add_details(page, result, METHODS.get(str(result["method"]), str(result["method"])), len(group) > 1)


def _add_details(page: Page, result: Result, name: str, several: bool) -> None:
    """The front and the layers of one result; of several all but the last are closed at first."""
    layers = [row for row in result.get("layers") or () if row["op"]]
    if not compression_charts.has_front(result) and not layers:
        return
    if several:
        page.open(f"Front and layers: {name}")
    if compression_charts.has_front(result):
        page.heading("Front")
        page.figures([compression_charts.front(result)])
        _front_table(page, result)
    if layers:
        page.heading("What the layers gave back, and why")
        page.figures([compression_charts.given_back(result)])
        _layer_table(page, result)
    if several:
        page.close()


def _front_table(page: Page, result: Result) -> None:
    points = result["points"]
    energy = any(point["energy_mj"] is not None for point in points)
    columns = ["network", "measured", "predicted", "validation", "test", "file", "peak memory"]
    rows = []
    for point in points:
        state = "on the front" if point["on_front"] else "beaten by others"
        joules = "" if point["energy_mj"] is None else f"{point['energy_mj']:.3g} mJ"
        rows.append(
            [
                point["keras"],
                units.ms(point["measured_ms"]),
                units.ms(point["predicted_ms"]),
                units.score(point["validation_score"], result["score_name"]),
                units.score(point["score"], result["score_name"]),
                units.size(point["size_bytes"]),
                units.size(point["peak_memory_bytes"]),
                *([joules] if energy else []),
                f"chosen, {state}" if point["chosen"] else state,
            ]
        )
    strong = next((i for i, point in enumerate(points) if point["chosen"]), None)
    page.table([*columns, *(["energy"] if energy else []), ""], rows, strong=strong)


def _layer_table(page: Page, result: Result) -> None:
    savings = [compression_charts.measured_saving(row) for row in result["layers"]]
    measured = ["measured"] if any(saving is not None for saving in savings) else []
    columns = ["layer", "channels", "before", "after", "gives back", *measured, "why"]
    rows = []
    short = layer_rows.short_names(result["layers"])
    for row in layer_rows.merged(result["layers"]):
        if not row["op"] and not row["before_ms"] and not row["saved_ms"]:
            continue
        op = f" ({row['op']})" if row["op"] else ""
        backed = f" ({row['evidence']})" if row["evidence"] else ""
        rows.append(
            [
                short[row["name"]] + op + layer_rows.count_suffix(row),
                layer_rows.channels(row, "→"),
                *(units.ms(row[key]) for key in _SUMMED),
                *(units.ms(compression_charts.measured_saving(row)) for _ in measured),
                row["reason"] + backed,
            ]
        )
    sums = [units.ms(sum(row[key] for row in result["layers"])) for key in _SUMMED]
    rows.append(["in all", "", *sums, *("" for _ in measured), ""])
    page.table(columns, rows, strong=len(rows) - 1)


def _row(name: str, result: Result, facts: Mapping[str, Any]) -> list[str]:
    text, spread = units.score(facts["mean_score"], result["score_name"]), facts.get("score_spread")
    if spread is not None:
        text += f" ± {100 * spread:.2f}" if result["score_name"] == "accuracy" else f" ± {spread:.2g}"
    return [
        name,
        text,
        units.ms(facts["measured_ms"]),
        units.ms(facts["predicted_ms"]),
        f"{facts['parameters']:,}",
        units.count(facts["macs"]),
        units.size(facts["file_bytes"]),
    ]


def _point(name: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": name, "ms": facts["measured_ms"], "accuracy": facts["mean_score"]}


def _width_chart(result: Result) -> charts.Chart:
    """Widths of all layers before and after."""
    rows = [row for row in result["widths"] if row["group"]]
    names = [row["layer"] for row in rows]
    return charts.chart(
        "Widths",
        "Channels of each layer (and heads and widths inside attention), before and after.",
        "",
        "channels",
        [
            charts.series(key, "bars", names, [row[key] for row in rows], color)
            for key, color in (("before", "points"), ("after", "model"))
        ],
    )
