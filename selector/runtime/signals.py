"""What goes into networks and comes out of them: rows of the policy's inputs, quantised where a network is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from profiler.errors import DataError

_CHUNK = 1 << 15
"""Values that are quantised at a time, so that they stay in the cache."""

Rows = NDArray[np.int64]


class Signal(NamedTuple):
    """One input or output of a network."""

    name: str
    tensor: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    scale: float
    zero: int
    row_bytes: int

    @property
    def is_quantised(self) -> bool:
        """Whether its integers stand for real numbers."""
        return self.dtype.kind in "iu" and self.scale != 0

    def check(self, rows: NDArray[Any], file: Path) -> None:
        """Raise DataError where rows [rows, ...] are not what it takes."""
        if rows.shape[1:] != self.shape[1:]:
            raise DataError(
                f"Rows have shape {rows.shape[1:]}, but {file} takes {self.shape[1:]}: "
                "reshape them, or name the data that belongs to this policy."
            )
        if rows.dtype.kind not in "biuf":
            raise DataError(f"Rows hold {rows.dtype}, but {file} takes {self.dtype}: give numbers.")
        if rows.dtype.kind != "f":
            return
        if self.is_quantised:
            if np.isnan(rows.sum()) and np.isnan(rows).any():
                raise DataError(f"Rows hold NaN, which {file} cannot take: its input is {self.dtype}.")
        elif self.dtype.kind in "iu" and not np.array_equal(rows, np.trunc(rows)):
            raise DataError(
                f"Rows hold fractions, but {file} takes whole numbers ({self.dtype}): round them."
            )

    def stored(self, values: NDArray[Any]) -> NDArray[Any]:
        """Values in the type that the network has, quantised where it is, contiguous."""
        if not self.is_quantised or (values.dtype.kind != "f" and values.dtype == self.dtype):
            return np.ascontiguousarray(values, self.dtype)
        limits = np.iinfo(self.dtype)
        flat = np.ascontiguousarray(values).reshape(-1)
        result = np.empty(flat.shape, self.dtype)
        scale = np.float32(self.scale)
        for start in range(0, len(flat), _CHUNK):
            part = flat[start : start + _CHUNK] / scale
            np.round(part, out=part)
            part += self.zero
            np.clip(part, limits.min, limits.max, out=part)
            result[start : start + _CHUNK] = part
        return result.reshape(values.shape)

    def real(self, values: NDArray[Any]) -> NDArray[Any]:
        """Values as they are meant: integers that stand for real numbers become float32."""
        if not self.is_quantised:
            return values
        return (values.astype(np.float32) - np.float32(self.zero)) * np.float32(self.scale)


class Block:
    """Rows of the policy's inputs that are worked on together; what a network needs of them is made once.

    `first` is the number of its first row among all, for messages.
    """

    def __init__(self, inputs: Mapping[str, NDArray[Any]], first: int = 0) -> None:
        self.inputs = inputs
        self.first = first
        self.rows = len(next(iter(inputs.values())))
        self._stored: dict[Any, NDArray[Any]] = {}

    def stored(self, signal: Signal, file: Path, only: bool) -> NDArray[Any]:
        """All rows of one input as a network stores it; `only` says that the network takes no other input."""
        values = self._named(signal.name, file, only)
        signal.check(values, file)
        key = id(values), signal.dtype, signal.scale, signal.zero
        if key not in self._stored:
            self._stored[key] = signal.stored(values)
        return self._stored[key]

    def _named(self, name: str, file: Path, only: bool) -> NDArray[Any]:
        if len(self.inputs) == 1 and only:
            return next(iter(self.inputs.values()))
        found = self.inputs.get(name)
        if found is None:
            plain = {re.sub(r"\W", "_", given): values for given, values in self.inputs.items()}
            found = plain.get(name, plain.get(re.sub(r"^input_", "", name)))
        if found is None:
            raise DataError(f"{file} takes an input '{name}': give rows of that name.")
        return found


class Fed(NamedTuple):
    """What the stage before computed, for the rows that are still open: `rows` are their numbers in `values`."""

    values: Mapping[str, tuple[NDArray[Any], Signal]]
    rows: Rows


class Run(NamedTuple):
    """What a network answers to some rows [rows, ...], its other outputs as they are stored, and seconds per row if asked."""

    answer: NDArray[Any]
    outputs: Mapping[str, tuple[NDArray[Any], Signal]]
    seconds: NDArray[np.float64] | None
