"""The dimensions by their names, and all changes that they find in a network."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from compressor.changes.base import Dimension, ExaminedNetwork, FoundChanges, LayerTimes, RefusedChange
from compressor.graph import Change, RemovableBlock, layers_of, without
from profiler.errors import EdgetimeError
from profiler.network import Network
from profiler.plugins import Makers, register_plugins

ENTRY_POINTS = "edgetime.changes"

DIMENSIONS: Mapping[str, tuple[str, str]] = {
    "block": ("compressor.changes.blocks", "WholeBlocks"),
    "branch": ("compressor.changes.branches", "ParallelBranches"),
    "steps": ("compressor.changes.steps", "Thinning"),
    "kernel": ("compressor.changes.kernels", "SmallerKernels"),
    "rank": ("compressor.changes.pairs", "ThinPairs"),
}
"""Those of edgetime, in the order in which their changes are made: what goes whole goes first."""

_MAKERS = Makers("dimension of changes", "dimension", Dimension, "compressor.changes", DIMENSIONS)  # type: ignore[type-abstract]
_registered: dict[str, Callable[..., Dimension]] = {}


def register_dimension(name: str, dimension: Callable[..., Dimension]) -> None:
    """Make a further kind of change known, so that ``compress --method structure`` considers it.

    For the command line to find it, a package names the class as an entry point of the group ``edgetime.changes`` in
    its ``pyproject.toml``.

    Parameters
    ----------
    name
        What reports call it.
    dimension
        A subclass of `Dimension`, called without arguments.

    Raises
    ------
    UsageError
        The name is taken by another dimension, or it cannot be called.

    See Also
    --------
    compressor.testing.check_change : the suite that every change must pass.

    Examples
    --------
    >>> from compressor.changes import Dimension, register_dimension
    >>> class Nothing(Dimension):
    ...     name = "nothing"
    ...     def find(self, network):
    ...         return [], [self.refuse("stem", "this dimension takes nothing out")]
    >>> register_dimension("nothing", Nothing)
    """
    _MAKERS.register(_registered, name, dimension)


def get_dimension(name: str) -> Dimension:
    """Make a dimension by its name."""
    return _MAKERS.make(_registered, _load_plugins, name, {})


def find_changes(
    model: Any, file: Network | None = None, layers_ms: LayerTimes | None = None
) -> FoundChanges:
    """All that can be taken out of a network besides channels, and what was considered and refused.

    A dimension that others registered and that fails is named among the refused.
    """
    _load_plugins()
    network = ExaminedNetwork(model, file, layers_ms)
    changes: dict[str, Change] = {}
    refused: list[RefusedChange] = []
    for name in (*DIMENSIONS, *_registered):
        try:
            found, not_these = get_dimension(name).find(network)
        except Exception as error:
            if name in DIMENSIONS:
                raise
            refused.append(RefusedChange(name, "", f"it failed with {type(error).__name__}: {error}"))
            continue
        for change in found:
            # A branch and the first of its layers may have one id.
            changes[f"{change.id}#{change.layers[-1]}" if change.id in changes else change.id] = change
        refused += not_these
    return FoundChanges(changes, tuple(refused))


def changed(model: Any, changes: Iterable[Change]) -> Any:
    """A new model with some changes made, in the order in which they are given; blocks go first.

    What a stronger change in its place makes needless, and what concerns layers that are gone, is left out.

    Raises
    ------
    EdgetimeError
        A change failed, which is named.
    """
    left = in_effect(changes)
    blocks = [change for change in left if isinstance(change, RemovableBlock)]
    made = without(model, blocks)
    for change in left:
        if change in blocks:
            continue
        here = {address for address, _ in layers_of(made)}
        if not here.issuperset(change.layers):
            continue
        try:
            made = change.apply(made)
        except (ValueError, TypeError, KeyError) as error:  # Keras', or a plug-in's
            raise EdgetimeError(f"The change {change.id!r} cannot be made: {error}") from error
    return made


def in_effect(changes: Iterable[Change]) -> list[Change]:
    """Without those that others make needless or impossible: of one place the strongest, nothing of layers that are gone, nothing
    that another one excludes, and no more than can be made together, those in front first."""
    every = list(dict.fromkeys(changes))
    strongest: dict[str, Change] = {}
    for change in every:
        other = strongest.get(change.place)
        if other is None or change.strength > other.strength:
            strongest[change.place] = change
    counts: Counter[tuple[str, int]] = Counter()
    able = [
        change
        for change in every
        if strongest[change.place] is change and not any(is_inside(change, other) for other in every)
    ]
    left = []
    for change in able:
        if any(change.is_excluded_by(other) for other in able):
            continue
        if change.limit is not None:
            counts[change.limit] += 1
            if counts[change.limit] > change.limit[1]:
                continue
        left.append(change)
    return left


def names_in_effect(changes: Mapping[str, Change], names: Iterable[str]) -> list[str]:
    """Of the names of some changes those that others do not make needless, in the order in which changes are made."""
    some = set(names)
    left = in_effect(changes[name] for name in changes if name in some)
    return [name for name in changes if name in some and changes[name] in left]


def is_inside(change: Change, other: Change) -> bool:
    """Whether another change leaves nothing of what a change concerns."""
    if change is other or not other.removes:
        return False
    own, gone = set(change.layers), set(other.layers)
    if not change.removes:
        return bool(own & gone)
    return own < gone or (own == gone and change.strength < other.strength)


@functools.cache
def _load_plugins() -> None:
    """Register the dimensions of other distributions, once; those that fail are named in a warning."""
    register_plugins(ENTRY_POINTS, register_dimension, [*DIMENSIONS, *_registered])
