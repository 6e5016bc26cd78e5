"""Features of which only those that are asked for are worked out, each step at most once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["cached_property", "column", "stacked"]


def stacked(source: Any, names: Sequence[str]) -> NDArray[np.float32]:
    """Columns [rows, names]: attributes of `source` [rows], or one bin of an attribute [rows, bins] (``hue_3``, from 1 on)."""
    return np.stack([column(source, name) for name in names], axis=1).astype(np.float32, copy=False)


def column(source: Any, name: str) -> NDArray[Any]:
    """One feature [rows]."""
    stem, _, number = name.rpartition("_")
    if number.isdigit():
        bins: NDArray[Any] = getattr(source, stem)
        return bins[:, int(number) - 1]
    found: NDArray[Any] = getattr(source, name)
    return found
