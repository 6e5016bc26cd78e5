"""How a compression looks in a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import RenderableType

from edgetime import layer_rows, units
from edgetime.terminal.console import table
from edgetime.terminal.views import short_name

if TYPE_CHECKING:
    from compressor.pipeline.result import CompressionResult, FrontPoint

TOP = 8
"""Layers that are shown: those that gave back most."""

_NAME = 16
_LEAST_SHARE = 0.005


def tables(result: CompressionResult) -> list[RenderableType]:
    """Before and after, the front, and what the layers gave back."""
    rows = result.rows()
    shown: list[RenderableType] = [table(list(rows[0]), [list(row.values()) for row in rows])]
    if len(result.points) > 1:
        shown += ["", points(result)]
    if any(row.op for row in result.layers):
        shown += ["", layers(result)]
    return shown


def points(result: CompressionResult) -> RenderableType:
    """All networks that were trained in full, fastest first."""
    measured = any(point.measured_ms is not None for point in result.points)
    columns = ["network", "measured" if measured else "predicted", "validation", "test", "file", ""]
    rows = [[point.keras, *_figures(result, point)] for point in result.points]
    before = result.before
    time_ms = before.predicted_ms if before.measured_ms is None else before.measured_ms
    judged = before.validation_score
    rows.append(
        [
            "original",
            units.ms(time_ms),
            "-" if judged is None else score(result, judged),
            score(result, before.score),
            units.size(before.file_bytes),
            "",
        ]
    )
    return table(columns, rows, f"Front of {result.score_name} against time")


def _figures(result: CompressionResult, point: FrontPoint) -> list[str]:
    remark = "chosen" if point.chosen else "" if point.on_front else "beaten"
    if point.chosen and not point.on_front:
        remark = "chosen, beaten"
    return [
        units.ms(point.time_ms),
        score(result, point.validation_score),
        score(result, point.score),
        units.size(point.size_bytes),
        remark,
    ]


def score(result: CompressionResult, value: float) -> str:
    """A score as this result's are written."""
    return units.percent(value, 2) if result.score_name == "accuracy" else f"{value:.4g}"


def layers(result: CompressionResult) -> RenderableType:
    """What the layers gave back and why: those that gave most, then the rest in one row."""
    whole = sum(row.before_ms for row in result.layers)
    found = layer_rows.gathered(row.to_dict() for row in result.layers)
    ordered = sorted((row for row in found if row["op"]), key=lambda row: -abs(row["saved_ms"]))
    top = [row for row in ordered[:TOP] if abs(row["saved_ms"]) >= _LEAST_SHARE * whole]
    rest = [row for row in found if row not in top]
    rows = [_layer(row) for row in found if row in top]
    if rest:
        count = sum(row["count"] for row in rest)
        rows.append([f"{count} others", "", units.ms(sum(row["saved_ms"] for row in rest)), ""])
    saved = sum(row.saved_ms for row in result.layers)
    rows.append(
        ["in all", "", units.ms(saved), f"{units.percent(saved / whole if whole else 0.0)} of what it took"]
    )
    return table(["layer", "channels", "gives back", "why"], rows, "Time that layers gave back (predicted)")


def _layer(row: layer_rows.Row) -> list[str]:
    several = f"\n{row['op']}{layer_rows.times(row)}" if row["count"] > 1 else ""
    name = short_name(row["name"], _NAME) + several
    return [name, widths(row), units.ms(row["saved_ms"]), row["reason"]]


def widths(row: layer_rows.Row) -> str:
    """``40 -> 32``, or the one number where both are the same."""
    found: Sequence[int | None] = (row["channels_before"], row["channels_after"])
    known = [str(n) for n in found if n is not None]
    return " -> ".join(dict.fromkeys(known))
