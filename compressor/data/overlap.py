"""Rows that stand in two parts of a data set, found by their content."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

import numpy as np

from compressor.data.rows import Rows, row_count

_MOST_BYTES = 4e9
_BLOCK = 1024


def shared_rows(rows: Rows, *others: Rows) -> int:
    """How many of `rows` have the very values of a row of some others; 0 where all are too large to look."""
    if _too_large(rows, *others):
        return 0
    wanted = set(_prints(rows))
    found = wanted.intersection(itertools.chain.from_iterable(map(_prints, others)))
    return sum(one in found for one in _prints(rows)) if found else 0


def copies(rows: Rows) -> np.ndarray | None:
    """A number for each row [rows], the same for those of the same values; None where all differ, or are too large to look."""
    if _too_large(rows):
        return None
    numbers = np.unique(np.fromiter(_prints(rows), np.int64), return_inverse=True)[1].ravel()
    return numbers if len(numbers) and numbers.max() + 1 < len(numbers) else None


def _too_large(*parts: Rows) -> bool:
    return sum(array.nbytes for rows in parts for array in _arrays(rows)) > _MOST_BYTES


def _arrays(rows: Rows) -> list[np.ndarray]:
    return list(rows.values()) if isinstance(rows, Mapping) else [rows]


def _prints(rows: Rows) -> Iterator[int]:
    """A fingerprint of each row."""
    for start in range(0, row_count(rows), _BLOCK):
        parts = [np.ascontiguousarray(array[start : start + _BLOCK]) for array in _arrays(rows)]
        for place in range(len(parts[0])):
            yield hash(b"".join(part[place].tobytes() for part in parts))
