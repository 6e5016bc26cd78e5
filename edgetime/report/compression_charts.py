"""Plots of one compression: the front of accuracy against time, and what each layer gave back."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from edgetime import layer_rows, units
from profiler.tradeoff import pareto_front

Result = Mapping[str, Any]
"""The content of a ``result.json`` of `edgetime compress`."""

MOST_LAYERS = 24
"""Bars: of more layers those that gave back most."""

_Z = 1.96
_ROW_PX, _FRAME_PX = 26, 90


def has_front(result: Result) -> bool:
    """Whether a result has more than one point to show."""
    return len(result.get("points") or ()) > 1


def front(result: Result) -> dict[str, Any]:
    """Accuracy on the validation rows against measured (else predicted) time, with what else was tried in grey."""
    points, share = list(result["points"]), result["score_name"] == "accuracy"
    marks = sorted((p for p in points if p["on_front"]), key=_time)
    beaten = [p for p in points if not p["on_front"] and not p["chosen"]]
    chosen = [p for p in points if p["chosen"]]
    others = [p for p in marks if not p["chosen"]]
    originals = _originals(result)
    joined = marks + [p for p in originals if p["on_front"]]
    series = [
        _tried(result, share),
        _line(sorted(joined, key=_time), share),
        _marks("on the front", others, result, "model", "circle", 11),
        _marks("beaten by others", beaten, result, "model", "circle-open", 11),
        _marks("chosen", chosen, result, "good", "star", 16),
        *(
            _marks(p["name"], [p], result, "third", symbol, 12)
            for p, symbol in zip(originals, ("square", "diamond"), strict=False)
        ),
    ]
    shown = [end for p in (*points, *originals) for end in _ends(p, result)]
    span = max(shown) - min(shown)
    room = max(0.2 if share else 0.05 * abs(max(shown)), 0.1 * span)
    top = max(shown) + room
    measured = any(p["measured_ms"] is not None for p in points)
    bars = "bars reach to the 90th percentile" if measured else "bars are 90% intervals"
    return {
        "title": f"{result['score_name'].capitalize()} against time",
        "caption": f"On validation rows. Up and to the left is better; across, {bars}"
        + (", upright 95% intervals." if share and result.get("validation_rows") else "."),
        "x_title": f"{'measured' if measured else 'predicted'}, ms",
        "y_title": f"{result['score_name']}, %" if share else result["score_name"],
        "log": False,
        "y_range": [min(shown) - room, min(top, 100.4) if share else top],
        "series": [one for one in series if one["x"]],
    }


def given_back(result: Result) -> dict[str, Any]:
    """Bars of the time that each layer gave back, predicted and where it is known measured."""
    rows = layer_rows.gathered(row for row in result["layers"] if row["op"])
    top = sorted(rows, key=lambda row: -abs(row["saved_ms"]))[:MOST_LAYERS]
    shown = [row for row in rows if row in top]
    short = layer_rows.short_names(rows)
    names = _distinct([short[row["name"]] + layer_rows.times(row) for row in shown])
    series = [
        {
            "name": "predicted",
            "x": [row["saved_ms"] for row in shown],
            "y": names,
            "kind": "hbars",
            "color": "model",
            "text": [f"{units.ms(row['saved_ms'])} less: {row['reason']}" for row in shown],
        }
    ]
    measured = [row for row in shown if measured_saving(row) is not None]
    if measured:
        by_row = [measured_saving(row) for row in shown]
        series.append(
            {
                "name": "measured",
                "x": [0.0 if value is None else value for value in by_row],
                "y": names,
                "kind": "hbars",
                "color": "points",
                "text": [f"measured {units.ms(value)} less" for value in by_row],
            }
        )
    return {
        "title": "Time that each layer gave back",
        "caption": f"The {len(shown)} layers that gave back most." if len(shown) < len(rows) else "",
        "x_title": "ms",
        "y_title": "",
        "log": False,
        "height": _FRAME_PX + _ROW_PX * len(shown),
        "series": series,
    }


def measured_saving(row: Mapping[str, Any]) -> float | None:
    """Measured time before less after of a layer; None where it is not known."""
    before, after = row.get("measured_before_ms"), row.get("measured_after_ms")
    return None if before is None or after is None else float(before) - float(after)


def interval(share: float, rows: int) -> tuple[float, float]:
    """Between which shares the true one lies with 95%, where `share` of `rows` was seen (Wilson, 1927)."""
    z = _Z * _Z / rows
    middle = (share + z / 2) / (1 + z)
    half = _Z * math.sqrt(share * (1 - share) / rows + z / (4 * rows)) / (1 + z)
    return max(0.0, middle - half), min(1.0, middle + half)


def _time(point: Mapping[str, Any]) -> float:
    measured = point["measured_ms"]
    return float(point["predicted_ms"] if measured is None else measured)


def _height(point: Mapping[str, Any], share: bool) -> float:
    return float(point["validation_score"]) * (100 if share else 1)


def _ends(point: Mapping[str, Any], result: Result) -> list[float]:
    """From where to where a point reaches, with the interval of its score."""
    share, rows = result["score_name"] == "accuracy", int(result.get("validation_rows") or 0)
    middle = _height(point, share)
    if not share or not rows:
        return [middle]
    return [middle, *(100 * end for end in interval(point["validation_score"], rows))]


def _originals(result: Result) -> list[dict[str, Any]]:
    """The original and the quantised original, as points."""
    found = []
    for name, key in (("original", "before"), (f"original, {result['quantize']}", "quantized")):
        facts = result.get(key)
        if facts and facts["validation_score"] is not None:
            found.append(
                {**facts, "name": name, "score": facts["mean_score"], "size_bytes": facts["file_bytes"]}
            )
    everything = [*found, *result["points"]]
    marks = pareto_front([_time(p) for p in everything], [p["validation_score"] for p in everything])
    for one, mark in zip(found, marks, strict=False):
        one["on_front"] = mark
    return found


def _tried(result: Result, share: bool) -> dict[str, Any]:
    tried = [t for t in result["trials"] if t["score"] is not None]
    return {
        "name": "tried: short fine-tuning, predicted time",
        "x": [t["predicted_ms"] for t in tried],
        "y": [t["score"] * (100 if share else 1) for t in tried],
        "kind": "points",
        "color": "points",
        "size": 6,
        "text": [
            f"tried: {units.ms(t['predicted_ms'])} predicted, {_score(t['score'], share)}" for t in tried
        ],
    }


def _line(points: Sequence[Mapping[str, Any]], share: bool) -> dict[str, Any]:
    return {
        "name": "front",
        "x": [_time(p) for p in points],
        "y": [_height(p, share) for p in points],
        "kind": "line",
        "color": "model",
        "dash": "dot",
        "width": 1.5,
        "quiet": True,
    }


def _marks(
    name: str, points: Sequence[Mapping[str, Any]], result: Result, color: str, symbol: str, size: int
) -> dict[str, Any]:
    share, rows = result["score_name"] == "accuracy", int(result.get("validation_rows") or 0)
    series = {
        "name": name,
        "x": [_time(p) for p in points],
        "y": [_height(p, share) for p in points],
        "kind": "points",
        "color": color,
        "symbol": symbol,
        "size": size,
        "text": [_text(name, p, share) for p in points],
        "error_x": _across(points),
    }
    if share and rows:
        ends = [_ends(p, result) for p in points]
        series["error_y"] = {
            "plus": [high - middle for middle, _, high in ends],
            "minus": [middle - low for middle, low, _ in ends],
        }
    return series


def _across(points: Sequence[Mapping[str, Any]]) -> dict[str, list[float]]:
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


def _text(name: str, point: Mapping[str, Any], share: bool) -> str:
    measured = point["measured_ms"]
    times = f"{units.ms(point['predicted_ms'])} predicted"
    if measured is not None:
        times = f"{units.ms(measured)} measured, {times}"
    return (
        f"{name}: {times}; {_score(point['validation_score'], share)} on validation, "
        f"{_score(point['score'], share)} on test rows; {units.size(point['size_bytes'])}"
    )


def _score(value: float, share: bool) -> str:
    return units.percent(value, 2) if share else f"{value:.4g}"


def _distinct(names: Sequence[str]) -> list[str]:
    """Names with a number behind those that occur again, since bars of one name would lie on each other."""
    seen: dict[str, int] = {}
    found = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        found.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return found
