"""Which layers of two files of one network do the same work, found by the graph and never by a layer's number."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Container, Hashable, Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from profiler.network import Network
from timemodel.compare.graph import CONVERTS, Graph, keys, signatures
from timemodel.compare.regions import ABSORBED_AFTER, ABSORBED_BEFORE, Group, regions

_LEVELS = 3
"""How strictly layers are compared: all sizes; all but widths; the kind of operator alone."""
_DEPTH_APART = 0.15
"""Layers of like shapes that stand further apart than this, as a share of the network, are others."""

_SKIPPED = CONVERTS | ABSORBED_BEFORE | ABSORBED_AFTER
_STEPS = 3
"""So many of those may stand between layers that are next to each other in the other file."""


@dataclass(frozen=True)
class Alignment:
    """Every layer of two networks in one group, in the order of the second network.

    `shared` is the share of the multiply-accumulates (of the layers, where there are none) of both networks that stand in groups
    of both; `exact` the number of layers that have the same shapes in both.
    """

    groups: tuple[Group, ...]
    shared: float
    exact: int


def align(first: Network, second: Network) -> Alignment:
    """Align the layers of two networks by their graphs.

    Layers are first matched where what leads to them and what follows is alike all the way; then where only one in each file has
    its operator and shapes, or its name; then along the edges from layers that are matched; then by the order of what is left;
    and all of this again without regard to widths. What still has no partner belongs to the region between matched layers: a
    convolution in one file, PAD, convolution and RELU in the other.

    Examples
    --------
    >>> alignment = align(read_network("net.tflite"), read_network("net_int8.tflite"))  # doctest: +SKIP
    """
    graphs = Graph(first), Graph(second)
    matcher = _Matcher(*graphs)
    matcher.match_places()
    for level in range(_LEVELS):
        matcher.match(level)
    groups = regions(graphs[0], graphs[1], matcher.partner)
    sizes = [keys(graph, 0) for graph in graphs]
    exact = sum(sizes[0][one] == sizes[1][other] for one, other in matcher.partner.items())
    return Alignment(tuple(groups), _shared(first, second, groups), exact)


class _Matcher:
    """Pairs of layers, found step by step; `partner` leads from the first network to the second."""

    def __init__(self, first: Graph, second: Graph) -> None:
        self._graphs = first, second
        self.partner: dict[int, int] = {}
        self._taken: set[int] = set()

    def match_places(self) -> None:
        """Match layers that stand in like places of the whole graph."""
        self._unique(*(signatures(graph) for graph in self._graphs))

    def match(self, level: int) -> None:
        """Match what is still alone, as strictly as `level` says."""
        first, second = (keys(graph, level) for graph in self._graphs)
        while True:
            before = len(self.partner)
            if level < _LEVELS - 1:
                self._unique(first, second)
            names = [graph.names for graph in self._graphs]
            self._unique(list(zip(names[0], first, strict=True)), list(zip(names[1], second, strict=True)))
            self._along_edges(first, second)
            if len(self.partner) == before:
                self._in_order(first, second)
                self._along_edges(first, second)
            if len(self.partner) == before:
                return

    def _free(self) -> tuple[list[int], list[int]]:
        one, other = self._graphs
        return (
            [i for i in one.order if i not in self.partner],
            [i for i in other.order if i not in self._taken],
        )

    def _take(self, one: int, other: int) -> None:
        self.partner[one] = other
        self._taken.add(other)

    def _unique(self, first: Sequence[Hashable], second: Sequence[Hashable]) -> None:
        self._only(*self._free(), first, second)

    def _only(
        self, left: Iterable[int], right: Iterable[int], first: Sequence[Hashable], second: Sequence[Hashable]
    ) -> list[tuple[int, int]]:
        """Match layers whose key only one layer on each side has; returns the new pairs."""
        places: list[dict[Hashable, list[int]]] = [defaultdict(list), defaultdict(list)]
        for side, (positions, known) in enumerate(((left, first), (right, second))):
            for position in positions:
                places[side][known[position]].append(position)
        found = []
        for key, positions in places[0].items():
            others = places[1].get(key, [])
            if len(positions) == len(others) == 1:
                self._take(positions[0], others[0])
                found.append((positions[0], others[0]))
        return found

    def _along_edges(self, first: Sequence[Hashable], second: Sequence[Hashable]) -> None:
        """From every pair to those of its neighbours that are alike, over conversions and over layers without a partner."""
        waiting = list(self.partner.items())
        one, other = self._graphs
        while waiting:
            left, right = waiting.pop()
            for near in (Graph.after, Graph.before):
                for skip in (CONVERTS, _SKIPPED):
                    waiting += self._only(
                        self._near(near, one, left, self.partner, skip),
                        self._near(near, other, right, self._taken, skip),
                        first,
                        second,
                    )

    @staticmethod
    def _near(
        near: Callable[[Graph, int], list[int]],
        graph: Graph,
        start: int,
        taken: Container[int],
        skip: frozenset[str],
    ) -> list[int]:
        """Free layers next to `start`; beyond operators that are skipped the next ones count too, up to a few steps."""
        found: list[int] = []
        waiting, seen = [(position, 0) for position in near(graph, start)], {start}
        while waiting:
            position, steps = waiting.pop(0)
            if position in seen or position in taken:
                continue
            seen.add(position)
            found.append(position)
            if graph.op(position) in skip and steps < _STEPS:
                waiting += [(following, steps + 1) for following in near(graph, position)]
        return found

    def _in_order(self, first: Sequence[Hashable], second: Sequence[Hashable]) -> None:
        """Match the longest run of layers that are alike in both, in the order of their depth, and what lies around it."""
        left, right = self._free()
        matcher = SequenceMatcher(None, [first[i] for i in left], [second[i] for i in right], autojunk=False)
        one, other = self._graphs
        for block in matcher.get_matching_blocks():
            for step in range(block.size):
                here, there = left[block.a + step], right[block.b + step]
                if abs(one.depth[here] - other.depth[there]) <= _DEPTH_APART:
                    self._take(here, there)


def _shared(first: Network, second: Network, groups: Sequence[Group]) -> float:
    shares = []
    for side, network in enumerate((first, second)):
        weights = [layer.macs * layer.repeat for layer in network.layers]
        if not sum(weights):
            weights = [layer.op not in CONVERTS for layer in network.layers]
        inside = Counter[bool]()
        for group in groups:
            positions = (group.first, group.second)[side]
            inside[bool(group.first and group.second)] += sum(weights[i] for i in positions)
        shares.append(inside[True] / max(sum(inside.values()), 1))
    return min(shares)
