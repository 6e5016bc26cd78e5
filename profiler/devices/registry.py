"""Which kinds of targets there are, by the prefix of their specification: ``PREFIX`` or ``PREFIX:OPTIONS``."""

from __future__ import annotations

import functools
import re

from profiler.devices.agent_target import LocalTarget, SshTarget
from profiler.devices.power import list_power_sources
from profiler.devices.simulated import PREFIX, Simulators
from profiler.devices.target import Target
from profiler.errors import UsageError
from profiler.plugins import register_plugins

ENTRY_POINTS = "edgetime.targets"

_targets: dict[str, type[Target]] = {"local": LocalTarget, "ssh": SshTarget, PREFIX: Simulators}


def register_target(prefix: str, target: type[Target]) -> None:
    """Make a kind of target known, so that ``PREFIX`` and ``PREFIX:OPTIONS`` name one everywhere.

    For the command line to find it, a package names the class as an entry point in its ``pyproject.toml``; it then
    needs no call of this function::

        [project.entry-points."edgetime.targets"]
        mysim = "mypackage.targets:MySimulator"

    Parameters
    ----------
    prefix
        Letters, digits, ``-`` and ``_``.
    target
        A subclass of `Target`; its `Target.from_options` reads what follows the prefix, `Target.specs` says what to
        list.

    Raises
    ------
    UsageError
        The prefix is taken by another class, or is none.
    """
    if not re.fullmatch(r"[A-Za-z][\w-]*", prefix):
        raise UsageError(f"{prefix!r} is no prefix of a target: take letters, digits, - and _.")
    if not (isinstance(target, type) and issubclass(target, Target)):
        raise UsageError(f"{target!r} is no subclass of profiler.devices.Target.")
    if _targets.setdefault(prefix, target) is not target:
        raise UsageError(
            f"The prefix {prefix!r} is taken by {_targets[prefix].__qualname__}: take another one."
        )


def open_target(spec: str) -> Target:
    """Make a target from its specification, such as ``local:threads=2`` or ``ssh://user@host``.

    The device is not contacted yet.

    Raises
    ------
    UsageError
        An unknown kind of target, option or value; the message names the ones there are.
    """
    prefix, _, options = spec.partition(":")
    if prefix not in _targets:
        _load_plugins()
    if prefix not in _targets:
        raise UsageError(
            f"Unknown target {spec!r}: there are {', '.join(_targets)}; 'edgetime targets' says how to write them."
        )
    try:
        return _targets[prefix].from_options(options)
    except UsageError as error:
        raise UsageError(f"{spec!r}: {error}") from error


def list_targets() -> list[dict[str, str]]:
    """Rows for ``edgetime targets``: how to write a target or a source of power (``spec``), and what it ``offers``."""
    _load_plugins()
    rows = []
    for prefix, target in _targets.items():
        specs = target.listed() or {prefix: (target.__doc__ or target.__name__).strip().split("\n")[0]}
        rows += [{"spec": spec, "offers": offers} for spec, offers in specs.items()]
    return rows + list_power_sources()


@functools.cache
def _load_plugins() -> None:
    """Register the targets of other distributions, once; those that fail are named in a warning."""
    register_plugins(ENTRY_POINTS, register_target, _targets)
