"""Rows of a network's inputs or labels: one array [rows, ...], or several by the names of inputs or outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray

from compressor.data import stored
from compressor.data.stored import StoredRows
from profiler.errors import DataError

Rows = Any
"""An array [rows, ...], or a mapping from names to arrays of the same rows."""


def each(rows: Rows, function: Callable[[NDArray[Any]], Any]) -> Rows:
    """The same done to the array, or to each of them."""
    if isinstance(rows, Mapping):
        return {name: function(array) for name, array in rows.items()}
    return function(rows)


def take(rows: Rows, chosen: Any) -> Rows:
    """Some of the rows: `chosen` is anything that indexes an array. Many rows of a large file stay there (`StoredRows`)."""
    return each(rows, lambda array: array[chosen])


def joined(parts: Sequence[Rows]) -> Rows:
    """The rows of several parts, one behind the other."""
    if isinstance(parts[0], Mapping):
        return {name: _joined([part[name] for part in parts]) for name in parts[0]}
    return _joined(parts)


def _joined(parts: Sequence[Any]) -> Any:
    """Rows of one large file stay there."""
    rows = [part for part in parts if isinstance(part, StoredRows)]
    together = rows[0].followed_by(rows[1:]) if len(rows) == len(parts) else None
    return np.concatenate(parts) if together is None else together


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


def as_input(value: npt.ArrayLike, name: str, source: str) -> npt.NDArray:
    """At least one finite row of numbers [rows, ...], floats as float32."""
    x: Any = as_array(value)
    if x.dtype.kind not in "fiub":
        raise DataError(f"{source}: {name} holds {x.dtype}, not numbers: store it as float32.")
    if x.ndim == 0 or not len(x):
        raise DataError(f"{source}: {name} has no rows: give at least one.")
    if not x.size:
        raise DataError(
            f"{source}: rows of {name} have the empty shape {format_shape(x.shape[1:])}: give them values."
        )
    check_finite(x, name, source)
    return as_float32(x) if x.dtype.kind in "fb" else x


def as_array(value: Any) -> Any:
    """An array, or rows that stay in their file."""
    if isinstance(value, np.memmap) and value.nbytes > stored.STORED_BYTES:
        return StoredRows(value)
    return value if isinstance(value, StoredRows) else np.asarray(value)


def as_float32(array: Any) -> Any:
    """Floats and booleans as float32; integers as they are."""
    if array.dtype.kind not in "fb" or array.dtype == np.float32:
        return array
    return array.astype(np.float32)


def as_labels(y: Any, name: str, source: str) -> npt.NDArray[np.int64]:
    """Class numbers [rows] from integers, whole floats, booleans, a column of these, or one-hot rows."""
    hint = "; for anything but classification give a Python file with load(), loss and metric"
    y = np.asarray(y)
    if y.dtype.kind not in "fiub":
        raise DataError(f"{source}: {name} holds {y.dtype}: number the classes 0, 1, 2, …{hint}.")
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim == 2:
        if not (((y == 0) | (y == 1)).all() and (y.sum(axis=1) == 1).all()):
            raise DataError(
                f"{source}: {name} has shape {format_shape(y.shape)} and is not one-hot: "
                f"give one class number per row{hint}."
            )
        return y.argmax(axis=1).astype(np.int64)
    if y.ndim != 1:
        raise DataError(
            f"{source}: {name} has shape {format_shape(y.shape)}: give one class number per row{hint}."
        )
    wrong = (
        (y != np.floor(y)) | (y < 0)
        if y.dtype.kind == "f"
        else y < 0
        if y.dtype.kind == "i"
        else np.zeros(1, bool)
    )
    if wrong.any():
        where = int(wrong.argmax())
        raise DataError(
            f"{source}: {name}[{where}] is {y[where]:g}, no class number: "
            f"number the classes 0, 1, 2, …{hint}."
        )
    return y.astype(np.int64)


def check_finite(array: Any, name: str, source: str) -> None:
    """Refuse NaN and infinity, naming the first bad place."""
    if array.dtype.kind not in "fc":
        return
    blocks = array.blocks() if isinstance(array, StoredRows) else [(0, array)]
    place, value, count = "", 0.0, 0
    for first, block in blocks:
        bad = ~np.isfinite(block)
        if not bad.any():
            continue
        if not count:
            where = np.unravel_index(int(bad.ravel().argmax()), block.shape)
            value = block[where]
            place = ", ".join(str(int(i) + (first if axis == 0 else 0)) for axis, i in enumerate(where))
        count += int(bad.sum())
    if count:
        raise DataError(
            f"{source}: {name}[{place}] is {value} "
            f"({count} of {array.size} values are not finite): "
            "clean the data first."
        )


def format_shape(shape: Sequence[int | None]) -> str:
    """``(8, 8, 1)``; a length that is left open reads ``any``."""
    return "(" + ", ".join("any" if s is None else str(s) for s in shape) + ")"
