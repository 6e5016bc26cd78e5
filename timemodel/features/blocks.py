"""Blocks of outputs that an accelerator works out at a time: as large as its buffer allows, of the form that fetches least.

Inputs are read once for each block, with what neighbouring blocks share, and weights are read anew for each part of the map. How
large the buffer is on a device is found by fitting, as tiles are.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np

from timemodel.features.columns import POSITION
from timemodel.features.table import Geometry, tiled

_HEIGHTS = (1, 2, 4, 6, 8, 10, 12, 14, 16, 20, 24, 32)
_WIDTHS = (1, 2, 4, 6, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 64)
_DEPTHS = (8, 16, 32, 48, 64, 80, 96, 128)
_FORMS = np.array(
    [(h, w, d) for d in _DEPTHS for h in _HEIGHTS for w in _WIDTHS if 128 <= h * w * d <= 2**13], np.float32
).T
"""Height, width and channels of the blocks that are tried."""
_WINDOW = 8
"""Taps per side that are worked on at once; larger kernels read their inputs once per such window."""
_PIECE = 32
"""Channels of an input that a block holds."""
_SUM_BYTES = 4


@dataclass(frozen=True)
class Blocks:
    """The best blocks' height and width, and what they fetch: bytes of inputs and of weights; arrays ``[n]``."""

    inputs: np.ndarray
    weights: np.ndarray
    height: np.ndarray
    width: np.ndarray

    def positions(self, block: int) -> np.ndarray:
        """Positions of the map in one of them, in whole blocks of `block` by `block`."""
        return _in_blocks(self.height, self.width, self.height == 1, block)


def least_fetched(g: Geometry, buffer: int, deep: bool) -> Blocks:
    """Of the blocks whose sums and inputs fit into `buffer` bytes those that fetch least; `deep` where outputs see all channels."""
    found = g.worked_out.get(("blocks", buffer, deep))
    if found is None:
        found = g.worked_out["blocks", buffer, deep] = _least_fetched(g, buffer, deep)
    return found


def _least_fetched(g: Geometry, buffer: int, deep: bool) -> Blocks:
    height, width, depth = (side[None, :] for side in _FORMS)
    tall, wide, outside = _column(g.out_height), _column(g.out_width), _column(g.out_channels)
    in_height = np.minimum(
        (height - 1) * _column(g.stride_height) + _column(_spread(g, "height")), _column(g.in_height)
    )
    in_width = np.minimum(
        (width - 1) * _column(g.stride_width) + _column(_spread(g, "width")), _column(g.in_width)
    )
    windows = np.ceil(_spread(g, "height") / _WINDOW) * np.ceil(_spread(g, "width") / _WINDOW)
    channels = _column(g.in_channels if deep else g.out_channels)
    layers = np.ceil(outside / depth) if deep else np.float32(1)
    block = in_height * in_width
    parts = np.ceil(tall / height) * np.ceil(wide / width)
    inputs = block * (channels * _column(windows)) * layers
    weights = _column(g.weight_bytes) * parts
    held = block * (np.minimum(channels, _PIECE) if deep else np.minimum(channels, depth))
    cost = inputs * (np.maximum(tall / height, 1) * np.maximum(wide / width, 1)) + weights
    # What holds the whole input is preferred.
    cost *= np.where(2 * held > _column(g.in_bytes / np.maximum(g.batch, 1)), np.float32(0.5), np.float32(1))
    fits = _SUM_BYTES * np.minimum(height, tall) * np.minimum(width, wide) * depth + held <= buffer
    fits[:, 0] |= ~fits.any(axis=1)  # what fits nowhere still takes the smallest block
    best = np.where(fits, cost, np.inf).argmin(axis=1)[:, None]
    each = inputs * parts, weights, np.minimum(height, tall), np.minimum(width, wide)
    taken = (np.take_along_axis(np.broadcast_to(one, cost.shape), best, 1)[:, 0] for one in each)
    inputs, weights, height, width = (one.astype(np.float64) for one in taken)
    return Blocks(inputs * g.batch, weights * g.batch, height, width)


def _column(values: np.ndarray) -> np.ndarray:
    return values[:, None].astype(np.float32)


def _spread(g: Geometry, side: str) -> np.ndarray:
    """Inputs along a side that one output sees."""
    return (getattr(g, f"kernel_{side}") - 1) * getattr(g, f"dilation_{side}") + 1


def positions(g: Geometry, block: int, bent: bool = True) -> np.ndarray:
    """Positions of the map in whole blocks of `block` by `block`; those of a single row fill blocks where rows can be `bent`."""
    row = bent & (g.out_height == 1) & (g.kernel_height == 1)
    return g.batch * _in_blocks(g.out_height, g.out_width, row, block)


def used_inputs(g: Geometry) -> np.ndarray:
    """Bytes of inputs that some output sees: steps wider than the kernel pass over others."""
    shares = [
        np.minimum(1.0, _seen(g, side) / np.maximum(getattr(g, f"in_{side}"), 1))
        for side in ("height", "width")
    ]
    return g.in_bytes * shares[0] * shares[1]


def _seen(g: Geometry, side: str) -> np.ndarray:
    spread = _spread(g, side)
    return (getattr(g, f"out_{side}") - 1) * np.minimum(getattr(g, f"stride_{side}"), spread) + spread


def _in_blocks(height: np.ndarray, width: np.ndarray, row: np.ndarray, block: int) -> np.ndarray:
    square = tiled(height, block) * tiled(width, block)
    return block * block * np.where(row, tiled(width, block * block), square)


def folded(g: Geometry) -> Geometry:
    """Rows of a matrix as the map that is nearest to a square."""
    found = g.worked_out.get(("folded",))
    if found is None:
        array = g.array.copy()
        heights = np.array([_nearest_square(int(rows)) for rows in g.pixels.tolist()], dtype=np.float64)
        for side, values in (("height", heights), ("width", g.pixels / np.maximum(heights, 1))):
            array[:, POSITION[f"in_{side}"]] = array[:, POSITION[f"out_{side}"]] = values
        array[:, POSITION["batch"]] = 1
        found = g.worked_out["folded",] = Geometry(array)
    return found


@functools.lru_cache(maxsize=4096)
def _nearest_square(rows: int) -> int:
    """The largest divisor of `rows` up to its root."""
    return next((side for side in range(math.isqrt(max(rows, 1)), 0, -1) if rows % side == 0), 1)


def spread_taps(g: Geometry, holes: bool = True) -> np.ndarray:
    """Taps of a kernel, with the `holes` that dilation makes where they are worked on; of an even one every second is free."""
    if not holes:
        return g.kernel_taps
    height, width = (
        (getattr(g, f"kernel_{side}") - 1) * _holes(getattr(g, f"dilation_{side}")) + 1
        for side in ("height", "width")
    )
    return height * width


def _holes(dilation: np.ndarray) -> np.ndarray:
    return np.where(dilation % 2 == 0, dilation / 2, dilation)


def steps(g: Geometry, holes: bool = True) -> np.ndarray:
    """Products per output in whole steps: of four taps of 8 channels or of one tap of 32 channels, whichever are fewer."""
    taps, channels = spread_taps(g, holes), g.in_channels
    eights = np.where(channels > 8, 2 * tiled(channels, 16), 1)
    return 32 * np.minimum(tiled(taps, 4) * eights, taps * tiled(channels, 32))
