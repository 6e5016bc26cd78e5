"""Plots as plain values: what `edgetime.report.page` draws with plotly.js.

A chart is a dict with ``title``, ``caption``, ``x_title``, ``y_title``, ``log`` (both axes) and ``series``; a
series has ``name``, ``x``, ``y``, ``kind`` (``points``, ``line``, ``steps``, ``bars``, or ``band`` from ``low`` to ``y``),
``color`` (a name in the
page's style) and may have ``text`` (one per point), ``dash``, ``width``, ``size`` and ``quiet`` (not in the
legend); ``hbars`` are bars that lie, with names in ``y``. Points may have a ``symbol`` of plotly's, ``error_x`` and
``error_y`` (``plus`` and ``minus``, each one per point). The height starts at 0 unless ``y_range`` says otherwise; a chart
may have a ``height`` in pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from edgetime import units

if TYPE_CHECKING:
    from timemodel.explain import Dependence
    from timemodel.staircases import Staircase


def staircase(steps: Staircase, title: str, x_title: str, interval: bool = False) -> dict[str, Any]:
    """Measured points and the model's line; with `interval` also between which times 90% of layers lie."""
    band = {
        "name": "90% interval",
        "x": _numbers(steps.line_widths),
        "y": _numbers(steps.high_ms),
        "low": _numbers(steps.low_ms),
        "kind": "band",
        "color": "model",
    }
    line = {
        "name": "model",
        "x": _numbers(steps.line_widths),
        "y": _numbers(steps.predicted_ms),
        "kind": "line",
        "color": "model",
    }
    points = {
        "name": "measured",
        "x": _numbers(steps.widths),
        "y": _numbers(steps.measured_ms),
        "kind": "points",
        "color": "points",
        "text": [f"{x:g}: {units.ms(y)}" for x, y in zip(steps.widths, steps.measured_ms, strict=True)],
    }
    return {
        "title": title,
        "caption": steps.layer,
        "x_title": x_title,
        "y_title": "ms",
        "log": False,
        "series": [*([band] if interval else []), line, points],
    }


def dependence(found: Dependence) -> dict[str, Any]:
    """What one size does to the time of ordinary layers, relative to a usual value."""
    words = found.axis.replace("_", " ")
    text = [f"{words} {value}: {y:.2f} times" for value, y in zip(found.values, found.middle, strict=True)]
    chart = {
        "title": words,
        "caption": f"{words} {found.usual} is 1; median and range of {found.layers} ordinary layers",
        "x_title": words,
        "y_title": "times",
        "log": False,
    }
    if all(isinstance(value, int) for value in found.values) and len(found.values) > _FEW:
        x = _numbers(found.values)
        band = {"name": "range", "x": x, "y": list(found.high), "low": list(found.low), "kind": "band"}
        line = {"name": "median", "x": x, "y": list(found.middle), "kind": "line", "text": text}
        series = [{**one, "color": "model", "quiet": True} for one in (band, line)]
    else:
        names = [str(value) for value in found.values]
        series = [
            {
                "name": "median",
                "x": names,
                "y": list(found.middle),
                "kind": "bars",
                "color": "model",
                "text": text,
            }
        ]
    return {**chart, "series": series}


_FEW = 6
"""Of so few values each gets a bar."""


def predicted_against_measured(
    points: Sequence[Mapping[str, Any]], title: str, caption: str
) -> dict[str, Any]:
    """Points with ``name``, ``predicted_ms`` and ``measured_ms``, the line of equals and the band of 10%."""
    shown = [p for p in points if (p.get("measured_ms") or 0) > 0 and p["predicted_ms"] > 0]
    values = [float(v) for p in shown for v in (p["measured_ms"], p["predicted_ms"])] or [1.0]
    ends = [min(values) / 1.5, max(values) * 1.5]
    lines = [("equal", 1.0, "solid", False), ("±10%", 1.1, "dot", False), ("-10%", 0.9, "dot", True)]
    series: list[dict[str, Any]] = [
        {
            "name": name,
            "x": ends,
            "y": [factor * end for end in ends],
            "kind": "line",
            "color": "line" if factor == 1 else "points",
            "dash": dash,
            "width": 1.5,
            "quiet": quiet,
        }
        for name, factor, dash, quiet in lines
    ]
    series.append(
        {
            "name": "predicted",
            "x": [float(p["measured_ms"]) for p in shown],
            "y": [float(p["predicted_ms"]) for p in shown],
            "kind": "points",
            "color": "model",
            "size": 8,
            "text": [_point_text(p) for p in shown],
        }
    )
    return {
        "title": title,
        "caption": caption,
        "x_title": "measured, ms",
        "y_title": "predicted, ms",
        "log": True,
        "series": series,
    }


def trade_off(groups: Mapping[str, Sequence[Mapping[str, Any]]], title: str, caption: str) -> dict[str, Any]:
    """Accuracy over time; a group is a series of points with ``name``, ``ms`` and ``accuracy`` (a share)."""
    colors = ["points", "third", "model", "good"]
    accuracies = [100 * float(p["accuracy"]) for points in groups.values() for p in points]
    series = [
        {
            "name": group,
            "x": [float(p["ms"]) for p in points],
            "y": [100 * float(p["accuracy"]) for p in points],
            "kind": "points",
            "color": colors[index % len(colors)],
            "size": 10,
            "text": [f"{p['name']}: {units.ms(p['ms'])}, {100 * p['accuracy']:.1f}%" for p in points],
        }
        for index, (group, points) in enumerate(groups.items())
    ]
    return {
        "title": title,
        "caption": caption,
        "x_title": "ms",
        "y_title": "accuracy, %",
        "log": False,
        # At least two points high, so that differences of a few rows look as small as they are.
        "y_range": [min(accuracies) - 1, min(max(accuracies) + 1, 100.5)],
        "series": series,
    }


def _point_text(point: Mapping[str, Any]) -> str:
    predicted, measured = float(point["predicted_ms"]), float(point["measured_ms"])
    return (
        f"{point['name']}: predicted {units.ms(predicted)}, measured {units.ms(measured)} "
        f"({units.difference(predicted, measured)})"
    )


def _numbers(values: Sequence[Any]) -> list[float]:
    return [float(value) for value in values]
