"""Kinds of policies that can be fitted, by their names: those of edgetime, and those that others register."""

from __future__ import annotations

import functools
from collections.abc import Callable

from profiler.plugins import Makers, register_plugins
from selector.policies.base import Policy

ENTRY_POINTS = "edgetime.policies"

POLICIES = {
    "cascade": ("selector.policies.cascade", "CascadePolicy"),
    "early_exit": ("selector.policies.cascade", "EarlyExitPolicy"),
    "hierarchical": ("selector.policies.hierarchical", "HierarchicalPolicy"),
    "premodel": ("selector.policies.premodel", "PremodelPolicy"),
}
"""The policies of edgetime by name: the module and the class. Modules are imported when asked for."""

_MAKERS = Makers("policy", "policy", Policy, "selector.policies", POLICIES)  # type: ignore[type-abstract]
_registered: dict[str, Callable[..., Policy]] = {}


def register_policy(name: str, policy: Callable[..., Policy]) -> None:
    """Make a kind of policy known, so that it can be fitted by its name.

    For the command line to find it, a package names the class as an entry point in its ``pyproject.toml``; it then
    needs no call of this function::

        [project.entry-points."edgetime.policies"]
        mine = "mypackage.policies:MyPolicy"

    Parameters
    ----------
    name
        What ``--policy`` calls it.
    policy
        A subclass of `Policy`, or a function that makes one; called without arguments by the command line.

    Raises
    ------
    UsageError
        The name is taken by another policy, or the policy cannot be called.

    See Also
    --------
    selector.testing.check_policy : the suite that every policy must pass.
    """
    _MAKERS.register(_registered, name, policy)


def get_policy(name: str, **options: object) -> Policy:
    """Make a policy to fit by its name."""
    return _MAKERS.make(_registered, _load_plugins, name, options)


def policy_names() -> list[str]:
    """Names of all policies that can be fitted."""
    _load_plugins()
    return sorted([*POLICIES, *_registered])


@functools.cache
def _load_plugins() -> None:
    """Register the policies of other distributions, once; those that fail are named in a warning."""
    register_plugins(ENTRY_POINTS, register_policy, [*POLICIES, *_registered])
