"""Rows of a profile as the values that they stand for; SQLite keeps any value in any column, and the file may have been edited."""

from __future__ import annotations

import functools
import typing
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from profiler.errors import EdgetimeError, EdgetimeWarning
from profiler.measurement.combining import Timing
from profiler.measurement.power import PowerWindow
from profiler.probes import Probe
from profiler.values import OddValueError, checker, parse_json

Value = TypeVar("Value")

_UNREADABLE = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, EdgetimeError)


_LONGEST_US = 1e13
"""No number of a measurement is larger; in microseconds these are 116 days, in seconds a date far ahead."""


def timing(*row: Any) -> Timing:
    """A row of `profiler.measurement.store.database.SELECT`."""
    layers = None if row[17] is None else tuple(map(_finite_or_none, parse_json(row[17])))
    return Timing(*_checked(Timing, (*row[:14], _flag(row[14]), *row[15:17], layers)))


def power_window(*row: Any) -> PowerWindow:
    """A row of a window of power."""
    return PowerWindow(*_checked(PowerWindow, (*row[:11], _flag(row[11]))))


def readable(
    rows: Iterable[tuple[Any, ...]], convert: Callable[..., Value], path: Path, what: str
) -> list[Value]:
    """Every row as `convert` gives it; odd ones are left out, with a warning that says how many of `what`."""
    found, odd = [], 0
    for row in rows:
        try:
            found.append(convert(*row))
        except OddValueError:
            odd += 1
    if odd:
        warnings.warn(
            f"{path}: {odd:,} of {odd + len(found):,} {what} are left out, for a value in them is odd: the file was changed.",
            EdgetimeWarning,
            stacklevel=4,
        )
    return found


def with_probes(rows: list[Timing], path: Path) -> list[Timing]:
    """Those rows whose key is a probe's, likewise."""

    def check(row: Timing) -> Timing:
        if not is_probe(row.probe_key):
            raise OddValueError("its key is no probe")
        return row

    return readable(((row,) for row in rows), check, path, "measurements")


@functools.lru_cache(maxsize=1 << 16)
def is_probe(key: str) -> bool:
    """Whether `key` is one that `Probe.key` gave."""
    try:
        return Probe.from_key(key).key == key
    except _UNREADABLE:
        return False


@functools.lru_cache(maxsize=4)
def _columns(kind: type) -> tuple[tuple[str, Callable[[Any, str], Any]], ...]:
    return tuple((name, checker(hint)) for name, hint in typing.get_type_hints(kind).items())


def _checked(kind: type, values: tuple[Any, ...]) -> list[Any]:
    found = [check(value, name) for (name, check), value in zip(_columns(kind), values, strict=True)]
    for (name, _), value in zip(_columns(kind), found, strict=True):
        if isinstance(value, (int, float)) and value < 0:
            raise OddValueError(f"{name} is below 0")
        if isinstance(value, (int, float)) and value > _LONGEST_US:
            raise OddValueError(f"{name} is beyond all measure")
    return found


def _flag(value: Any) -> Any:
    return bool(value) if value in (0, 1) else value


def _finite_or_none(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and value >= 0 else None
