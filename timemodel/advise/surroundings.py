"""A part of a network as a network of its own: layers that change, with their neighbours."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from profiler.network import Edge, Layer, Network, Tensor

_NEIGHBOURS = 2
"""Layers before and behind each one that changes: what runs as one with it, and what decides how that one runs."""


class Surroundings:
    """Cuts the neighbourhood of some layers out of `network`; what that takes grows with the part, not with the network."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._users: dict[int, list[int]] = defaultdict(list)
        self._maker: dict[int, int] = {}
        for position, edge in enumerate(network.edges):
            for tensor in edge.inputs:
                self._users[tensor].append(position)
            self._maker |= dict.fromkeys(edge.outputs, position)
        self._outputs = frozenset(network.outputs)

    def around(self, positions: Iterable[int]) -> list[int]:
        """These positions and those that few edges lead to, in order."""
        found = newest = set(positions)
        for _ in range(_NEIGHBOURS):
            edges = [self._network.edges[position] for position in newest]
            before = {self._maker[t] for edge in edges for t in edge.inputs if t in self._maker}
            behind = {user for edge in edges for t in edge.outputs for user in self._users[t]}
            newest = (before | behind) - found
            found = found | newest
        return sorted(found)

    def part(self, positions: Iterable[int], changed: Mapping[int, Layer]) -> Network:
        """The layers at `positions`, those `changed` in their new form, as a network."""
        inside = set(positions)
        layers: list[Layer] = []
        edges: list[Edge] = []
        numbers: dict[tuple[int, Tensor], int] = {}
        for position in sorted(inside):
            layer, edge = changed.get(position, self._network.layers[position]), self._network.edges[position]
            operands, results = (
                # A vector that two layers share may now have two sizes: each is a tensor of its own.
                tuple(numbers.setdefault(key, len(numbers)) for key in zip(indices, tensors, strict=True))
                for indices, tensors in ((edge.inputs, layer.inputs), (edge.outputs, layer.outputs))
            )
            layers.append(layer)
            edges.append(Edge(operands, results, edge.graph))
        made = {number for edge in edges for number in edge.outputs}
        inputs = [n for (_, tensor), n in numbers.items() if n not in made and not tensor.constant]
        outputs = [
            n
            for (index, _), n in numbers.items()
            if n in made and (index in self._outputs or not inside.issuperset(self._users[index]))
        ]
        tensors = tuple(tensor for _, tensor in numbers)
        return Network(
            self._network.name, tuple(layers), tuple(edges), tensors, tuple(inputs), tuple(outputs)
        )
