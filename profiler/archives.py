"""Archives that come from anywhere (``.npz``, ``.keras``), unpacked to no more than such a file can honestly hold."""

from __future__ import annotations

import math
import os
import zipfile
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

ALWAYS_BYTES = 200_000_000
"""What any archive may unpack to."""

MOST_TIMES = 20
"""By how much more than itself a larger one may."""

_BLOCK_BYTES = 1 << 20


class TooLargeError(ValueError):
    """An archive claims to hold more than is taken from a file of its size; the message says how much."""


def allowed_bytes(packed_bytes: int) -> int:
    """What an archive of `packed_bytes` may unpack to."""
    return max(ALWAYS_BYTES, MOST_TIMES * packed_bytes)


def check_size(unpacked_bytes: float, packed_bytes: int) -> None:
    """Raise TooLargeError where that is more than `allowed_bytes`."""
    if unpacked_bytes > allowed_bytes(packed_bytes):
        raise TooLargeError(f"{packed_bytes / 1e6:.3g} MB that unpack to {unpacked_bytes / 1e6:,.0f} MB")


def open_zip(source: str | os.PathLike[str] | IO[bytes]) -> zipfile.ZipFile:
    """Open a zip whose members, by its own list, are together no larger than `allowed_bytes`.

    What unpacks to more than the list says is an error of `zipfile`, or cut there.

    Raises
    ------
    TooLargeError
        It claims to hold more.
    zipfile.BadZipFile, and whatever else `zipfile` raises
        It is damaged.
    """
    archive = zipfile.ZipFile(source)
    try:
        file = archive.fp
        assert file is not None
        check_size(sum(one.file_size for one in archive.infolist()), file.seek(0, os.SEEK_END))
    except BaseException:
        archive.close()
        raise
    return archive


def read_arrays_of(source: str | os.PathLike[str] | IO[bytes]) -> dict[str, NDArray[Any]]:
    """Every array of a ``.npz``, none of which is unpickled.

    Raises
    ------
    TooLargeError
        It claims to hold more than `allowed_bytes`.
    ValueError, zipfile.BadZipFile, and whatever else `zipfile`, `zlib` and numpy raise
        It is damaged, or no ``.npz``.
    """
    arrays = {}
    with open_zip(source) as archive:
        for member in archive.infolist():
            if member.filename.endswith(".npy"):
                with archive.open(member) as stream:
                    arrays[member.filename.removesuffix(".npy")] = read_array(stream, member.file_size)
    return arrays


def read_head(stream: IO[bytes], size: int) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether the first dimension varies fastest, and type of one ``.npy`` of `size` bytes, of which the head is read.

    Raises ValueError where it holds Python objects, or claims more than there is.
    """
    version = np.lib.format.read_magic(stream)  # type: ignore[no-untyped-call]
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(stream)  # type: ignore[no-untyped-call]
    if dtype.hasobject:
        raise ValueError("Object arrays cannot be loaded")
    if min(shape, default=0) < 0 or not dtype.itemsize or math.prod(shape) * dtype.itemsize > size:
        raise ValueError("an array is larger than its part of the file")
    return shape, fortran, dtype


def read_array(stream: IO[bytes], size: int) -> NDArray[Any]:
    """One ``.npy`` of `size` bytes; numpy takes the memory for what the head claims before it reads. Raises as `read_head`."""
    shape, fortran, dtype = read_head(stream, size)
    needed = math.prod(shape) * dtype.itemsize
    content = np.empty(needed, np.uint8)
    for start in range(0, needed, _BLOCK_BYTES):
        part = stream.read(min(_BLOCK_BYTES, needed - start))
        content[start : start + len(part)] = np.frombuffer(part, np.uint8)
        if len(part) < min(_BLOCK_BYTES, needed - start):
            raise ValueError("an array is cut off")
    array = content.view(dtype)
    return array.reshape(shape[::-1]).T if fortran else array.reshape(shape)
