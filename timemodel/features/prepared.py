"""Layers as a time model takes them in: rows of numbers and the kind of work, kept on each layer for the next time."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from profiler.network import Layer
from timemodel.features.columns import COLUMNS, packed_row
from timemodel.features.kernels import kernel_of

Prepared = tuple[str, bytes, int]
"""Kind, packed geometry row and repeat of a layer."""

NO_WORK = ""
"""Kind of what reads constants only (float16 weights, say): it is worked out once, when the file is loaded."""


def kind_of(layer: Layer) -> str:
    """Kernel and arithmetic in one word, such as ``conv_2d int8``; see `split_kind`."""
    if layer.inputs and all(tensor.constant for tensor in layer.inputs):
        return NO_WORK
    return sys.intern(f"{kernel_of(layer)} {layer.dtype}")


def split_kind(kind: str) -> tuple[str, str]:
    """The kernel and the arithmetic of a kind other than `NO_WORK`."""
    kernel, _, dtype = kind.rpartition(" ")
    return kernel, dtype


def prepare(layers: Sequence[Layer]) -> list[Prepared]:
    """Kind, packed geometry row and repeat of each layer."""
    try:
        return [layer.__dict__["_prepared"] for layer in layers]
    except KeyError:
        return [_prepared(layer) for layer in layers]


def _prepared(layer: Layer) -> Prepared:
    kept = layer.__dict__
    row: Prepared | None = kept.get("_prepared")
    if row is None:
        row = kept["_prepared"] = (kind_of(layer), packed_row(layer), layer.repeat)
    return row


def unpack(rows: Sequence[bytes]) -> np.ndarray:
    """Packed rows as a `geometry` array."""
    return np.frombuffer(b"".join(rows), dtype=np.float64).reshape(len(rows), len(COLUMNS))


def members(kinds: Iterable[str]) -> dict[str, list[int]]:
    """Positions of each kind."""
    groups: defaultdict[str, list[int]] = defaultdict(list)
    for i, kind in enumerate(kinds):
        groups[kind].append(i)
    return groups
