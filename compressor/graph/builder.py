"""Which channels of a Keras model must go or stay together.

The idea is that of DepGraph (Fang et al., CVPR 2023, "Towards Any Structural Pruning"), written with one
number per channel: every layer that makes channels makes fresh *atoms*, every layer that ties channels unites
theirs, and a *unit* is what ends up tied: the least that can be removed. Units that occur at the same places
form a *group*, whose width can be chosen freely.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compressor.graph.frozen import Holds, joined
from compressor.graph.records import (
    Axis,
    Count,
    FrozenLayer,
    Group,
    ProductForm,
    Rescale,
    SizeForm,
    Statistics,
    WidthForm,
    Widths,
)
from compressor.graph.rules import (
    RULES,
    Atoms,
    Frozen,
    Outputs,
    Recorder,
    recurrent,
)
from compressor.graph.topology import (
    Call,
    TensorKey,
    Topology,
    Variables,
    read_topology,
)
from compressor.graph.units import find_groups, tied
from profiler.errors import UsageError

__all__ = [
    "Axis", "ChannelGraph", "Count", "FrozenLayer", "Group", "ProductForm", "Rescale", "SizeForm", "Statistics",
    "WidthForm", "Widths", "build_graph",
]  # fmt: skip


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
    rescales, statistics
        What else changes with the number of channels.
    """

    def __init__(
        self,
        axes: Sequence[Axis],
        counts: Sequence[Count],
        roots: Atoms,
        groups: Sequence[Group],
        units: Sequence[Atoms],
        frozen: Sequence[FrozenLayer],
        variables: Mapping[str, Variables],
        tensors: Iterable[Atoms],
        rescales: Sequence[Rescale] = (),
        statistics: Sequence[Statistics] = (),
    ) -> None:
        self.axes = tuple(axes)
        self.counts = tuple(counts)
        self.rescales = tuple(rescales)
        self.statistics = tuple(statistics)
        self.groups = {group.id: group for group in groups}
        self.frozen = tuple(frozen)
        self._variables = dict(variables)
        self._tensors = tuple(tensors)
        self._names = tuple(self.groups)
        self._ends = np.cumsum([group.width for group in groups], dtype=np.int64)
        # For each atom the number of its unit among those of all groups in order; -1 where it stays.
        numbers = np.full(len(roots), -1, dtype=np.int64)
        for found, end in zip(units, self._ends.tolist(), strict=True):
            numbers[found] = np.arange(end - len(found), end)
        self._numbers = numbers[roots]

    @property
    def widths(self) -> dict[str, int]:
        """The widths that the model has now."""
        return {group.id: group.width for group in self.groups.values()}

    def positions(self, atoms: Atoms) -> Atoms:
        """The number of each of these channels among the removable ones of all groups in order; -1 where it
        always stays."""
        return np.asarray(self._numbers[atoms])

    def add_up(self, atoms: Atoms, values: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """Sum values [len(atoms)] by the channel that each stands for; per group [width]."""
        if not self.groups:
            return {}
        numbers = self._numbers[atoms]
        chosen = numbers >= 0
        sums = np.bincount(numbers[chosen], np.asarray(values)[chosen], minlength=int(self._ends[-1]))
        return dict(zip(self.groups, np.split(sums, self._ends[:-1]), strict=True))

    def form(self, atoms: Atoms) -> WidthForm:
        """How the number of these channels follows from the groups' widths."""
        numbers = self._numbers[atoms]
        held = numbers[numbers >= 0]
        found, times = np.unique(np.searchsorted(self._ends, held, side="right"), return_counts=True)
        names = [self._names[index] for index in found.tolist()]
        factors = [n // self.groups[g].width for g, n in zip(names, times.tolist(), strict=True)]
        return WidthForm(len(numbers) - len(held), tuple(sorted(zip(names, factors, strict=True))))

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
        units = np.ones(int(self._ends[-1]) + 1 if len(self._ends) else 1, dtype=bool)
        for name, positions in keep.items():
            group = self.groups.get(name)
            if group is None:
                raise UsageError(
                    f"There is no group of channels {name!r}: there are {', '.join(self.groups) or 'none'}."
                )
            chosen = np.fromiter((int(p) for p in positions), dtype=np.int64)
            if not len(chosen) or chosen.min() < 0 or chosen.max() >= group.width:
                raise UsageError(
                    f"Group {name!r} has channels 0 to {group.width - 1}: keep one of them or more."
                )
            end = int(self._ends[self._names.index(name)])
            units[end - group.width : end] = False
            units[end - group.width + chosen] = True
        # What stays in any case has the number -1: the last place, which is true.
        return np.asarray(units[self._numbers])

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
        """The widths of all tensors of the model that are not fixed, up to constant factors, each once.

        Those of weights and of values in configurations are among them: inside a recurrent layer or an
        attention there are tensors that no other layer sees.
        """
        atoms = [*self._tensors, *(a.atoms for a in self.axes), *(c.atoms for c in self.counts)]
        return tuple(dict.fromkeys(f.primitive for f in map(self.form, atoms) if f.times))

    @cached_property
    def products(self) -> tuple[ProductForm, ...]:
        """Sizes that are products of two widths of one layer: inside an attention."""
        by_layer: dict[str, dict[WidthForm, None]] = {}
        for count in self.counts:
            if count.label:
                form = self.form(count.atoms).primitive
                by_layer.setdefault(count.layer, {})[form] = None
        pairs = (pair for forms in by_layer.values() for pair in itertools.combinations(forms, 2))
        return tuple(dict.fromkeys(ProductForm(a, b) for a, b in pairs if a.times or b.times))


def build_graph(model: Any) -> ChannelGraph:
    """Find the groups of channels of a Sequential or Functional Keras 3 model.

    Layers without a rule are frozen whole: nothing that flows into or out of them changes width. The model's
    own inputs and outputs never do. A layer that is used twice has the same channels both times.

    Raises
    ------
    UsageError
        The model is subclassed or was never built.
    """
    return _Builder(read_topology(model)).build()


class _Builder:
    """Walks a topology once, with `compressor.graph.rules.registry` writing into it."""

    def __init__(self, topology: Topology) -> None:
        self.topology = topology
        self.channels: dict[TensorKey, Atoms] = {}
        self.axes: list[Axis] = []
        self.counts: list[Count] = []
        self.rescales: list[Rescale] = []
        self.statistics_over: list[Statistics] = []
        self.frozen: dict[str, FrozenLayer] = {}
        self.atoms = 0
        self.pairs: list[tuple[Atoms, Atoms]] = []
        self.holds = Holds()
        # What the first use of each layer wrote down, and how much of it this use has written again.
        self.written: dict[str, list[tuple[tuple[Any, ...], Atoms]]] = {}
        self.turn = 0

    # What rules call.

    def fresh(self, count: int) -> Atoms:
        atoms = np.arange(self.atoms, self.atoms + count, dtype=np.int64)
        self.atoms += count
        return atoms

    def fixed(self, count: int) -> Atoms:
        atoms = self.fresh(count)
        self.freeze(atoms)
        return atoms

    def unite(self, first: Atoms, second: Atoms) -> None:
        if first.shape != second.shape:
            raise Frozen("what meets in it differs in width")
        self.pairs.append((first, second))

    def freeze(self, atoms: Atoms) -> None:
        self.holds.add(atoms)

    def hold(self, call: Call, atoms: Atoms, reason: str) -> None:
        self.holds.named.append((FrozenLayer(call.name, reason), atoms))

    def removable(self, atoms: Atoms) -> bool:
        roots = self._roots()
        return not self.holds.stays(roots)[roots[atoms]].all()

    def axis(self, call: Call, variable: str, axis: int, atoms: Atoms, role: str) -> None:
        shape = call.variables.get(variable)
        if shape is None or len(shape) < axis + 1 or shape[axis] != len(atoms):
            raise Frozen(f"its weight {variable} has another shape than expected")
        name = call.aliases.get(variable, variable)
        axis %= len(shape)
        if self._first_time(call, ("axis", name, axis, role), atoms):
            self.axes.append(Axis(call.name, name, axis, atoms, role))

    def count(self, call: Call, key: str, atoms: Atoms, position: int | None = None, label: str = "") -> None:
        if self._first_time(call, ("count", *call.path, key, position), atoms):
            self.counts.append(Count(call.name, key, position, atoms, call.path, label))

    def rescale(self, call: Call, variable: str, atoms: Atoms, power: float) -> None:
        name = call.aliases.get(variable, variable)
        if self._first_time(call, ("rescale", name), atoms):
            self.rescales.append(Rescale(call.name, name, atoms, power))

    def statistics(self, call: Call, atoms: Atoms) -> None:
        if self._first_time(call, ("statistics", *call.path), atoms):
            self.statistics_over.append(Statistics(call.name, atoms, call.path))

    def remark(self, call: Call, reason: str) -> None:
        self.frozen.setdefault(call.name, FrozenLayer(call.name, reason))

    def _first_time(self, call: Call, what: tuple[Any, ...], atoms: Atoms) -> bool:
        """Whether this is the layer's first use; else its channels are those of the first."""
        written = self.written[call.name]
        if not call.index:
            written.append((what, atoms))
            return True
        if self.turn >= len(written) or written[self.turn][0] != what:
            raise Frozen("its uses differ")
        self.unite(written[self.turn][1], atoms)
        self.turn += 1
        return False

    # The walk.

    def build(self) -> ChannelGraph:
        for call in self.topology.calls:
            self._visit(call)
        for key in self.topology.outputs:
            self.freeze(self._of(key))
        roots = self._roots()
        groups, units = find_groups(self.axes, self.counts, roots, self.holds.stays(roots))
        for layer in self.holds.told(roots):
            self.frozen.setdefault(layer.layer, layer)
        return ChannelGraph(
            self.axes,
            self.counts,
            roots,
            groups,
            units,
            [self.frozen[node.name] for node in self.topology.nodes if node.name in self.frozen],
            {node.name: node.variables for node in self.topology.nodes},
            self.channels.values(),
            self.rescales,
            self.statistics_over,
        )

    def _visit(self, call: Call) -> None:
        if call.kind == "InputLayer" and not call.inputs:
            self._leave_alone(TensorKey(call.name, call.index))
            return
        records: tuple[list[Any], ...] = (
            self.axes, self.counts, self.rescales, self.statistics_over, self.holds.named,
        )  # fmt: skip
        sizes = [len(record) for record in records]
        self.turn = 0
        self.written.setdefault(call.name, [])
        try:
            outputs = self._passed(call)
        except Frozen as reason:
            for record, size in zip(records, sizes, strict=True):
                del record[size:]
            if not call.index:
                self.written[call.name].clear()
            self._freeze(call, str(reason))
            return
        for index, atoms in enumerate(outputs if isinstance(outputs, tuple) else (outputs,)):
            self.channels[TensorKey(call.name, call.index, index)] = atoms

    def _passed(self, call: Call) -> Any:
        if call.name in self.frozen and call.index and not self.written[call.name]:
            raise Frozen(self.frozen[call.name].reason)
        rule = RULES.get(call.kind)
        if call.kind == "InputLayer":
            rule = _inner_input
        if rule is None:
            raise Frozen(_unknown(call.kind))
        if call.config.get("lora_rank"):
            raise Frozen("low-rank adaptation is switched on")
        if call.config.get("quantization_config") or "Quantized" in str(call.config.get("dtype")):
            raise Frozen("its weights are quantised")
        if not call.inputs:
            raise Frozen("it reads no tensor of the network")
        call = self._without_mask(call)
        # What an embedding reads are positions: how many there are says nothing about its width.
        if call.kind != "Embedding" and any(
            len(shape) < 2 or shape[-1] is None or key not in self.channels
            for key, shape in zip(call.inputs, call.input_shapes, strict=True)
        ):
            raise Frozen("the width of what it reads is not known")
        return rule(call, [self._of(key) for key in call.inputs], self)

    def _without_mask(self, call: Call) -> Call:
        """A recurrent layer without its mask, which says what steps count: all of that stays, and it has no channels."""
        mask = call.keywords.get("mask")
        if call.kind not in recurrent.RULES or not isinstance(mask, TensorKey):
            return call
        self.freeze(self._of(mask))
        kept = [(k, s) for k, s in zip(call.inputs, call.input_shapes, strict=True) if k != mask]
        return replace(call, inputs=tuple(k for k, _ in kept), input_shapes=tuple(s for _, s in kept))

    def _freeze(self, call: Call, reason: str) -> None:
        """Leave a layer whole, with all that flows into and out of it."""
        inputs = [self._of(key) for key in call.inputs]
        known = call.kind in RULES and not call.node.variables
        if not known or any(len(atoms) and self.removable(atoms) for atoms in inputs):
            self.frozen.setdefault(call.name, FrozenLayer(call.name, reason))
        if call.index:
            inputs += [atoms for _, atoms in self.written[call.name]]
        for atoms in inputs:
            self.freeze(atoms)
        for index in {*call.output_shapes, 0}:
            self._leave_alone(TensorKey(call.name, call.index, index))

    def _of(self, key: TensorKey) -> Atoms:
        return self.channels.get(key, np.empty(0, np.int64))

    def _leave_alone(self, key: TensorKey) -> None:
        """Give a tensor channels that cannot be removed."""
        shape = self.topology.shapes.get(key, ())
        if len(shape) > 1 and shape[-1] is not None and key not in self.channels:
            self.channels[key] = self.fixed(shape[-1])

    def _roots(self) -> Atoms:
        return tied(self.atoms, joined([a for a, _ in self.pairs]), joined([b for _, b in self.pairs]))


def _inner_input(call: Call, inputs: Sequence[Atoms], recorder: Recorder) -> Outputs:
    """Where a model inside the model begins: it says how many channels it expects."""
    shape = call.config.get("batch_shape")
    if isinstance(shape, (list, tuple)):
        recorder.count(call, "batch_shape", inputs[0], position=len(shape) - 1)
    return inputs[0]


def _unknown(kind: str) -> str:
    if kind.startswith("custom:"):
        return f"custom layer {kind[7:]}"
    if kind in ("Functional", "Sequential", "Model"):
        return "a model inside the model"
    return f"no rule for {kind.replace('ops.', 'operation ')}"
