"""Rows that stand in two parts of a data set, found by their content."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from compressor.data.rows import Rows, row_count

_MOST_BYTES = 4e9
_BLOCK = 1024


def shared_rows(x: Rows, others: Rows) -> int:
    """How many of `others` have the very values of a row of `x`; 0 where both are too large to look."""
    if sum(array.nbytes for rows in (x, others) for array in _arrays(rows)) > _MOST_BYTES:
        return 0
    wanted = set(_prints(others))
    found = wanted.intersection(_prints(x))
    return sum(one in found for one in _prints(others)) if found else 0


def _arrays(rows: Rows) -> list[np.ndarray]:
    return list(rows.values()) if isinstance(rows, Mapping) else [rows]


def _prints(rows: Rows) -> Iterator[int]:
    """A fingerprint of each row."""
    for start in range(0, row_count(rows), _BLOCK):
        parts = [np.ascontiguousarray(array[start : start + _BLOCK]) for array in _arrays(rows)]
        for place in range(len(parts[0])):
            yield hash(b"".join(part[place].tobytes() for part in parts))
