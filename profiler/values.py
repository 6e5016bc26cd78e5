"""Values that come from files which anybody may have edited: JSON within bounds, and values taken only as the types they should be.

Every failure is a ValueError (or the OSError of the file) that says what is wrong and where; the reader of a file adds its name.
"""

from __future__ import annotations

import functools
import json
import math
import os
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any

MOST_BYTES = 256 << 20
"""The largest JSON file that is read; edgetime's own have a hundredth of it."""

DEEPEST = 64
"""Levels of lists and objects; edgetime's own files have fewer than ten."""

_LARGEST = 2**63 - 1

_Check = Callable[[Any, str], Any]


class OddValueError(ValueError):
    """A value is not what it should be; the message says which and why."""


def read_json(path: str | os.PathLike[str]) -> Any:
    """Read a JSON file within the bounds of `parse_json`; OSError where it cannot be read, ValueError where it is odd."""
    file = Path(path)
    size = file.stat().st_size
    if size > MOST_BYTES:
        raise ValueError(f"it has {size / 1e6:,.0f} MB")
    return parse_json(file.read_bytes())


def parse_json(text: str | bytes) -> Any:
    """Read JSON: numbers are finite and whole ones have at most 64 bits, text is Unicode, nesting is at most `DEEPEST`.

    Raises
    ------
    ValueError
        It is no JSON; OddValueError where it is beyond these bounds.
    """
    try:
        value = json.loads(text, parse_constant=_no_number)
    except RecursionError:
        raise OddValueError("it is nested too deeply") from None
    _check_bounds(value)
    return value


def _no_number(name: str) -> float:
    raise OddValueError(f"it holds {name}, which is no number")


def _check_bounds(value: Any) -> None:
    level: list[Any] = [value]
    for _ in range(DEEPEST):
        inner: list[Any] = []
        for one in level:
            kind = type(one)
            if kind is str:
                if not one.isascii():
                    _check_text(one)
            elif kind is int:
                if not -_LARGEST - 1 <= one <= _LARGEST:
                    raise OddValueError("it holds a whole number of more than 64 bits")
            elif kind is float:
                if not math.isfinite(one):  # 1e999
                    raise OddValueError("it holds a number without bounds")
            elif kind is list:
                inner += one
            elif kind is dict:
                inner += one
                inner += one.values()
        if not inner:
            return
        level = inner
    raise OddValueError("it is nested too deeply")


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise OddValueError("it holds half of a character") from None


def typed(value: Any, kind: Any, name: str = "it") -> Any:
    """`value`, plain as JSON or SQLite give it, if it is what the annotation `kind` says, else OddValueError.

    Parameters
    ----------
    value
        Not changed.
    kind
        ``None``, ``bool``, ``int``, ``float`` (finite; a whole number counts), ``str``, ``Any``, ``Literal``, a union, ``list``,
        ``tuple``, ``dict`` or ``Mapping`` of such, a ``TypedDict`` (further keys are kept), or a dataclass, which is made
        from an object with a key for each field.
    name
        Of the value, for messages.

    Examples
    --------
    >>> typed([1, 2.5], tuple[float, ...])
    (1, 2.5)
    >>> typed({"a": "x"}, dict[str, int])
    Traceback (most recent call last):
    profiler.values.OddValueError: it.a is no whole number
    """
    return checker(kind)(value, name)


@functools.lru_cache(maxsize=1024)
def checker(kind: Any) -> _Check:
    """What `typed` does for one annotation, for many values: a function of a value and its name."""
    if kind in _PLAIN:
        return _PLAIN[kind]
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, getattr(types, "UnionType", typing.Union)):
        return _union([checker(one) for one in inner])
    if origin is typing.Literal:
        return _literal(inner)
    if origin is tuple and not (len(inner) == 2 and inner[1] is Ellipsis):
        return _pair([checker(one) for one in inner])
    base = origin or kind
    if base in (list, tuple, Sequence):
        return _many(tuple if base is tuple else list, checker(inner[0]) if inner else _any)
    if base in (dict, Mapping):
        return _named(checker(inner[1]) if inner else _any)
    if typing.is_typeddict(kind):
        hints = typing.get_type_hints(kind)
        return _object({key: checker(hint) for key, hint in hints.items()}, kind.__required_keys__)
    if is_dataclass(kind):
        return _made(kind)
    raise TypeError(f"{kind} is no type of a value in a file")


def _any(value: Any, name: str) -> Any:
    return value


def _no_value(value: Any, name: str) -> None:
    if value is not None:
        raise OddValueError(f"{name} is not empty")


def _truth(value: Any, name: str) -> bool:
    if type(value) is not bool:
        raise OddValueError(f"{name} is neither true nor false")
    return value


def _whole(value: Any, name: str) -> int:
    if type(value) is int:
        return value
    if type(value) is float and value.is_integer():  # other programs write 8 as 8.0
        return int(value)
    raise OddValueError(f"{name} is no whole number")


def _number(value: Any, name: str) -> float:
    if type(value) is float and math.isfinite(value):
        return value
    if type(value) is not int:
        raise OddValueError(f"{name} is no number")
    return value


def _text(value: Any, name: str) -> str:
    if type(value) is not str:
        raise OddValueError(f"{name} is no text")
    return value


_PLAIN: dict[Any, _Check] = {
    Any: _any,
    None: _no_value,
    type(None): _no_value,
    bool: _truth,
    int: _whole,
    float: _number,
    str: _text,
}


def _union(checks: Sequence[_Check]) -> _Check:
    def check(value: Any, name: str) -> Any:
        reasons = []
        for one in checks:
            try:
                return one(value, name)
            except OddValueError as error:
                reasons.append(str(error))
        raise OddValueError(
            max(reasons, key=len)
        )  # of the type that fitted best: it names what is further in

    if len(checks) == 2 and _no_value in checks:
        only = next(one for one in checks if one is not _no_value)
        return lambda value, name: None if value is None else only(value, name)
    return check


def _literal(allowed: tuple[Any, ...]) -> _Check:
    def check(value: Any, name: str) -> Any:
        if not any(type(value) is type(one) and value == one for one in allowed):
            raise OddValueError(f"{name} is not one of {', '.join(map(str, allowed))}")
        return value

    return check


def _many(kind: type, one: _Check) -> _Check:
    def check(value: Any, name: str) -> Any:
        if not isinstance(value, (list, tuple)):
            raise OddValueError(f"{name} is no list")
        return kind(one(part, f"{name}[{number}]") for number, part in enumerate(value))

    return check


def _pair(checks: Sequence[_Check]) -> _Check:
    def check(value: Any, name: str) -> Any:
        if not isinstance(value, (list, tuple)) or len(value) != len(checks):
            raise OddValueError(f"{name} is no list of {len(checks)}")
        return tuple(
            one(part, f"{name}[{number}]")
            for number, (one, part) in enumerate(zip(checks, value))  # noqa: B905
        )

    return check


def _named(one: _Check) -> _Check:
    def check(value: Any, name: str) -> Any:
        if not isinstance(value, dict):
            raise OddValueError(f"{name} is no object")
        return {key: one(part, f"{name}.{key}") for key, part in value.items()}

    return check


def _object(checks: Mapping[str, _Check], needed: frozenset[str]) -> _Check:
    def check(value: Any, name: str) -> Any:
        if not isinstance(value, dict):
            raise OddValueError(f"{name} is no object")
        for key in checks:
            if key in needed and key not in value:
                raise OddValueError(f"{name} lacks {key}")
        return {
            key: checks[key](part, f"{name}.{key}") if key in checks else part for key, part in value.items()
        }

    return check


def _made(kind: Any) -> _Check:
    hints = typing.get_type_hints(kind)
    checks = {one.name: checker(hints[one.name]) for one in fields(kind) if one.init}
    needed = frozenset(
        one.name
        for one in fields(kind)
        if one.init and one.default is MISSING and one.default_factory is MISSING
    )
    as_object = _object(checks, needed)

    def check(value: Any, name: str) -> Any:
        found = as_object(value, name)
        for key in found:
            if key not in checks:
                raise OddValueError(f"{name} holds {key}, which is not known")
        return kind(**found)

    return check
