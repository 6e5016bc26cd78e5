"""Which channels of a Keras model must go or stay together.

The idea is that of DepGraph (Fang et al., CVPR 2023, "Towards Any Structural Pruning"), written with one
number per channel: every layer that makes channels makes fresh *atoms*, every layer that ties channels unites
theirs, and a *unit* is what ends up tied: the least that can be removed. Units that occur at the same places
form a *group*, whose width can be chosen freely.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compressor.rules import RULES, Atoms, Frozen
from compressor.topology import Node, Shape, TensorKey, Topology, read_topology
from profiler.errors import UsageError

Widths = Mapping[str, int]
"""How many units of each group there are, by `Group.id`."""

Variables = tuple[tuple[str, tuple[int, ...]], ...]
"""Name and shape of each weight of a layer."""


@dataclass(frozen=True)
class Axis:
    """One axis of one weight and the channels that stand along it. `role` is ``in``, ``out`` or ``scale``."""

    layer: str
    variable: str
    axis: int
    atoms: Atoms
    role: str


@dataclass(frozen=True)
class Count:
    """A value in a layer's configuration (or one position of it) that is a number of channels."""

    layer: str
    key: str
    position: int | None
    atoms: Atoms


@dataclass(frozen=True)
class Group:
    """Channels that can be removed one by one, each at every layer that it runs through.

    Attributes
    ----------
    id
        The name of the first layer that makes them (with ``#2`` and so on where that layer makes several
        groups).
    width
        How many there are.
    producers
        The layers whose widths count them.
    layers
        All layers with weights that stand for them.
    """

    id: str
    width: int
    producers: tuple[str, ...]
    layers: tuple[str, ...]


@dataclass(frozen=True)
class FrozenLayer:
    """A layer whose channels are left alone, and why."""

    layer: str
    reason: str


@dataclass(frozen=True)
class WidthForm:
    """A number of channels as a linear form in the widths of groups: ``constant + sum(times[g] *
    width[g])``."""

    constant: int
    times: tuple[tuple[str, int], ...]

    @property
    def primitive(self) -> WidthForm:
        """The least form that this one is a multiple of: that of one position of a flattened tensor."""
        divisor = math.gcd(self.constant, *(factor for _, factor in self.times)) or 1
        return WidthForm(self.constant // divisor, tuple((g, n // divisor) for g, n in self.times))

    def __call__(self, widths: Widths) -> int:
        """The number of channels at these widths."""
        return self.constant + sum(factor * widths[group] for group, factor in self.times)


class ChannelGraph:
    """The groups of a model, and where in it each of their channels stands.

    Made by `build_graph`. Groups are in the order in which the network makes them.

    Attributes
    ----------
    groups
        By id.
    frozen
        Layers that were not understood.
    axes
        Every axis of a weight that stands for channels.
    counts
        Every configuration value that counts channels.
    """

    def __init__(
        self,
        axes: Sequence[Axis],
        counts: Sequence[Count],
        roots: Atoms,
        unit_of: Mapping[int, tuple[str, int]],
        groups: Sequence[Group],
        frozen: Sequence[FrozenLayer],
        variables: Mapping[str, Variables],
        tensors: Iterable[Atoms],
    ) -> None:
        self.axes = tuple(axes)
        self.counts = tuple(counts)
        self.groups = {group.id: group for group in groups}
        self.frozen = tuple(frozen)
        self._roots = roots
        self._unit_of = dict(unit_of)
        self._variables = dict(variables)
        self._tensors = tuple(tensors)

    @property
    def widths(self) -> dict[str, int]:
        """The widths that the model has now."""
        return {group.id: group.width for group in self.groups.values()}

    @cached_property
    def _numbers(self) -> Atoms:
        """For each atom the number of its unit among those of all groups in order; -1 where it stays."""
        first, offsets = 0, {}
        for group in self.groups.values():
            offsets[group.id] = first
            first += group.width
        numbers = np.full(len(self._roots), -1, dtype=np.int64)
        for root, (name, position) in self._unit_of.items():
            numbers[root] = offsets[name] + position
        return numbers[self._roots]

    def positions(self, atoms: Atoms) -> Atoms:
        """The number of each of these channels among the removable ones of all groups in order; -1 where it
        always stays."""
        return self._numbers[atoms]

    def add_up(self, atoms: Atoms, values: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """Sum values [len(atoms)] by the channel that each stands for; per group [width]."""
        numbers = self._numbers[atoms]
        total = sum(group.width for group in self.groups.values())
        sums = np.bincount(numbers[numbers >= 0], np.asarray(values)[numbers >= 0], minlength=total)
        ends = np.cumsum([group.width for group in self.groups.values()])
        return dict(zip(self.groups, np.split(sums, ends[:-1]), strict=True)) if self.groups else {}

    def form(self, atoms: Atoms) -> WidthForm:
        """How the number of these channels follows from the groups' widths."""
        roots, times = np.unique(self._roots[atoms], return_counts=True)
        totals: dict[str, int] = {}
        constant = 0
        for root, n in zip(roots.tolist(), times.tolist(), strict=True):
            unit = self._unit_of.get(root)
            if unit is None:
                constant += n
            else:
                totals[unit[0]] = totals.get(unit[0], 0) + n
        return WidthForm(constant, tuple((g, n // self.groups[g].width) for g, n in sorted(totals.items())))

    @cached_property
    def readers(self) -> tuple[Axis, ...]:
        """The axes of weights that read removable channels: without these entries a channel carries
        nothing."""
        return tuple(a for a in self.axes if a.role == "in" and (self._numbers[a.atoms] >= 0).any())

    def kept(self, keep: Mapping[str, Iterable[int]]) -> NDArray[np.bool_]:
        """For each atom whether it stays, where group ``g`` keeps the positions ``keep[g]`` (all where it is
        not named).

        Raises
        ------
        UsageError
            A group or a position does not exist, or nothing of a group would be left.
        """
        chosen = {}
        for name, positions in keep.items():
            group = self.groups.get(name)
            if group is None:
                raise UsageError(
                    f"There is no group of channels {name!r}: there are {', '.join(self.groups) or 'none'}."
                )
            chosen[name] = {int(p) for p in positions}
            if not chosen[name] or min(chosen[name]) < 0 or max(chosen[name]) >= group.width:
                raise UsageError(
                    f"Group {name!r} has channels 0 to {group.width - 1}: keep one of them or more."
                )
        stays = np.ones(len(self._roots), dtype=bool)
        for root, (name, position) in self._unit_of.items():
            if name in chosen and position not in chosen[name]:
                stays[root] = False
        return stays[self._roots]

    def parameters(self, widths: Widths) -> int:
        """How many weights the model has at these widths."""
        forms = self._axis_forms
        total = 0
        for layer, variables in self._variables.items():
            for variable, shape in variables:
                sizes = [
                    forms[layer, variable, i](widths) if (layer, variable, i) in forms else n
                    for i, n in enumerate(shape)
                ]
                total += math.prod(sizes)
        return total

    @cached_property
    def _axis_forms(self) -> dict[tuple[str, str, int], WidthForm]:
        return {(a.layer, a.variable, a.axis): self.form(a.atoms) for a in self.axes}

    @cached_property
    def forms(self) -> tuple[WidthForm, ...]:
        """The widths of all tensors of the model that are not fixed, up to constant factors, each once."""
        return tuple(dict.fromkeys(f.primitive for f in map(self.form, self._tensors) if f.times))


def build_graph(model: Any) -> ChannelGraph:
    """Find the groups of channels of a Sequential or Functional Keras 3 model.

    Layers without a rule, layers that are called twice and models inside the model are frozen whole: nothing
    that flows into or out of them changes width. The model's own inputs and outputs never do.

    Raises
    ------
    UsageError
        The model is subclassed or was never built.
    """
    return _Builder(read_topology(model)).build()


class _Builder:
    """Walks a topology once, with `compressor.rules` writing into it."""

    def __init__(self, topology: Topology) -> None:
        self.topology = topology
        self.channels: dict[TensorKey, Atoms] = {}
        self.axes: list[Axis] = []
        self.counts: list[Count] = []
        self.frozen: list[FrozenLayer] = []
        self.parent: list[int] = []
        self.fixed: list[Atoms] = []

    # What rules call.

    def fresh(self, count: int) -> Atoms:
        atoms = np.arange(len(self.parent), len(self.parent) + count, dtype=np.int64)
        self.parent.extend(atoms.tolist())
        return atoms

    def unite(self, first: Atoms, second: Atoms) -> None:
        for a, b in zip(first.tolist(), second.tolist(), strict=True):
            low, high = sorted((self._root(a), self._root(b)))
            self.parent[high] = low

    def freeze(self, atoms: Atoms) -> None:
        self.fixed.append(atoms)

    def axis(self, node: Node, variable: str, axis: int, atoms: Atoms, role: str) -> None:
        rank = len(dict(node.variables)[variable])
        self.axes.append(Axis(node.name, variable, axis % rank, atoms, role))

    def count(self, node: Node, key: str, atoms: Atoms, position: int | None = None) -> None:
        self.counts.append(Count(node.name, key, position, atoms))

    # The walk.

    def build(self) -> ChannelGraph:
        for key in self.topology.inputs:
            self._leave_alone(key)
        for node in self.topology.nodes:
            self._visit(node)
        for key in self.topology.outputs:
            self.freeze(self.channels.get(key, np.empty(0, np.int64)))
        roots = np.array([self._root(atom) for atom in range(len(self.parent))], dtype=np.int64)
        unit_of, groups = self._groups(roots)
        variables = {node.name: node.variables for node in self.topology.nodes}
        return ChannelGraph(
            self.axes,
            self.counts,
            roots,
            unit_of,
            groups,
            self.frozen,
            variables,
            self.channels.values(),
        )

    def _visit(self, node: Node) -> None:
        if node.kind == "InputLayer":
            self._leave_alone(TensorKey(node.name))
            return
        state = len(self.axes), len(self.counts)
        try:
            if len(node.inputs) != 1:
                raise Frozen("it is called in more than one place")
            rule = RULES.get(node.kind)
            if rule is None:
                raise Frozen(_unknown(node.kind))
            shapes = [self.topology.shapes.get(key, ()) for key in node.inputs[0]]
            if any(
                not shape or shape[-1] is None or key not in self.channels
                for key, shape in zip(node.inputs[0], shapes, strict=True)
            ):
                raise Frozen("the width of what it reads is not known")
            inputs = [self.channels[key] for key in node.inputs[0]]
            self.channels[TensorKey(node.name)] = rule(node, inputs, shapes, self)
        except Frozen as reason:
            del self.axes[state[0] :], self.counts[state[1] :]
            self.frozen.append(FrozenLayer(node.name, str(reason)))
            for key in (key for call in node.inputs for key in call):
                self.freeze(self.channels.get(key, np.empty(0, np.int64)))
            outputs = {key for key in self.topology.shapes if key.layer == node.name}
            for key in outputs | {key for key in self.topology.outputs if key.layer == node.name}:
                self._leave_alone(key)

    def _leave_alone(self, key: TensorKey) -> None:
        """Give a tensor channels that cannot be removed."""
        shape: Shape = self.topology.shapes.get(key, ())
        if len(shape) > 1 and shape[-1] is not None and key not in self.channels:
            self.channels[key] = self.fresh(shape[-1])
            self.freeze(self.channels[key])

    def _root(self, atom: int) -> int:
        while self.parent[atom] != atom:
            self.parent[atom] = self.parent[self.parent[atom]]
            atom = self.parent[atom]
        return atom

    def _groups(self, roots: Atoms) -> tuple[dict[int, tuple[str, int]], list[Group]]:
        """Units that occur equally often at every place form a group; those that nothing counts are not
        removable."""
        fixed = {int(r) for atoms in self.fixed for r in roots[atoms]}
        places: dict[int, list[tuple[int, int]]] = {}
        for place, atoms in enumerate([i.atoms for i in self.axes] + [i.atoms for i in self.counts]):
            found, times = np.unique(roots[atoms], return_counts=True)
            for root, n in zip(found.tolist(), times.tolist(), strict=True):
                if root not in fixed:
                    places.setdefault(root, []).append((place, n))
        by_signature: dict[tuple[tuple[int, int], ...], list[int]] = {}
        for root in sorted(places):
            by_signature.setdefault(tuple(places[root]), []).append(root)
        unit_of: dict[int, tuple[str, int]] = {}
        groups: list[Group] = []
        names: dict[str, int] = {}
        for signature, members in by_signature.items():
            made = [
                self.counts[place - len(self.axes)].layer for place, _ in signature if place >= len(self.axes)
            ]
            touched = [self.axes[place].layer for place, _ in signature if place < len(self.axes)]
            if not made:
                continue
            names[made[0]] = names.get(made[0], 0) + 1
            name = made[0] if names[made[0]] == 1 else f"{made[0]}#{names[made[0]]}"
            groups.append(
                Group(name, len(members), tuple(dict.fromkeys(made)), tuple(dict.fromkeys(touched)))
            )
            unit_of.update((root, (name, position)) for position, root in enumerate(members))
        return unit_of, groups


def _unknown(kind: str) -> str:
    if kind.startswith("custom:"):
        return f"custom layer {kind[7:]}"
    if kind in ("Functional", "Sequential", "Model"):
        return "a model inside the model"
    return f"no rule for {kind.replace('ops.', 'operation ')}"
