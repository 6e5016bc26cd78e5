"""What a ``.keras`` file asks for, held against what it brings: before memory is taken for it."""

from __future__ import annotations

import contextlib
import functools
import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from profiler.archives import ALWAYS_BYTES, TooLargeError, check_size, open_zip

_CONFIG, _WEIGHTS = "config.json", "model.weights.h5"
_MOST_CONFIG_BYTES = 50_000_000


def check_archive(file: Path) -> int:
    """Check the members of the zip and the arrays of its weights; returns the bytes of the arrays.

    Raises
    ------
    TooLargeError
        They unpack to more than such a file can honestly hold.
    zipfile.BadZipFile, OSError, and whatever else zipfile and h5py raise
        It is damaged.
    """
    try:
        import h5py
    except ModuleNotFoundError:
        return 0  # it comes with TensorFlow, without which nothing is loaded

    with open_zip(file) as archive:
        if archive.getinfo(_CONFIG).file_size > _MOST_CONFIG_BYTES:
            raise TooLargeError(f"a description of {archive.getinfo(_CONFIG).file_size / 1e6:,.0f} MB")
        if _WEIGHTS not in archive.namelist():
            return 0
        stored_bytes = archive.getinfo(_WEIGHTS).file_size
        if (
            stored_bytes > ALWAYS_BYTES
        ):  # looking through it takes long, and what it claims is small beside it
            return stored_bytes
        with h5py.File(io.BytesIO(archive.read(_WEIGHTS)), "r") as weights:
            return max(stored_bytes, _array_bytes(weights, file.stat().st_size))


def _array_bytes(weights: Any, packed_bytes: int) -> int:
    """Bytes of all arrays in the file; such as are not stored but only described count as much."""
    total = 0

    def count(name: str, node: Any) -> None:
        nonlocal total
        if hasattr(node, "dtype"):
            total += math.prod(node.shape or ()) * node.dtype.itemsize
            check_size(total, packed_bytes)

    weights.visititems(count)
    return total


@contextlib.contextmanager
def bounded_weights(stored_bytes: int) -> Iterator[None]:
    """Inside, layers that are built may together take what the file's weights do, and a little for what is not stored.

    Raises TooLargeError from a layer's `add_weight` before the memory is taken.
    """
    import keras

    left = 2 * stored_bytes + ALWAYS_BYTES
    plain = keras.layers.Layer.add_weight

    @functools.wraps(plain)
    def add_weight(layer: Any, shape: Any = None, *rest: Any, **more: Any) -> Any:
        nonlocal left
        sizes = (shape,) if isinstance(shape, int) else tuple(shape or ())
        left -= 4 * math.prod(size for size in sizes if size is not None)
        if left < 0:
            raise TooLargeError(f"{stored_bytes / 1e6:.3g} MB of weights for layers that take far more")
        return plain(layer, shape, *rest, **more)

    keras.layers.Layer.add_weight = add_weight
    try:
        yield
    finally:
        keras.layers.Layer.add_weight = plain
