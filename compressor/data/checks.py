"""What makes an array fit to be an input or labels; each fault is one sentence that names the place."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from profiler.errors import DataError


def as_input(value: npt.ArrayLike, name: str, source: str) -> npt.NDArray:
    """At least one finite row of numbers [rows, ...], floats as float32."""
    x = np.asarray(value)
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


def as_float32(array: npt.NDArray) -> npt.NDArray:
    """Floats and booleans as float32; integers as they are."""
    return array.astype(np.float32, copy=False) if array.dtype.kind in "fb" else array


def as_labels(y: npt.NDArray, name: str, source: str) -> npt.NDArray[np.int64]:
    """Class numbers [rows] from integers, whole floats, booleans, a column of these, or one-hot rows."""
    hint = "; for anything but classification give a Python file with load(), loss and metric"
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


def check_finite(array: npt.NDArray, name: str, source: str) -> None:
    """Refuse NaN and infinity, naming the first bad place."""
    if array.dtype.kind not in "fc":
        return
    finite = np.isfinite(array)
    if finite.all():
        return
    bad = ~finite
    where = np.unravel_index(int(bad.ravel().argmax()), array.shape)
    place = ", ".join(str(int(i)) for i in where)
    raise DataError(
        f"{source}: {name}[{place}] is {array[where]} "
        f"({int(bad.sum())} of {array.size} values are not finite): "
        "clean the data first."
    )


def format_shape(shape: Sequence[int | None]) -> str:
    """``(8, 8, 1)``; a length that is left open reads ``any``."""
    return "(" + ", ".join("any" if s is None else str(s) for s in shape) + ")"
