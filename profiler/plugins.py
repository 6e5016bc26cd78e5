"""Plug-ins of other distributions, found by entry points: targets, search methods, and so on."""

from __future__ import annotations

import importlib
import importlib.metadata
import warnings
from collections.abc import Callable, Collection, Mapping, MutableMapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import Any, Generic, TypeVar

from profiler.errors import EdgetimeWarning, UsageError

T = TypeVar("T")


@dataclass(frozen=True)
class Makers(Generic[T]):
    """Classes that are asked for by name: those of edgetime, imported when asked for, and those that others register.

    `noun` and `short` say what they make, in messages; `base` is the class of what is made and `home` where it is imported from;
    `own` names the module and the class of those of edgetime.
    """

    noun: str
    short: str
    base: type[T]
    home: str
    own: Mapping[str, tuple[str, str]]

    def register(self, registered: MutableMapping[str, Callable[..., T]], name: str, maker: Any) -> None:
        """Add a maker; UsageError where it cannot be called or the name is taken by another one."""
        if not callable(maker):
            raise UsageError(f"{maker!r} makes no {self.noun}: give a subclass of {self.base.__name__}.")
        if name in self.own or registered.setdefault(name, maker) is not maker:
            raise UsageError(f"The name {name!r} is taken by another {self.noun}: take another one.")

    def make(
        self,
        registered: Mapping[str, Callable[..., T]],
        load_plugins: Callable[[], None],
        name: str,
        options: Mapping[str, Any],
    ) -> T:
        """Make what has a name; plug-ins are loaded only where nothing else has it."""
        if name in self.own:
            module, kind = self.own[name]
            made = getattr(importlib.import_module(module), kind)(**options)
            assert isinstance(made, self.base)
            return made
        if name not in registered:
            load_plugins()
        if name not in registered:
            known = ", ".join(sorted([*self.own, *registered]))
            raise UsageError(f"There is no {self.short} {name!r}: choose one of {known}.")
        found = registered[name](**options)
        if not isinstance(found, self.base):
            raise UsageError(
                f"The {self.short} {name!r} makes {found!r}, which is no {self.home}.{self.base.__name__}."
            )
        return found


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
