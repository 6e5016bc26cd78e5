"""Search methods by their names: those of edgetime, and those that others register."""

from __future__ import annotations

import functools
from collections.abc import Callable

from compressor.method_names import METHODS
from compressor.search.base import SearchMethod
from profiler.plugins import Makers, register_plugins

ENTRY_POINTS = "edgetime.methods"

_MAKERS = Makers("search method", "method", SearchMethod, "compressor.search", METHODS)  # type: ignore[type-abstract]
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
    _MAKERS.register(_registered, name, method)


def get_method(name: str, **options: object) -> SearchMethod:
    """Make a method by its name."""
    return _MAKERS.make(_registered, _load_plugins, name, options)


@functools.cache
def _load_plugins() -> None:
    """Register the methods of other distributions, once; those that fail are named in a warning."""
    register_plugins(ENTRY_POINTS, register_method, [*METHODS, *_registered])
