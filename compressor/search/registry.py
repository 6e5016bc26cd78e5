"""Search methods by their names: those of edgetime, and those that others register."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable

from compressor.method_names import METHODS
from compressor.search.base import SearchMethod
from profiler.errors import UsageError
from profiler.plugins import register_plugins

ENTRY_POINTS = "edgetime.methods"

_registered: dict[str, Callable[..., SearchMethod]] = {}


def register_method(name: str, method: Callable[..., SearchMethod]) -> None:
    """Make a search method known, so that ``compress --method NAME`` and ``compress(method=NAME)`` use it.

    For the command line to find it, a package names the class as an entry point in its ``pyproject.toml``; it then
    needs no call of this function::

        [project.entry-points."edgetime.methods"]
        mine = "mypackage.methods:MyMethod"

    Parameters
    ----------
    name
        What ``--method`` calls it.
    method
        A subclass of `SearchMethod`, or a function that makes one; called without arguments by the command line.

    Raises
    ------
    UsageError
        The name is taken by another method, or the method cannot be called.

    See Also
    --------
    compressor.testing.check_method : the suite that every method must pass.
    """
    if not callable(method):
        raise UsageError(f"{method!r} makes no search method: give a subclass of SearchMethod.")
    if name in METHODS or _registered.setdefault(name, method) is not method:
        raise UsageError(f"The name {name!r} is taken by another search method: take another one.")


def get_method(name: str, **options: object) -> SearchMethod:
    """Make a method by its name."""
    if name in METHODS:
        module, kind = METHODS[name]
        made = getattr(importlib.import_module(module), kind)(**options)
        assert isinstance(made, SearchMethod)
        return made
    if name not in _registered:
        _load_plugins()
    if name not in _registered:
        known = ", ".join(sorted([*METHODS, *_registered]))
        raise UsageError(f"There is no method {name!r}: choose one of {known}.")
    method = _registered[name](**options)
    if not isinstance(method, SearchMethod):
        raise UsageError(f"The method {name!r} makes {method!r}, which is no compressor.search.SearchMethod.")
    return method


@functools.cache
def _load_plugins() -> None:
    """Register the methods of other distributions, once; those that fail are named in a warning."""
    register_plugins(ENTRY_POINTS, register_method, [*METHODS, *_registered])
