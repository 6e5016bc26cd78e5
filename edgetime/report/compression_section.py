"""The report's part on compressions: before and after, side by side with the baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgetime import layer_rows, units
from edgetime.report import charts, compression_charts
from edgetime.report.page import Page

METHODS = {"uniform": "cut evenly (one width multiplier)", "optuna": "compressed"}
"""What results are called, by the method that made them."""

Result = Mapping[str, Any]
"""The content of a ``result.json`` of `edgetime compress`."""


def is_result(value: Any) -> bool:
    """Whether `value` is the content of a ``result.json`` that can be shown."""
    keys = {"method", "before", "after", "score_name", "device", "widths"}
    return isinstance(value, dict) and keys <= set(value)


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
    energy = any(point["energy_mj"] is not None for point in result["points"])
    columns = ["network", "measured", "predicted", "validation", "test", "file", "peak memory"]
    rows = []
    for point in result["points"]:
        cells = [
            point["keras"],
            units.ms(point["measured_ms"]),
            units.ms(point["predicted_ms"]),
            _score(result, point["validation_score"]),
            _score(result, point["score"]),
            units.size(point["size_bytes"]),
            units.size(point["peak_memory_bytes"]),
        ]
        cells += (
            [f"{point['energy_mj']:.3g} mJ"] if energy and point["energy_mj"] is not None else [""] * energy
        )
        state = "on the front" if point["on_front"] else "beaten by others"
        rows.append([*cells, f"chosen, {state}" if point["chosen"] else state])
    strong = next((i for i, point in enumerate(result["points"]) if point["chosen"]), None)
    page.table([*columns, *(["energy"] if energy else []), ""], rows, strong=strong)


def _layer_table(page: Page, result: Result) -> None:
    measured = any(compression_charts.measured_saving(row) is not None for row in result["layers"])
    columns = [
        "layer",
        "channels",
        "before",
        "after",
        "gives back",
        *(["measured"] if measured else []),
        "why",
    ]
    rows = []
    short = layer_rows.short_names(result["layers"])
    for row in layer_rows.gathered(result["layers"]):
        if not row["op"] and not row["before_ms"] and not row["saved_ms"]:
            continue
        more = [units.ms(compression_charts.measured_saving(row))] if measured else []
        backed = f" ({row['evidence']})" if row["evidence"] else ""
        rows.append(
            [
                _layer_name(row, short),
                _channels(row),
                units.ms(row["before_ms"]),
                units.ms(row["after_ms"]),
                units.ms(row["saved_ms"]),
                *more,
                row["reason"] + backed,
            ]
        )
    sums = [sum(row[key] for row in result["layers"]) for key in ("before_ms", "after_ms", "saved_ms")]
    rows.append(["in all", "", *map(units.ms, sums), *([""] if measured else []), ""])
    page.table(columns, rows, strong=len(rows) - 1)


def _layer_name(row: layer_rows.Row, short: Mapping[str, str]) -> str:
    op = f" ({row['op']})" if row["op"] else ""
    return short[row["name"]] + op + layer_rows.times(row)


def _channels(row: Mapping[str, Any]) -> str:
    known = [str(row[key]) for key in ("channels_before", "channels_after") if row[key] is not None]
    return " → ".join(dict.fromkeys(known))


def _score(result: Result, value: float) -> str:
    return units.percent(value, 2) if result["score_name"] == "accuracy" else f"{value:.4g}"


def _row(name: str, result: Result, facts: Mapping[str, Any]) -> list[str]:
    score, spread = facts["mean_score"], facts.get("score_spread")
    share = result["score_name"] == "accuracy"
    text = f"{100 * score:.2f}%" if share else f"{score:.4g}"
    if spread is not None:
        text += f" ± {100 * spread:.2f}" if share else f" ± {spread:.2g}"
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


def _width_chart(result: Result) -> dict[str, Any]:
    """Widths of all layers before and after."""
    widths = [row for row in result["widths"] if row["group"]]
    names = [row["layer"] for row in widths]
    return {
        "title": "Widths",
        "caption": "Channels of each layer (and heads and widths inside attention), before and after.",
        "x_title": "",
        "y_title": "channels",
        "log": False,
        "series": [
            {"name": name, "x": names, "y": [row[key] for row in widths], "kind": "bars", "color": color}
            for name, key, color in (("before", "before", "points"), ("after", "after", "model"))
        ],
    }
