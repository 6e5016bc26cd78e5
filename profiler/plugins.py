"""Plug-ins of other distributions, found by entry points: targets, search methods, and so on."""

from __future__ import annotations

import importlib.metadata
import warnings
from collections.abc import Callable, Collection
from importlib.metadata import EntryPoint
from typing import Any

from profiler.errors import EdgetimeWarning


def register_plugins(group: str, register: Callable[[str, Any], None], taken: Collection[str]) -> None:
    """`load_plugins`, with one warning that names all that were left out."""
    problems = load_plugins(group, register, taken)
    if problems:
        warnings.warn("\n".join(problems), EdgetimeWarning, stacklevel=4)


def load_plugins(group: str, register: Callable[[str, Any], None], taken: Collection[str]) -> list[str]:
    """Load the entry points of a group and register each under its name.

    A plug-in that fails, whatever it raises, stops nothing: it is left out, and the answer says so.

    Parameters
    ----------
    group
        Such as ``edgetime.targets``.
    register
        Called with the name of an entry point and the object that it refers to.
    taken
        Names that no plug-in may have, those of edgetime itself first of all.

    Returns
    -------
    list of str
        One sentence for each plug-in that was left out: its name, its distribution, and why.
    """
    problems: list[str] = []
    owners: dict[str, str] = dict.fromkeys(taken, "edgetime or an earlier registration")
    found = [
        (point.name, _distribution(point), point) for point in importlib.metadata.entry_points(group=group)
    ]
    for name, distribution, point in sorted(found, key=lambda row: row[:2]):
        reason = f"{name!r} is taken by {owners[name]}" if name in owners else _register(point, register)
        if reason:
            problems.append(f"The plug-in {name!r} of {distribution} ({group}) is left out: {reason}.")
        else:
            owners[name] = distribution
    return problems


def _register(point: EntryPoint, register: Callable[[str, Any], None]) -> str:
    """Load and register one plug-in; returns why that failed, or nothing."""
    try:
        register(point.name, point.load())
    except (Exception, SystemExit) as error:
        lines = str(error).splitlines()
        return f"{type(error).__name__}: {lines[0].rstrip('.')}" if lines else type(error).__name__
    return ""


def _distribution(point: EntryPoint) -> str:
    """Name and version of the distribution that an entry point belongs to."""
    if point.dist is None:
        return "an unnamed distribution"
    return f"{point.dist.metadata['Name']} {point.dist.version}"
