"""Arrays of a data file that may say which rows belong together, where nobody said so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compressor.data.rows import as_array
from profiler.errors import UsageError

_WORDS = (
    "subject", "speaker", "user", "patient", "person", "participant", "group", "session", "recording", "writer", "author",
    "device", "site", "animal", "video", "id",
)  # fmt: skip


def looks_like_groups(arrays: Mapping[str, Any], labels: Any, rows: int) -> str:
    """The name of the array that looks most like groups; empty where none does.

    It has a value for each row, whole numbers or words, few different ones, and says more than the labels.
    """
    found = [name for name, array in arrays.items() if _looks_so(as_array(array), labels, rows)]
    named = [name for name in found if any(word in name.lower() for word in _WORDS)]
    return (named or found or [""])[0]


def _looks_so(array: Any, labels: Any, rows: int) -> bool:
    if array.ndim != 1 or len(array) != rows or array.dtype.kind not in "iuUS":
        return False  # what is too large to be read is not read
    values, member = np.unique(array, return_inverse=True)
    if not 2 <= len(values) <= rows // 2:
        return False
    y = as_array(labels)
    if y.ndim != 1 or len(y) != rows:
        return True
    pairs = len(np.unique(np.stack([member.ravel(), np.unique(y, return_inverse=True)[1].ravel()]), axis=1).T)
    return pairs > len(values)  # else each value has one label only: it is another name of the labels


def named_groups(arrays: Mapping[str, Any], name: str, source: str) -> dict[str, NDArray[Any]]:
    """The arrays that ``--groups NAME`` names, as `groups`, `groups_val` and `groups_test`."""
    found = {
        f"groups{part}": np.asarray(arrays[name + part])
        for part in ("", "_val", "_test")
        if name + part in arrays
    }
    if not found:
        raise UsageError(
            f"{source} has no array {name!r} for --groups (it has {', '.join(map(str, arrays)) or 'none'})."
        )
    return found
