"""Files that long work goes on from after an interruption: JSON records in a file that only grows, and arrays.

One process at a time may write to a file. A process that is killed loses what it was writing, and nothing else.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from profiler.archives import read_arrays_of
from profiler.files import cannot_write, replacing, write_text
from profiler.values import parse_json

_BLOCK_BYTES = 1 << 16
_SIGNATURE = "signature"


class Records:
    """JSON values in a file, one a line.

    A last line without its line end was cut off by a crash or a full disk: it is not read, and the next `append`
    removes it.

    Parameters
    ----------
    path
        The file; it and its folder are made by the first `append`.
    signature
        What the records depend on, as plain JSON values. Records of another signature are not read, and the first
        `append` replaces them. None where they depend on nothing.
    sync
        Whether each record is on the disk, and not only on its way there, before `append` returns.

    Examples
    --------
    >>> trials = Records("trials.jsonl")
    >>> trials.append({"number": 0, "score": 0.9})
    >>> trials.read()
    [{'number': 0, 'score': 0.9}]
    """

    def __init__(self, path: str | os.PathLike[str], signature: Any = None, sync: bool = True) -> None:
        self.path = Path(path)
        self._header = None if signature is None else _line({_SIGNATURE: signature})
        self._sync = sync

    def read(self) -> list[Any]:
        """Return all records in the order of writing; lines that are no JSON are left out."""
        return [value for _, value in self.numbered()]

    def numbered(
        self,
        left_out: Callable[[int, str], None] = lambda number, why: None,
        foreign: bool = False,
    ) -> Iterator[tuple[int, Any]]:
        """Yield each record with the number of its line, the first of which is 1.

        Parameters
        ----------
        left_out
            Called with the number of a line that cannot be read, and why.
        foreign
            The file is only read, and may have been edited: a last line without its line end counts where it is JSON.

        Raises
        ------
        OSError
            The file is there but cannot be read.
        """
        try:
            file = self.path.open("rb")
        except FileNotFoundError:
            return
        with file:
            for number, line in enumerate(file, 1):
                if number == 1 and self._header is not None:
                    if line != self._header:
                        return
                    continue
                if not line.strip():
                    continue
                try:
                    if not foreign and not line.endswith(b"\n"):
                        raise ValueError("its end is missing")
                    value = parse_json(line)
                except ValueError as error:
                    left_out(number, str(error))
                else:
                    yield number, value

    def append(self, value: Any) -> None:
        """Add a record; NaN and infinity are refused.

        Raises
        ------
        EdgetimeError
            The disk is full or the file cannot be written to.
        """
        line = _line(value)
        if self._header is not None and self._first_line() != self._header:
            write_text(self.path, self._header.decode())
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab") as file:
                cut_torn_line(self.path)
                file.write(line)
                file.flush()
                if self._sync:
                    os.fsync(file.fileno())
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def _first_line(self) -> bytes:
        try:
            with self.path.open("rb") as file:
                return file.readline()
        except OSError:
            return b""


def cut_torn_line(path: str | os.PathLike[str]) -> None:
    """Remove what follows the last line end of a file."""
    with open(path, "rb+") as file:
        size = end = file.seek(0, os.SEEK_END)
        while end:
            start = max(0, end - _BLOCK_BYTES)
            file.seek(start)
            found = file.read(end - start).rfind(b"\n")
            if found >= 0:
                end = start + found + 1
                break
            end = start
        if end < size:
            file.truncate(end)


def write_arrays(path: str | os.PathLike[str], signature: Any, arrays: Mapping[str, Any]) -> None:
    """Write arrays to an ``.npz`` file, whole or not at all.

    Parameters
    ----------
    signature
        What the arrays depend on, as plain JSON values; see `read_arrays`.
    arrays
        By name, which may not be ``signature``. Arrays of Python objects are refused.

    Raises
    ------
    EdgetimeError
        The disk is full or the folder cannot be written to.
    """
    if _SIGNATURE in arrays:
        raise ValueError(f"an array may not be called {_SIGNATURE!r}")
    # The names as well: a damaged list of contents may leave some out.
    stored = {_SIGNATURE: np.array(_text([signature, sorted(arrays)])), **arrays}
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, array in stored.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asarray(array), allow_pickle=False)


def read_arrays(path: str | os.PathLike[str], signature: Any) -> dict[str, NDArray[Any]] | None:
    """Read what `write_arrays` wrote; None where it is missing, damaged or of another signature."""
    try:
        stored = read_arrays_of(path)
        known = stored.pop(_SIGNATURE)
        return stored if str(known) == _text([signature, sorted(stored)]) else None
    except Exception:  # numpy and zipfile raise all kinds of things over a damaged file
        return None


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, allow_nan=False)


def _line(value: Any) -> bytes:
    return (json.dumps(value, allow_nan=False) + "\n").encode()
