"""Plots as plain values: what ``page.html`` draws with plotly.js. `chart` and `series` say what they hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from edgetime import units

if TYPE_CHECKING:
    from timemodel.explain import Dependence
    from timemodel.staircases import Staircase

Chart = dict[str, Any]
Series = dict[str, Any]

_FEW = 6
"""Of so few values each gets a bar."""


def chart(
    title: str, caption: str, x_title: str, y_title: str, series: Sequence[Series], **more: Any
) -> Chart:
    """A plot; `more`: ``log`` (both axes), ``y_range`` (else the height starts at 0), ``height`` in pixels."""
    return {
        "title": title,
        "caption": caption,
        "x_title": x_title,
        "y_title": y_title,
        "log": False,
        "series": list(series),
        **more,
    }


def series(name: str, kind: str, x: Sequence[Any], y: Sequence[Any], color: str, **more: Any) -> Series:
    """One of a chart's series: ``points``, ``line``, ``steps``, ``bars``, ``hbars``, or ``band`` from ``low`` to `y`.

    `color` is a name in the page's style. `more`: ``text`` (one per point), ``dash``, ``width``, ``size``, ``quiet`` (not in the
    legend), plotly's ``symbol``, ``error_x`` and ``error_y`` (``plus`` and ``minus``, each one per point).
    """
    return {"name": name, "kind": kind, "x": x, "y": y, "color": color, **more}


def staircase(steps: Staircase, title: str, x_title: str, interval: bool = False) -> Chart:
    """Measured points and the model's line; with `interval` also between which times 90% of layers lie."""
    widths, low, high = map(_numbers, (steps.line_widths, steps.low_ms, steps.high_ms))
    text = [f"{x:g}: {units.ms(y)}" for x, y in zip(steps.widths, steps.measured_ms, strict=True)]
    shown = [series("90% interval", "band", widths, high, "model", low=low)] if interval else []
    shown.append(series("model", "line", widths, _numbers(steps.predicted_ms), "model"))
    measured = _numbers(steps.measured_ms)
    shown.append(series("measured", "points", _numbers(steps.widths), measured, "points", text=text))
    return chart(title, steps.layer, x_title, "ms", shown)


def dependence(found: Dependence) -> Chart:
    """What one size does to the time of ordinary layers, relative to a usual value."""
    words = found.axis.replace("_", " ")
    text = [f"{words} {value}: {y:.2f} times" for value, y in zip(found.values, found.middle, strict=True)]
    middle = list(found.middle)
    if all(isinstance(value, int) for value in found.values) and len(found.values) > _FEW:
        x = _numbers(found.values)
        shown = [
            series("range", "band", x, list(found.high), "model", low=list(found.low), quiet=True),
            series("median", "line", x, middle, "model", text=text, quiet=True),
        ]
    else:
        shown = [series("median", "bars", [str(value) for value in found.values], middle, "model", text=text)]
    caption = f"{words} {found.usual} is 1; median and range of {found.layers} ordinary layers"
    return chart(words, caption, words, "times", shown)


def predicted_against_measured(points: Sequence[Mapping[str, Any]], title: str, caption: str) -> Chart:
    """Points with ``name``, ``predicted_ms`` and ``measured_ms``, the line of equals and the band of 10%."""
    known = [p for p in points if (p.get("measured_ms") or 0) > 0 and (p["predicted_ms"] or 0) > 0]
    x = [float(p["measured_ms"]) for p in known]
    y = [float(p["predicted_ms"]) for p in known]
    values = x + y or [1.0]
    ends = [min(values) / 1.5, max(values) * 1.5]

    def line(name: str, factor: float, color: str, dash: str, quiet: bool) -> Series:
        times = [factor * end for end in ends]
        return series(name, "line", ends, times, color, dash=dash, width=1.5, quiet=quiet)

    shown = [
        line("equal", 1.0, "line", "solid", False),
        line("±10%", 1.1, "points", "dot", False),
        line("-10%", 0.9, "points", "dot", True),
        series("predicted", "points", x, y, "model", size=8, text=[_point_text(p) for p in known]),
    ]
    return chart(title, caption, "measured, ms", "predicted, ms", shown, log=True)


def trade_off(groups: Mapping[str, Sequence[Mapping[str, Any]]], title: str, caption: str) -> Chart:
    """Accuracy over time; a group is a series of points with ``name``, ``ms`` and ``accuracy`` (a share)."""
    colors = ["points", "third", "model", "good"]
    percents = [100 * float(p["accuracy"]) for points in groups.values() for p in points]
    shown = []
    for index, (group, points) in enumerate(groups.items()):
        x = [float(p["ms"]) for p in points]
        y = [100 * float(p["accuracy"]) for p in points]
        text = [f"{p['name']}: {units.ms(p['ms'])}, {100 * p['accuracy']:.1f}%" for p in points]
        shown.append(series(group, "points", x, y, colors[index % len(colors)], size=10, text=text))
    # At least two points high, so that differences of a few rows look as small as they are.
    y_range = [min(percents) - 1, min(max(percents) + 1, 100.5)]
    return chart(title, caption, "ms", "accuracy, %", shown, y_range=y_range)


def distinct(names: Sequence[str]) -> list[str]:
    """Names with a number behind those that occur again, since bars of one name would lie on each other."""
    seen: dict[str, int] = {}
    found = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        found.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return found


def _point_text(point: Mapping[str, Any]) -> str:
    predicted, measured = float(point["predicted_ms"]), float(point["measured_ms"])
    return (
        f"{point['name']}: predicted {units.ms(predicted)}, measured {units.ms(measured)} "
        f"({units.difference(predicted, measured)})"
    )


def _numbers(values: Sequence[Any]) -> list[float]:
    return [float(value) for value in values]
