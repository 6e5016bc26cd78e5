"""Rows of a network's inputs or labels: one array [rows, ...], or several by the names of inputs or outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from profiler.errors import DataError

Rows = Any
"""An array [rows, ...], or a mapping from names to arrays of the same rows."""


def each(rows: Rows, function: Callable[[NDArray[Any]], Any]) -> Rows:
    """The same done to the array, or to each of them."""
    if isinstance(rows, Mapping):
        return {name: function(array) for name, array in rows.items()}
    return function(rows)


def take(rows: Rows, chosen: Any) -> Rows:
    """Some of the rows: `chosen` is anything that indexes an array."""
    return each(rows, lambda array: array[chosen])


def joined(parts: Sequence[Rows]) -> Rows:
    """The rows of several parts, one behind the other."""
    if isinstance(parts[0], Mapping):
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return np.concatenate(parts)


def row_count(rows: Rows) -> int:
    """How many rows there are."""
    return len(next(iter(rows.values())) if isinstance(rows, Mapping) else rows)


def evenly(rows: Rows, most: int) -> NDArray[np.int64]:
    """At most `most` row numbers, spread evenly over all."""
    count = row_count(rows)
    return np.unique(np.linspace(0, count - 1, min(most, count)).round().astype(int))


def named(rows: Rows, name: str) -> dict[str, Any]:
    """Each array under the name that it has in a file: ``x``, or ``x.left`` and ``x.right``."""
    return {f"{name}.{key}": rows[key] for key in rows} if isinstance(rows, Mapping) else {name: rows}


def arranged(rows: Rows, names: Sequence[str], name: str, source: str) -> Rows:
    """Rows as a network takes them: an array where it has one input (or output), else by all their names in order.

    `name` is what the rows are called in a file: ``x``, ``y_val``. DataError where they are of other inputs or outputs.
    """
    kind = "inputs" if name.startswith("x") else "outputs"
    if not isinstance(rows, Mapping):
        if len(names) == 1:
            return rows
        wanted = " and ".join(f"{name}.{key}" for key in names)
        raise DataError(
            f"{source}: {name} is one array, but the network has the {kind} {', '.join(names)}: "
            f"give one array for each, named {wanted}."
        )
    if set(rows) != set(names):
        raise DataError(
            f"{source} has {' and '.join(named(rows, name))}, but the network has the {kind} {', '.join(names)}: "
            "give one array for each, named so."
        )
    return {key: rows[key] for key in names} if len(names) > 1 else rows[names[0]]
