"""Rows of data as small pictures in a page: PNG files as data URIs, written with zlib alone."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from selector.candidates import Answers

_MOST_PIXELS = 96
"""Larger pictures are thinned to at most so many pixels a side."""


def is_image(x: NDArray[Any]) -> bool:
    """Whether rows [rows, height, width, channels] can be shown: grey or in three or four colours."""
    return x.ndim == 4 and x.shape[-1] in (1, 3, 4) and min(x.shape[1:3]) >= 8 and x.dtype.kind in "fiu"


def data_uri(image: NDArray[Any]) -> str:
    """One image [height, width, channels] as a ``data:`` URI; floats of any range are stretched to black and white."""
    return "data:image/png;base64," + base64.b64encode(png(_bytes(image))).decode("ascii")


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Pixels [height, width, 1 or 3] as a PNG file."""
    height, width, channels = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 8, 0 if channels == 1 else 2, 0, 0, 0)
    lines = np.concatenate([np.zeros((height, 1), np.uint8), pixels.reshape(height, -1)], axis=1)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes(), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )


def _bytes(image: NDArray[Any]) -> NDArray[np.uint8]:
    step = max(1, -(-max(image.shape[:2]) // _MOST_PIXELS))
    small = image[::step, ::step, : 1 if image.shape[-1] == 1 else 3]
    if small.dtype == np.uint8:
        return np.ascontiguousarray(small)
    values = small.astype(np.float64)
    low, high = float(values.min()), float(values.max())
    if low >= 0 and 1 < high <= 255 and small.dtype.kind == "f":
        low, high = 0.0, 255.0
    elif low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    return np.round(255 * (values - low) / max(high - low, 1e-9)).astype(np.uint8)


def pictures_of(answers: Answers, x: Any, count: int = 8) -> list[tuple[str, str, str]]:
    """The rows that all networks together find hardest and easiest, as `report.selection.write_selection` takes them.

    Ease is the mean logarithm of what the networks think of the right class. Empty where rows are no images.
    """
    rows = np.asarray(x) if not isinstance(x, Mapping) else np.zeros(0)
    if not is_image(rows):
        return []
    ease = answers.log_probabilities[:, np.arange(len(answers.y)), answers.y].mean(axis=0)
    order = np.argsort(ease, kind="stable")
    named = answers.log_probabilities.argmax(axis=2)
    right = answers.right.sum(axis=0)

    def one(heading: str, row: int) -> tuple[str, str, str]:
        said = named[-1, row]
        words = "" if said == answers.y[row] else f", {answers.networks[-1].name} says {said}"
        caption = f"class {answers.y[row]}{words}; {right[row]} of {len(named)} right"
        return heading, data_uri(rows[row]), caption

    hardest = [one("Hardest", row) for row in order[:count]]
    return hardest + [one("Easiest", row) for row in order[::-1][:count]]
