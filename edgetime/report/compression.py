"""The report's part on compressions: before and after, side by side with the baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgetime import layer_rows, units
from edgetime.report.charts import Chart, Series, chart, distinct, series, trade_off
from edgetime.report.outcome import METHODS, Result, called, in_order, is_met, slower_precision, time_ms
from edgetime.report.page import Page
from profiler.tradeoff import pareto_front

Point = Mapping[str, Any]
"""One of its ``points``."""

MOST_LAYERS = 24
"""Bars: of more layers those that gave back most."""

_ROW_PX, _FRAME_PX = 26, 90

_SUMMED = ("before_ms", "after_ms", "saved_ms")


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
    points = [
        {"name": "original", "ms": last["before"]["measured_ms"], "accuracy": last["before"]["mean_score"]}
    ]
    for result in group:
        name = called(result)
        if result["quantize"] != "none" and result.get("quantized"):
            rows.append(_row(f"original, {result['quantized']['quantize']}", result, result["quantized"]))
        rows.append(_row(name, result, result["after"]))
        after = result["after"]
        points.append({"name": name, "ms": after["measured_ms"], "accuracy": after["mean_score"]})
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
        page.figures([trade_off(groups, "Accuracy over measured time", caption), _width_chart(last)])
    for result in group:
        if result.get("missed"):
            page.text(f"{called(result).capitalize()}. {result['missed']}.")
    for result in group:
        if result.get("effort"):
            several = f"{called(result)}: " if len(group) > 1 else ""
            page.text(f"Time: {several}{result['effort']['summary']}.", soft=True)
    for note in last.get("notes", ()):
        page.text(note, soft=True)
    for advice in dict.fromkeys(filter(None, map(slower_precision, group))):
        if advice not in last.get("notes", ()):
            page.text(advice, soft=True)
    for result in reversed(group):
        _add_details(page, result, METHODS.get(str(result["method"]), str(result["method"])), len(group) > 1)


def _add_details(page: Page, result: Result, name: str, several: bool) -> None:
    """The front and the layers of one result; of several all but the last are closed at first."""
    layers = [row for row in result.get("layers") or () if row["op"]]
    if not has_front(result) and not layers:
        return
    if several:
        page.open(f"Front and layers: {name}")
    if has_front(result):
        page.heading("Front")
        page.figures([front(result)])
        _front_table(page, result)
    if layers:
        page.heading("What the layers gave back, and why")
        page.figures([given_back(result)])
        _layer_table(page, result)
    if several:
        page.close()


def _front_table(page: Page, result: Result) -> None:
    points = result["points"]
    energy = any(point["energy_mj"] is not None for point in points)
    chosen = "chosen" if is_met(result) else "closest"
    columns = [
        "network",
        "",
        "measured",
        "predicted",
        "validation",
        "test",
        f"{'points ' * (result['score_name'] == 'accuracy')}lost ({result.get('losses_on')} rows)",
        "file",
        "peak memory",
    ]
    rows = []
    for point in points:
        state = "on the front" if point["on_front"] else "beaten by others"
        joules = "" if point["energy_mj"] is None else units.mj(point["energy_mj"])
        rows.append(
            [
                _short(point),
                f"{chosen}, {state}" if point["chosen"] else state,
                units.ms(point["measured_ms"]),
                units.ms(point["predicted_ms"]),
                units.score(point["validation_score"], result["score_name"]),
                units.score(point["score"], result["score_name"]),
                units.loss(point, result["score_name"]).removesuffix(" points"),
                units.size(point["size_bytes"]),
                units.size(point["peak_memory_bytes"]),
                *([joules] if energy else []),
            ]
        )
    strong = next((i for i, point in enumerate(points) if point["chosen"]), None)
    bounds = [(_short(p), p["lost_at_most"]) for p in points if p.get("lost_at_most") is not None]
    page.table([*columns, *(["energy"] if energy else [])], rows, strong=strong)
    for point in points:
        if point.get("changes"):
            page.text(f"{_short(point)}: {point['changes']}.")
    page.text(
        "What is lost is paired with the original's answers on the same rows, with its 95% interval.",
        soft=True,
    )
    if bounds:
        said = ", ".join(f"{name} {100 * max(most, 0.0):.2g} points" for name, most in bounds)
        page.text(
            f"With 95% confidence these lose no more on new data of the same kind, all at once: {said}.",
            soft=True,
        )
    page.text(
        "rebuild.py builds and trains each of them with Keras alone, from its .json file in points.",
        soft=True,
    )


def _short(point: Point) -> str:
    """The name of a point's files."""
    return str(point["keras"]).removesuffix(".keras")


def _layer_table(page: Page, result: Result) -> None:
    savings = [measured_saving(row) for row in result["layers"]]
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
                *(units.ms(measured_saving(row)) for _ in measured),
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


def _width_chart(result: Result) -> Chart:
    """Widths of all layers before and after."""
    rows = [row for row in result["widths"] if row["group"]]
    names = [row["layer"] for row in rows]
    return chart(
        "Widths",
        "Channels of each layer (and heads and widths inside attention), before and after.",
        "",
        "channels",
        [
            series(key, "bars", names, [row[key] for row in rows], color)
            for key, color in (("before", "points"), ("after", "model"))
        ],
    )


def has_front(result: Result) -> bool:
    """Whether a result has more than one point to show."""
    return len(result.get("points") or ()) > 1


def front(result: Result) -> Chart:
    """Accuracy on the validation rows against measured (else predicted) time, with what else was tried in grey."""
    points, share = list(result["points"]), result["score_name"] == "accuracy"
    originals = _originals(result)
    best = [p for p in points if p["on_front"]]
    joined = sorted([*best, *(p for p in originals if p["on_front"])], key=time_ms)
    line_x = [time_ms(p) for p in joined]
    line_y = [_height(p["validation_score"], result) for p in joined]
    shown = [
        _tried(result),
        series("front", "line", line_x, line_y, "model", dash="dot", width=1.5, quiet=True),
        _marks("on the front", [p for p in best if not p["chosen"]], result, "model", "circle", 11),
        _marks(
            "beaten by others",
            [p for p in points if not p["on_front"] and not p["chosen"]],
            result,
            "model",
            "circle-open",
            11,
        ),
        _marks("chosen", [p for p in points if p["chosen"]], result, "good", "star", 16),
        *(
            _marks(p["name"], [p], result, "third", symbol, 12)
            for p, symbol in zip(originals, ("square", "diamond"), strict=False)
        ),
    ]
    ends = [end for p in (*points, *originals) for end in _ends(p, result)]
    room = max(0.2 if share else 0.05 * abs(max(ends)), 0.1 * (max(ends) - min(ends)))
    top = max(ends) + room
    measured = any(p["measured_ms"] is not None for p in points)
    bars = "bars reach to the 90th percentile" if measured else "bars are 90% intervals"
    known = any(p.get("lost_low") is not None for p in points)
    rows = f"{result.get('losses_on')} rows"
    upright = (
        f", upright 95% intervals of what is lost against the original ({rows}, paired)." if known else "."
    )
    return chart(
        f"{result['score_name'].capitalize()} against time",
        f"On validation rows. Up and to the left is better; across, {bars}{upright}",
        f"{'measured' if measured else 'predicted'}, ms",
        f"{result['score_name']}, %" if share else result["score_name"],
        [one for one in shown if one["x"]],
        y_range=[min(ends) - room, min(top, 100.4) if share else top],
    )


def given_back(result: Result) -> Chart:
    """Bars of the time that each layer gave back, predicted and where it is known measured."""
    rows = layer_rows.merged(row for row in result["layers"] if row["op"])
    top = sorted(rows, key=lambda row: -abs(row["saved_ms"]))[:MOST_LAYERS]
    shown = [row for row in rows if row in top]
    short = layer_rows.short_names(rows)
    names = distinct([short[row["name"]] + layer_rows.count_suffix(row) for row in shown])
    saved = [row["saved_ms"] for row in shown]
    text = [f"{units.ms(row['saved_ms'])} less: {row['reason']}" for row in shown]
    bars = [series("predicted", "hbars", saved, names, "model", text=text)]
    measured = [measured_saving(row) for row in shown]
    if any(value is not None for value in measured):
        text = [f"measured {units.ms(value)} less" for value in measured]
        known = [0.0 if value is None else value for value in measured]
        bars.append(series("measured", "hbars", known, names, "points", text=text))
    return chart(
        "Time that each layer gave back",
        f"The {len(shown)} layers that gave back most." if len(shown) < len(rows) else "",
        "ms",
        "",
        bars,
        height=_FRAME_PX + _ROW_PX * len(shown),
    )


def measured_saving(row: Mapping[str, Any]) -> float | None:
    """Measured time before less after of a layer; None where it is not known."""
    before, after = row.get("measured_before_ms"), row.get("measured_after_ms")
    return None if before is None or after is None else float(before) - float(after)


def _height(score: float, result: Result) -> float:
    """A score as it is drawn: accuracy in percent."""
    return float(score) * (100 if result["score_name"] == "accuracy" else 1)


def _ends(point: Point, result: Result) -> list[float]:
    """The height of a point, and between which heights it lies against the original with 95%, where that is known."""
    middle = _height(point["validation_score"], result)
    low, high = point.get("lost_low"), point.get("lost_high")
    if low is None or high is None:
        return [middle]
    return [middle, *(middle + _height(point["lost"] - end, result) for end in (high, low))]


def _originals(result: Result) -> list[dict[str, Any]]:
    """The original and the quantised original, as points."""
    found = []
    precision = (result.get("quantized") or result)["quantize"]
    for name, key in (("original", "before"), (f"original, {precision}", "quantized")):
        facts = result.get(key)
        if facts and facts["validation_score"] is not None:
            found.append(
                {**facts, "name": name, "score": facts["mean_score"], "size_bytes": facts["file_bytes"]}
            )
    everything = [*found, *result["points"]]
    marks = pareto_front([time_ms(p) for p in everything], [p["validation_score"] for p in everything])
    for one, mark in zip(found, marks, strict=False):
        one["on_front"] = mark
    return found


def _tried(result: Result) -> Series:
    tried = [t for t in result["trials"] if t["score"] is not None]
    x, y = [t["predicted_ms"] for t in tried], [_height(t["score"], result) for t in tried]
    text = [
        f"tried: {units.ms(t['predicted_ms'])} predicted, {units.score(t['score'], result['score_name'])}"
        for t in tried
    ]
    return series("tried: short fine-tuning, predicted time", "points", x, y, "points", size=6, text=text)


def _marks(name: str, points: Sequence[Point], result: Result, color: str, symbol: str, size: int) -> Series:
    ends = [_ends(p, result) for p in points]
    more: dict[str, Any] = {}
    if all(len(one) == 3 for one in ends):
        more["error_y"] = {
            "plus": [high - middle for middle, _, high in ends],
            "minus": [middle - low for middle, low, _ in ends],
        }
    return series(
        name,
        "points",
        [time_ms(p) for p in points],
        [middle for middle, *_ in ends],
        color,
        symbol=symbol,
        size=size,
        text=[_text(name, p, result["score_name"]) for p in points],
        error_x=_across(points),
        **more,
    )


def _across(points: Sequence[Point]) -> dict[str, list[float]]:
    """Measured: up to the 90th percentile; else the interval of the prediction."""
    plus, minus = [], []
    for point in points:
        if point["measured_ms"] is not None:
            plus.append(max(0.0, (point["measured_p90_ms"] or point["measured_ms"]) - point["measured_ms"]))
            minus.append(0.0)
        else:
            plus.append(max(0.0, point["high_ms"] - point["predicted_ms"]))
            minus.append(max(0.0, point["predicted_ms"] - point["low_ms"]))
    return {"plus": plus, "minus": minus}


def _text(name: str, point: Point, score_name: str) -> str:
    measured = point["measured_ms"]
    times = f"{units.ms(point['predicted_ms'])} predicted"
    if measured is not None:
        times = f"{units.ms(measured)} measured, {times}"
    return (
        f"{name}: {times}; {units.score(point['validation_score'], score_name)} on validation, "
        f"{units.score(point['score'], score_name)} on test rows; {units.size(point['size_bytes'])}"
    )
