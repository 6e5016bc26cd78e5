"""Reading a table of numbers that somebody else wrote: what is wrong with it is said with file, line and column."""

from __future__ import annotations

import csv
import gzip
import io
import math
import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from profiler.errors import DataError, UsageError

MAX_SIZE = 2**31 - 1
MAX_BYTES = 2**31
"""Larger tables, unpacked, are refused: a small .csv.gz can hold any number of zeros."""


@dataclass(frozen=True)
class Record:
    """One line of a table: its number in the file (the header is line 1) and its cells by column."""

    line: int
    cells: dict[str, str]


@dataclass(frozen=True)
class Csv:
    """A table as text."""

    path: Path
    columns: tuple[str, ...]
    records: tuple[Record, ...]

    def fail(self, problem: str, mend: str, line: int | None = None, column: str | None = None) -> DataError:
        """An error that names the place: raise what this returns."""
        where = f"{self.path}"
        where += f", line {line}" if line is not None else ""
        where += f", column {column}" if column is not None else ""
        return DataError(f"{where}: {problem}; {mend}.")

    def size(self, record: Record, column: str) -> int:
        """The whole number of at least 1 in `column`."""
        text = record.cells.get(column, "")
        value = _number(text)
        if value is None or value != math.floor(value) or not 1 <= value <= MAX_SIZE:
            problem = f"{text!r} is no size" if text else "the size is missing"
            raise self.fail(problem, f"write a whole number from 1 to {MAX_SIZE}", record.line, column)
        return int(value)

    def amount(self, record: Record, column: str, what: str = "time") -> float:
        """The number above 0 in `column`, which is a ``time`` or an ``energy``."""
        text = record.cells.get(column, "")
        value = _number(text)
        if value is None or not value > 0:
            problem = f"{text!r} is no {what}" if text else f"the {what} is missing"
            if text.lower() in ("nan", "na", "none", "null"):
                problem = f"the {what} is {text}"
            elif value is not None:
                least = f"no {what}" if value == 0 else "less than none"
                problem = f"the {what} is {text}, and no layer takes {least}"
            raise self.fail(problem, "write a number above 0 or take the line out", record.line, column)
        return value


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    # Python reads 1_000 as a number, tables do not write so.
    return value if math.isfinite(value) and "_" not in text else None


def read_csv(path: str | os.PathLike[str], what: str = "table") -> Csv:
    """Read a comma-separated UTF-8 file, plain or gzipped, with a header."""
    file = Path(path)
    text = read_text(file, what, ".csv or .csv.gz")
    lines = csv.reader(io.StringIO(text, newline=""))
    try:
        rows = [(lines.line_num, row) for row in lines]
    except csv.Error as error:
        where = f"{file}, line {lines.line_num}"
        raise DataError(f"{where}: this is no CSV ({error}); export it anew.") from error
    rows = [(line, row) for line, row in rows if any(cell.strip() for cell in row)]
    if not rows:
        raise DataError(f"{file} is empty: a {what} begins with a line of column names.")
    header = tuple(name.strip() for name in rows[0][1])
    _check_header(file, header)
    records = []
    for line, row in rows[1:]:
        if len(row) != len(header):
            raise DataError(
                f"{file}, line {line}: {len(row)} cells where the header names {len(header)} columns; mend that line."
            )
        records.append(Record(line, dict(zip(header, map(str.strip, row), strict=True))))
    if not records:
        raise DataError(f"{file} has a header and no lines below it: add measurements.")
    return Csv(file, header, tuple(records))


def read_text(file: Path, what: str, ending: str) -> str:
    """The text of a UTF-8 file, plain or gzipped; `what` it is and its `ending` name it in errors."""
    if file.is_dir():
        raise UsageError(f"{file} is a folder: name a {what} ({ending}).")
    try:
        with file.open("rb") as stream:
            packed = stream.read(2) == b"\x1f\x8b"
            stream.seek(0)
            data = (gzip.GzipFile(fileobj=stream) if packed else stream).read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise UsageError(f"There is no {what} {file}: name one ({ending}).") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{file} is a damaged gzip file: copy it anew.") from error
    except OSError as error:
        raise DataError(f"Cannot read {file} ({error.strerror}): check that you may read it.") from error
    if len(data) > MAX_BYTES:
        raise DataError(f"{file} holds more than {MAX_BYTES // 2**30} GB: split it.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise DataError(f"{file}, line {line}: this is no UTF-8 text; save it in UTF-8.") from error
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise DataError(f"{file}, line {line}: this is no text; save it in UTF-8.")
    return text


def _check_header(file: Path, header: Sequence[str]) -> None:
    if len(header) == 1:
        for mark, name in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
            if mark in header[0]:
                raise DataError(
                    f"{file}, line 1: columns are separated by {name}; save it with commas "
                    "(and a point in decimal numbers)."
                )
    if "" in header:
        raise DataError(f"{file}, line 1: column {header.index('') + 1} has no name; name it.")
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise DataError(f"{file}, line 1: two columns are called {twice[0]}; rename or remove one.")
