"""What features are made with: columns of a geometry by name, tiles, and families of operators."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from timemodel.features.columns import POSITION

Tiles = Mapping[str, int]
Table = dict[str, np.ndarray]


class Geometry:
    """Columns of a `geometry` array, and what `DERIVED` makes of them, by name: ``g.out_channels`` is ``[n]``."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array
        self.worked_out: dict[tuple[object, ...], Any] = {}  # what several features are made of

    def __getattr__(self, name: str) -> np.ndarray:
        if name in POSITION:
            return self.array[:, POSITION[name]]
        if name in DERIVED:
            return DERIVED[name](self)
        raise AttributeError(name)

    def table(self, *names: str) -> Table:
        """Columns as features of the same names."""
        return {name: getattr(self, name) for name in names}


DERIVED: Mapping[str, Callable[[Geometry], np.ndarray]] = {
    "channels": lambda g: g.out_channels,
    "pixels": lambda g: g.batch * g.out_height * g.out_width,
    "elements": lambda g: g.out_elements,
    "total_bytes": lambda g: g.in_bytes + g.out_bytes,
    "kernel_taps": lambda g: g.kernel_height * g.kernel_width,
    "products_per_output": lambda g: g.kernel_taps * g.in_channels,
    "stride": lambda g: g.stride_height * g.stride_width,
    "dilation": lambda g: g.dilation_height * g.dilation_width,
    "run_length": lambda g: g.inner,
    "runs": lambda g: g.out_elements / np.maximum(g.inner, 1),
    "rows_read": lambda g: g.in_elements / np.maximum(g.in_channels, 1),
    "parts": lambda g: np.maximum(g.inputs, 1) + g.results - 1,
}
"""``pixels`` are those of all images of the batch; ``parts`` are tensors that are joined, or that one is cut into."""


def tiled(size: np.ndarray, tile: int) -> np.ndarray:
    """Number of tiles that cover `size`: ``ceil(size / tile)``."""
    return np.ceil(size / tile)


@dataclass(frozen=True)
class Family:
    """Features that operators share. `tiles` holds, per tiled axis, the sizes to choose from.

    `parts` names costs that are paid at the same time as those of other parts.
    """

    name: str
    costs: Callable[[Geometry, Tiles], Table]
    sizes: Callable[[Geometry, Tiles], Table]
    tiles: Mapping[str, tuple[int, ...]]
    parts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


WIDE: tuple[int, ...] = (1, 4, 8, 16, 24, 32, 48, 64)
TALL: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 16)
CACHE: dict[str, tuple[int, ...]] = {
    "cache": (2**18, 2**19, 2**20, 2**21),
    "outer": (2**22, 2**23, 2**24, 2**25),
}
"""Bytes from which on data costs more: the near cache, and the last one before memory."""
WIDE_TILES: Mapping[str, tuple[int, ...]] = {"out_channels": WIDE} | CACHE
MATRIX_TILES: Mapping[str, tuple[int, ...]] = {"out_channels": WIDE, "pixels": TALL} | CACHE


def beyond(nbytes: np.ndarray, tiles: Tiles, what: str = "") -> Table:
    """Bytes that do not fit in the near cache, and in the last one: ``[n]`` by name, `what` in front."""
    return {
        f"{what}bytes_beyond_cache": np.maximum(0.0, nbytes - tiles["cache"]),
        f"{what}bytes_beyond_outer": np.maximum(0.0, nbytes - tiles["outer"]),
    }
