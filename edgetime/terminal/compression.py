"""How a compression looks in a terminal of 80 columns."""

from __future__ import annotations

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


def compression_tables(result: CompressionResult) -> list[RenderableType]:
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
    rows = [
        _figures(
            result,
            point.keras,
            point.time_ms,
            point.validation_score,
            point.score,
            point.size_bytes,
            _place(point),
        )
        for point in result.points
    ]
    old = result.before
    time_ms = old.predicted_ms if old.measured_ms is None else old.measured_ms
    rows.append(_figures(result, "original", time_ms, old.validation_score, old.score, old.file_bytes, ""))
    return table(columns, rows, f"Front of {result.score_name} against time")


def _figures(
    result: CompressionResult,
    name: str,
    ms: float,
    validation: float | None,
    test: float,
    size: int,
    place: str,
) -> list[str]:
    judged = "-" if validation is None else units.score(validation, result.score_name)
    return [name, units.ms(ms), judged, units.score(test, result.score_name), units.size(size), place]


def _place(point: FrontPoint) -> str:
    words = ["chosen"] if point.chosen else []
    return ", ".join(words if point.on_front else [*words, "beaten"])


def layers(result: CompressionResult) -> RenderableType:
    """What the layers gave back and why: those that gave most, then the rest in one row."""
    whole = sum(row.before_ms for row in result.layers)
    found = layer_rows.merged(row.to_dict() for row in result.layers)
    ordered = sorted((row for row in found if row["op"]), key=lambda row: -abs(row["saved_ms"]))
    top = [row for row in ordered[:TOP] if abs(row["saved_ms"]) >= _LEAST_SHARE * whole]
    rest = [row for row in found if row not in top]
    rows = [_layer(row) for row in found if row in top]
    if rest:
        count = sum(row["count"] for row in rest)
        rows.append([f"{count} others", "", units.ms(sum(row["saved_ms"] for row in rest)), ""])
    saved = sum(row.saved_ms for row in result.layers)
    share = units.percent(saved / whole if whole else 0.0)
    rows.append(["in all", "", units.ms(saved), f"{share} of what it took"])
    return table(["layer", "channels", "gives back", "why"], rows, "Time that layers gave back (predicted)")


def _layer(row: layer_rows.Row) -> list[str]:
    several = f"\n{row['op']}{layer_rows.count_suffix(row)}" if row["count"] > 1 else ""
    name = short_name(row["name"], _NAME) + several
    return [name, layer_rows.channels(row, "->"), units.ms(row["saved_ms"]), row["reason"]]
