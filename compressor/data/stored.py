"""Rows that stay in their file until they are asked for, so that data of any size takes little memory."""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from profiler.archives import read_array, read_head

STORED_BYTES = 1 << 28
"""Arrays of a file that take more stay there, where the file has them unpacked."""

READ_BYTES, READ_ROWS = 1 << 25, 1024
"""More rows that take more are not read at once."""

_HEAD_BYTES = 30
"""Of a member of a zip, before its name."""


class StoredRows:
    """An array [rows, ...] in a file, or some rows of it.

    Indexing reads rows, as an array; many of them (`READ_ROWS`, `READ_BYTES`) stay where they are, as `StoredRows` again.
    `numpy.asarray` reads all.
    """

    def __init__(
        self, array: npt.NDArray, chosen: npt.NDArray[np.int64] | None = None, dtype: Any = None
    ) -> None:
        self._array, self._chosen = array, chosen
        self.dtype = array.dtype if dtype is None else np.dtype(dtype)

    def __len__(self) -> int:
        return len(self._array) if self._chosen is None else len(self._chosen)

    @property
    def shape(self) -> tuple[int, ...]:
        """As of an array."""
        return (len(self), *self._array.shape[1:])

    @property
    def ndim(self) -> int:
        """As of an array."""
        return self._array.ndim

    @property
    def size(self) -> int:
        """As of an array."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """As of an array."""
        return self.size * self.dtype.itemsize

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, tuple):
            return self[key[0]][(slice(None), *key[1:])]
        if isinstance(key, (int, np.integer)):
            return self._read(key if self._chosen is None else self._chosen[key])
        rows = np.arange(len(self)) if self._chosen is None else self._chosen
        wanted = rows[np.asarray(key) if not isinstance(key, slice) else key]
        found = StoredRows(self._array, wanted, self.dtype)
        many = len(found) > READ_ROWS and found.nbytes > READ_BYTES
        return found if many else self._read(wanted)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray:
        found = self._read(slice(None) if self._chosen is None else self._chosen)
        return found if dtype is None else found.astype(dtype, copy=False)

    def astype(self, dtype: Any) -> StoredRows:
        """The same rows, of another type once they are read."""
        return StoredRows(self._array, self._chosen, dtype)

    def followed_by(self, others: Sequence[StoredRows]) -> StoredRows | None:
        """These rows and then others of the same array; None where some are of another one."""
        if any(one._array is not self._array or one.dtype != self.dtype for one in others):
            return None
        chosen = [np.arange(len(one)) if one._chosen is None else one._chosen for one in (self, *others)]
        return StoredRows(self._array, np.concatenate(chosen), self.dtype)

    def blocks(self) -> Iterator[tuple[int, npt.NDArray]]:
        """All rows in their order, few at a time, each with the number of its first."""
        step = max(1, READ_BYTES // max(1, self.nbytes // max(1, len(self))) // 4)
        for first in range(0, len(self), step):
            yield first, self[first : first + step]

    def _read(self, rows: Any) -> npt.NDArray:
        return np.array(self._array[rows]).astype(self.dtype, copy=False)


def read_arrays_stored(file: Path, archive: zipfile.ZipFile) -> dict[str, Any]:
    """Every array of an open ``.npz``; large ones that are not packed stay in the file."""
    found: dict[str, Any] = {}
    for member in archive.infolist():
        if not member.filename.endswith(".npy"):
            continue
        name = member.filename.removesuffix(".npy")
        stored = member.compress_type == zipfile.ZIP_STORED and member.file_size > STORED_BYTES
        if stored:
            found[name] = StoredRows(_mapped(file, _place(file, member), member.file_size))
        else:
            with archive.open(member) as stream:
                found[name] = read_array(stream, member.file_size)
    return found


def read_folder(folder: Path) -> dict[str, Any]:
    """The array of each ``NAME.npy`` in a folder; large ones stay in their file."""
    found: dict[str, Any] = {}
    for file in sorted(folder.glob("*.npy")):
        size = file.stat().st_size
        if size > STORED_BYTES:
            found[file.stem] = StoredRows(_mapped(file, 0, size))
        else:
            with file.open("rb") as stream:
                found[file.stem] = read_array(stream, size)
    return found


def _place(file: Path, member: zipfile.ZipInfo) -> int:
    """Where the content of a member begins."""
    with file.open("rb") as stream:
        stream.seek(member.header_offset)
        head = stream.read(_HEAD_BYTES)
        if len(head) < _HEAD_BYTES or head[:4] != b"PK\x03\x04":
            raise zipfile.BadZipFile("a member is not where it should be")
        return (
            member.header_offset
            + _HEAD_BYTES
            + int.from_bytes(head[26:28], "little")
            + int.from_bytes(head[28:30], "little")
        )


def _mapped(file: Path, place: int, size: int) -> npt.NDArray:
    """One ``.npy`` of `size` bytes within a file, that is not read yet."""
    with file.open("rb") as stream:
        stream.seek(place)
        shape, fortran, dtype = read_head(stream, size)
        begin = stream.tell()
        if stream.seek(0, os.SEEK_END) < begin + math.prod(shape) * dtype.itemsize:
            raise ValueError("an array is cut off")
    return np.memmap(file, dtype, "r", begin, shape, "F" if fortran else "C")
