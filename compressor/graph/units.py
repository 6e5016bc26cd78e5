"""Which channels are tied into one, and which of those occur at the same places."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from compressor.graph.records import ChannelAxis, Count, Group
from compressor.graph.rules import ChannelIds


def joined(parts: list[ChannelIds]) -> ChannelIds:
    """All these ids, one behind the other."""
    return np.concatenate([part.ravel() for part in parts]) if parts else np.empty(0, np.int64)


def tied(count: int, first: ChannelIds, second: ChannelIds) -> ChannelIds:
    """For each of `count` channels the least one that it is tied to, where ``first[i]`` and ``second[i]`` are tied.

    Roots hook onto smaller roots, all at once, until no tie leads from one to another.
    """
    roots = np.arange(count, dtype=np.int64)
    while len(first):
        low, high = np.minimum(roots[first], roots[second]), np.maximum(roots[first], roots[second])
        apart = low != high
        if not apart.any():
            break
        first, second = first[apart], second[apart]
        np.minimum.at(roots, high[apart], low[apart])
        while True:
            above = roots[roots]
            if np.array_equal(above, roots):
                break
            roots = above
    return roots


def find_groups(
    axes: Sequence[ChannelAxis], counts: Sequence[Count], roots: ChannelIds, stays: NDArray[np.bool_]
) -> tuple[list[Group], list[ChannelIds]]:
    """Units that occur equally often at every place form a group; those that nothing counts are not removable.

    `roots` gives each channel its unit (`tied`), `stays` says which units must stay. The groups in the order of their first
    units, and the units of each.
    """
    free = np.zeros(len(roots), dtype=bool)
    free[roots] = True
    free[roots[stays]] = False
    everywhere = [*(axis.channels for axis in axes), *(count.channels for count in counts)]
    places = [np.unique(roots[channels], return_counts=True) for channels in everywhere]
    # Two sums of 64-bit noise, one term for each place and number of times, stand for the list of places.
    signatures = np.zeros((len(roots), 2), dtype=np.uint64)
    occurs = np.zeros(len(roots), dtype=bool)
    for place, (found, times) in enumerate(places):
        occurs[found] = True
        for side in (0, 1):
            signatures[found, side] += _noise(times.astype(np.uint64), 2 * place + side)
    members: dict[tuple[int, int], list[int]] = {}
    for root in np.flatnonzero(free & occurs).tolist():
        members.setdefault(tuple(signatures[root].tolist()), []).append(root)
    of_first = {units[0]: number for number, units in enumerate(members.values())}
    is_first = np.zeros(len(roots), dtype=bool)
    is_first[list(of_first)] = True
    where: list[list[int]] = [[] for _ in of_first]
    for place, (found, _) in enumerate(places):
        for root in found[is_first[found]].tolist():
            where[of_first[root]].append(place)
    groups, units_of = [], []
    names: dict[str, int] = {}
    for units, found_at in zip(members.values(), where, strict=True):
        making = [counts[place - len(axes)] for place in found_at if place >= len(axes)]
        if not making:
            continue
        name = making[0].layer + (f".{making[0].label}" if making[0].label else "")
        names[name] = names.get(name, 0) + 1
        name = name if names[name] == 1 else f"{name}#{names[name]}"
        touched = dict.fromkeys(axes[place].layer for place in found_at if place < len(axes))
        groups.append(Group(name, len(units), tuple(dict.fromkeys(c.layer for c in making)), tuple(touched)))
        units_of.append(np.array(units, dtype=np.int64))
    return groups, units_of


def _noise(values: NDArray[np.uint64], salt: int) -> NDArray[np.uint64]:
    """A well-mixed 64-bit number for each value (the finaliser of splitmix64)."""
    with np.errstate(over="ignore"):
        mixed = values + np.uint64((salt * 0x9E3779B97F4A7C15 + 0xD1B54A32D192ED03) % 2**64)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(mixed ^ (mixed >> np.uint64(31)))
