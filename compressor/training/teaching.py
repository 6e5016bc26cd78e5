"""What the original answers to training rows, asked once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compressor.data import Rows, each, row_count, take

MOST_BYTES = 256_000_000
"""Answers that take more are not kept: they are asked for each time."""


class TaughtRows:
    """The answers of `ask` to rows of `x` by their numbers; each row is asked about when it is needed first."""

    def __init__(self, ask: Callable[[Rows], Rows], x: Rows) -> None:
        self._ask, self._x = ask, x
        self._kept: Rows | None = None
        self._known: NDArray[np.bool_] = np.zeros(row_count(x), bool)

    def __call__(self, chosen: NDArray[np.int64]) -> Rows:
        """The answers to some rows [chosen, ...]."""
        if self._kept is not None and self._known[chosen].all():
            return take(self._kept, chosen)
        found = self._ask(take(self._x, chosen))
        if self._kept is None:
            self._kept = self._room(found)
        if self._kept is not None:
            self._put(found, chosen)
        return found

    def _room(self, found: Rows) -> Rows | None:
        count = len(self._known)
        parts = list(found.values()) if isinstance(found, Mapping) else [found]
        if sum(part[0].nbytes for part in parts) * count > MOST_BYTES:
            return None
        return each(found, lambda part: np.empty((count, *part.shape[1:]), part.dtype))

    def _put(self, found: Rows, chosen: NDArray[np.int64]) -> None:
        kept: Any = self._kept
        for name in found if isinstance(found, Mapping) else [None]:
            target, part = (kept, found) if name is None else (kept[name], found[name])
            target[chosen] = part
        self._known[chosen] = True
