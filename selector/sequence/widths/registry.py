"""Kinds of width policies by their names: those of edgetime, and those that others register."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from profiler.errors import EdgetimeError
from profiler.plugins import Makers, register_plugins
from selector.sequence.widths.base import WidthPolicy
from selector.sequence.widths.confidence import DeviationWidth, EntropyWidth
from selector.sequence.widths.fixed import FixedWidth
from selector.sequence.widths.learned import LearnedWidth
from selector.sequence.widths.threshold import ThresholdPruning

ENTRY_POINTS = "edgetime.width_policies"

WIDTH_POLICIES = {
    kind.kind: (kind.__module__, kind.__name__)
    for kind in (FixedWidth, EntropyWidth, DeviationWidth, ThresholdPruning, LearnedWidth)
}
"""Those of edgetime by name: the module and the class."""

_MAKERS = Makers("width policy", "width policy", WidthPolicy, "selector.sequence", WIDTH_POLICIES)  # type: ignore[type-abstract]
_registered: dict[str, Callable[..., WidthPolicy]] = {}


def register_width_policy(name: str, policy: Callable[..., WidthPolicy]) -> None:
    """Make a kind of width policy known; UsageError where the name is taken by another one.

    See Also
    --------
    selector.testing.check_width_policy : the suite that every width policy must pass.
    """
    _MAKERS.register(_registered, name, policy)


def width_policy(value: Mapping[str, Any]) -> WidthPolicy:
    """The width policy of plain JSON values, as `WidthPolicy.to_dict` gives them; EdgetimeError where they are none."""
    given = {name: _tuples(one) for name, one in value.items()}
    kind = str(given.pop("kind", None))
    try:
        return _MAKERS.make(_registered, _load_plugins, kind, given)
    except TypeError as error:
        raise EdgetimeError(f"The width policy {kind!r} is damaged ({error}).") from error


def _tuples(value: Any) -> Any:
    return tuple(_tuples(one) for one in value) if isinstance(value, list) else value


@functools.cache
def _load_plugins() -> None:
    """Register the width policies of other distributions, once; those that fail are named in a warning."""
    register_plugins(ENTRY_POINTS, register_width_policy, [*WIDTH_POLICIES, *_registered])
