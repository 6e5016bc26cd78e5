"""Values read from a file that anybody may have edited: taken only as what they should be, else named."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

MOST = 1e15
"""No number that was measured or learned is larger; sums and products of such numbers stay finite."""


def number(value: Any, name: str, least: float = 0.0, above: bool = False) -> float:
    """`value` as a float from `least` (or only `above` it) to `MOST`."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{name} is no number")
    if not (math.isfinite(value) and (value > least if above else value >= least) and value <= MOST):
        raise ValueError(f"{name} is {value}")
    return float(value)


def whole(value: Any, name: str, least: int = 0) -> int:
    """`value` as an int of at least `least`. A float without a fraction counts: other programs write 8 as 8.0."""
    found = number(value, name, least)
    if found != int(found):
        raise ValueError(f"{name} is {value}, no whole number")
    return int(found)


def text(value: Any, name: str) -> str:
    """`value` if it is a text that is not empty."""
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name} is no text")
    return value


def table(value: Any, name: str) -> Mapping[str, Any]:
    """`value` if it is an object with named fields."""
    if not isinstance(value, dict):
        raise ValueError(f"{name} is no object")
    return value


def items(value: Any, name: str) -> list[Any]:
    """`value` if it is a list."""
    if not isinstance(value, list):
        raise ValueError(f"{name} is no list")
    return value


def numbers_of(value: Any, name: str) -> Iterator[tuple[str, float]]:
    """Every number in nested lists and objects, with the way to it."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from numbers_of(part, f"{name}.{key}")
    elif isinstance(value, list):
        for part in value:
            yield from numbers_of(part, name)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield name, value
