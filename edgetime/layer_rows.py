"""Rows of what layers gave back: operators of one layer that changed alike are merged into one row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

_SAME = ("name", "op", "channels_before", "channels_after", "reason", "evidence")
_SUMMED = ("before_ms", "after_ms", "saved_ms", "measured_before_ms", "measured_after_ms")

Row = Mapping[str, Any]
"""One of the ``layers`` of a ``result.json``; `merged` adds the ``count``."""


def merged(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """One row for the operators of one layer that changed alike and for the same reason, in order, their number as ``count``.

    A recurrent layer is written out step by step: hundreds of operators that would bury all else. Times are summed; a measured
    one is None where one of them has none.
    """
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row.get(key) for key in _SAME), []).append(row)
    return [{**group[0], "count": len(group)} | _sums(group) for group in groups.values()]


def _sums(group: list[Row]) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for key in _SUMMED:
        values = [row.get(key) for row in group]
        found[key] = None if None in values else sum(float(value) for value in values if value is not None)
    return found


def short_names(rows: Iterable[Row]) -> dict[str, str]:
    """For the name of each row as little of its end as tells the layer from all others: ``left/conv1`` and ``right/conv1``.

    Of names that the converter joined the first counts.
    """
    parts = {name: name.split(";")[0].split("/") for name in dict.fromkeys(row["name"] for row in rows)}
    ends = {name: ["/".join(part[-n:]) for n in range(1, len(part) + 1)] for name, part in parts.items()}
    counts = Counter(end for found in ends.values() for end in found)
    return {name: next((end for end in found if counts[end] == 1), found[-1]) for name, found in ends.items()}


def count_suffix(row: Row) -> str:
    """How many operators a row stands for, to write behind its name; empty for one."""
    return f" ×{row['count']}" if row.get("count", 1) > 1 else ""


def channels(row: Row, arrow: str) -> str:
    """``40 -> 32``, or the one number where both are the same."""
    known = [str(row[key]) for key in ("channels_before", "channels_after") if row[key] is not None]
    return f" {arrow} ".join(dict.fromkeys(known))
