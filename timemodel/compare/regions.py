"""Groups of layers of two files: matched pairs, with what stands between them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from timemodel.compare.graph import CONVERTS, Graph

ABSORBED_BEFORE = frozenset({"pad", "padv2"})
"""What one converter writes as an operator and another makes a part of the next one."""
ABSORBED_AFTER = frozenset({
    "relu", "relu6", "relu_n1_to_1", "reshape", "squeeze", "expand_dims", "transpose", "add", "sub", "mul", "minimum", "maximum",
})  # fmt: skip
"""The same of the one before."""
_REGION = 8
"""Larger regions without matched layers are not the same work done otherwise, but other work."""


@dataclass(frozen=True)
class Group:
    """Layers of the first network and those of the second that do the same work, as positions in their lists of layers.

    One of the two may be empty: work that the other file lacks, such as conversions between number types.
    """

    first: tuple[int, ...]
    second: tuple[int, ...]


def regions(first: Graph, second: Graph, partner: dict[int, int]) -> list[Group]:
    """Groups of all layers: matched pairs, with what stands between them."""
    number = {one: group for group, one in enumerate(partner)}
    back = {other: number[one] for one, other in partner.items()}
    members: list[tuple[list[int], list[int]]] = [([one], [other]) for one, other in partner.items()]
    parts = _parts(first, number), _parts(second, back)
    used: set[int] = set()
    alone: list[tuple[list[int], list[int]]] = []
    for part in parts[0]:
        fitting = [
            i
            for i, other in enumerate(parts[1])
            if i not in used
            and _between_the_same(part, other)
            and _only_converts(first, part) == _only_converts(second, other)
        ]
        if fitting and max(len(part.layers), len(parts[1][fitting[0]].layers)) <= _REGION:
            used.add(fitting[0])
            alone.append((part.layers, parts[1][fitting[0]].layers))
        else:
            _attach(first, part, number, members, alone, 0)
    for i, part in enumerate(parts[1]):
        if i not in used:
            _attach(second, part, back, members, alone, 1)
    found = [Group(tuple(sorted(one)), tuple(sorted(other))) for one, other in (*members, *alone)]
    # In the order of the second file; what only the first one has stands where it would run.
    return sorted(found, key=lambda group: (group.second or (_place(group.first, first, second),))[0])


def _place(positions: Sequence[int], first: Graph, second: Graph) -> float:
    return first.depth[positions[0]] * len(second.network.layers)


@dataclass
class _Part:
    """Layers without a partner that hang together, and the groups before and after them."""

    layers: list[int]
    before: set[int]
    after: set[int]


def _parts(graph: Graph, group_of: dict[int, int]) -> list[_Part]:
    found: list[_Part] = []
    seen: set[int] = set()
    for start in range(len(graph.network.layers)):
        if start in group_of or start in seen:
            continue
        part = _Part([], set(), set())
        waiting = [start]
        seen.add(start)
        while waiting:
            position = waiting.pop()
            part.layers.append(position)
            for near, side in ((graph.before(position), part.before), (graph.after(position), part.after)):
                for other in near:
                    if other in group_of:
                        side.add(group_of[other])
                    elif other not in seen:
                        seen.add(other)
                        waiting.append(other)
        part.layers.sort()
        found.append(part)
    return found


def _between_the_same(part: _Part, other: _Part) -> bool:
    """Whether two parts stand between the same groups; the ends of a network are like any other place, but not both of them."""
    if part.before == other.before and part.after == other.after:
        return bool(part.before or part.after)
    return bool(part.before & other.before) and bool(part.after & other.after)


def _only_converts(graph: Graph, part: _Part) -> bool:
    return all(graph.op(position) in CONVERTS for position in part.layers)


def _attach(
    graph: Graph,
    part: _Part,
    group_of: dict[int, int],
    members: list[tuple[list[int], list[int]]],
    alone: list[tuple[list[int], list[int]]],
    side: int,
) -> None:
    """Give layers that one file has and the other has not to the layer that does their work there; else they stand alone."""
    for position in part.layers:
        op = graph.op(position)
        near: set[int] = set()
        if op in ABSORBED_BEFORE:
            near = _nearest(position, graph.after, group_of)
        elif op in ABSORBED_AFTER:
            near = _nearest(position, graph.before, group_of)
        if len(near) == 1:
            members[near.pop()][side].append(position)
        else:
            alone.append(([position], []) if side == 0 else ([], [position]))


def _nearest(start: int, near: Callable[[int], list[int]], group_of: dict[int, int]) -> set[int]:
    """Groups that are reached from a layer over others without a partner."""
    found: set[int] = set()
    waiting, seen = [start], {start}
    while waiting:
        for other in near(waiting.pop()):
            if other in group_of:
                found.add(group_of[other])
            elif other not in seen:
                seen.add(other)
                waiting.append(other)
    return found
