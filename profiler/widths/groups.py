"""Which widths of a network can change, which go together, and what the network is with other ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from profiler.axes import Analysis, LayerStep, Size
from profiler.errors import UsageError
from profiler.network import Edge, Layer, Network, Tensor
from profiler.operators import operator

_Formula = tuple[int, tuple[tuple[int, int], ...]]
"""A size as constant + sum of factor x width: the constant, and (group, factor) pairs."""


@dataclass(frozen=True)
class WidthGroup:
    """Channels that can only change together; `id` is the position in `Widths.groups`.

    `producers` are positions in `Network.layers` of the layers whose output channels these are, `name` is the first one's;
    `layers` are all that change with the width. `frozen` says why it cannot change, and is empty where it can.
    """

    id: int
    width: int
    producers: tuple[int, ...]
    layers: tuple[int, ...]
    name: str
    frozen: str = ""

    @property
    def free(self) -> bool:
        """Whether the width can change."""
        return not self.frozen


class Widths:
    """The analysis of one network, worked out once and used for any number of widths.

    `groups` stand in the order of their first producers; a network without edges has none. `refused` are the positions of
    layers that let nothing change that reaches them, with the reason.

    Convolutions, fully connected layers, stored embeddings and LSTMs choose their output channels. Depthwise
    convolutions, pooling, activations, normalisation by constants and the like hand channels on; elementwise
    operators of two layers tie them; concatenation puts them side by side; flattening multiplies them. What
    the network takes in and puts out is fixed, and an operator that is not known fixes all that reaches it.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self._analysis = _analyse(network)
        self.refused = dict(self._analysis.refused)
        self._leaf_group: dict[int, int] = {}
        producers = self._find_groups()
        self._formulas: dict[int, tuple[int | _Formula, ...]] = {}
        self._tensors_of: list[list[int]] = [[] for _ in producers]
        for tensor, sizes in self._analysis.sizes.items():
            formulas = tuple(self._formula(s) for s in sizes)
            groups = {g for f in formulas if not isinstance(f, int) for g, _ in f[1]}
            if groups:
                self._formulas[tensor] = formulas
                for group in groups:
                    self._tensors_of[group].append(tensor)
        self._originals = [
            network.tensors[self._analysis.copies.get(i, i)]
            for i in range(len(network.tensors) + len(self._analysis.copies))
        ]
        self._layers_of = self._find_layers()
        self.groups = tuple(
            self._group(number, leaf, positions) for number, (leaf, positions) in enumerate(producers)
        )

    def _find_groups(self) -> list[tuple[int, list[int]]]:
        """Each unbound width that some layer chooses, with the layers that do."""
        variables = self._analysis.variables
        found: dict[int, list[int]] = {}
        for position, size in self._analysis.defining.items():
            resolved = variables.resolve(size)
            for segment in () if isinstance(resolved, int) else resolved.segments:
                positions = found.setdefault(segment.variable, [])
                if position not in positions:
                    positions.append(position)
        self._leaf_group = {leaf: number for number, leaf in enumerate(found)}
        return list(found.items())

    def _formula(self, size: Size) -> int | _Formula:
        variables = self._analysis.variables
        resolved = variables.resolve(size)
        if isinstance(resolved, int):
            return resolved
        constant, factors = 0, dict[int, int]()
        for variable, multiplier in resolved.segments:
            group = self._leaf_group.get(variable)
            factor = resolved.times * multiplier
            if group is None:
                constant += factor * variables.width(variable)
            else:
                factors[group] = factors.get(group, 0) + factor
        return (constant, tuple(factors.items())) if factors else constant

    def _find_layers(self) -> list[list[int]]:
        """Per group the positions of the layers that it reaches."""
        users: dict[int, list[int]] = {}
        for position, edge in enumerate(self.network.edges):
            for tensor in {*self._analysis.reads[position], *edge.outputs}:
                users.setdefault(tensor, []).append(position)
        return [
            sorted({p for tensor in tensors for p in users.get(tensor, ())}) for tensors in self._tensors_of
        ]

    def _group(self, number: int, leaf: int, producers: list[int]) -> WidthGroup:
        variables = self._analysis.variables
        return WidthGroup(
            number,
            variables.width(leaf),
            tuple(producers),
            tuple(self._layers_of[number]),
            self.network.layers[producers[0]].name,
            variables.frozen(leaf),
        )

    def changed_layers(self, widths: Mapping[int, int]) -> dict[int, Layer]:
        """Layers that other widths per group change, by position; UsageError where one is unknown, frozen or below 1."""
        return self._layers(self._tensors(widths), widths)

    def with_widths(self, widths: Mapping[int, int]) -> Network:
        """The whole network with other widths; errors as for `changed_layers`."""
        network = self.network
        made = self._tensors(widths)
        if not made:
            return network
        changed = self._layers(made, widths)
        layers = tuple(changed.get(position, layer) for position, layer in enumerate(network.layers))
        tensors = [made.get(index, tensor) for index, tensor in enumerate(network.tensors)]
        edges = self._edges(tensors, made)
        result = replace(network, layers=layers, edges=edges, tensors=tuple(tensors))
        return replace(result, file_bytes=network.file_bytes + result.weight_bytes - network.weight_bytes)

    def _tensors(self, widths: Mapping[int, int]) -> dict[int, Tensor]:
        """Tensors that change, copies included."""
        affected: dict[int, None] = {}
        for group, width in widths.items():
            self._check(group, width)
            if width != self.groups[group].width:
                affected.update(dict.fromkeys(self._tensors_of[group]))
        made = {}
        for index in affected:
            old = self._originals[index]
            shape = tuple(
                f
                if isinstance(f, int)
                else f[0] + sum(widths.get(g, self.groups[g].width) * factor for g, factor in f[1])
                for f in self._formulas[index]
            )
            made[index] = Tensor(shape, old.dtype, old.constant)
        return made

    def _check(self, group: int, width: int) -> None:
        if not 0 <= group < len(self.groups):
            raise UsageError(
                f"{self.network.name} has no width group {group}, only 0 to {len(self.groups) - 1}."
            )
        found = self.groups[group]
        if width < 1:
            raise UsageError(f"Width {width} of group {group} ({found.name}) must be at least 1.")
        if found.frozen and width != found.width:
            raise UsageError(f"The width of group {group} ({found.name}) cannot change: {found.frozen}.")

    def _layers(self, made: Mapping[int, Tensor], widths: Mapping[int, int]) -> dict[int, Layer]:
        network, reads, originals = self.network, self._analysis.reads, self._originals
        positions = {p for group in widths for p in self._layers_of[group]} if made else ()
        changed = {}
        for position in sorted(positions):
            old, edge = network.layers[position], network.edges[position]
            inputs = tuple(made.get(i) or originals[i] for i in reads[position])
            outputs = tuple(made.get(i) or originals[i] for i in edge.outputs)
            resized = operator(old.op).resized
            params = resized(old, inputs, outputs) if resized else old.params
            changed[position] = Layer(old.op, inputs, outputs, params, old.name, old.index, old.repeat)
        return changed

    def _edges(self, tensors: list[Tensor], made: Mapping[int, Tensor]) -> tuple[Edge, ...]:
        """Edges of the new network: a vector that layers shared and now need in different sizes is stored twice."""
        copies = self._analysis.copies
        new_places: dict[int, int] = {}
        for copy, original in copies.items():
            tensor = made.get(copy) or self._originals[copy]
            if tensor != tensors[original]:
                new_places[copy] = len(tensors)
                tensors.append(tensor)
        if not new_places:
            return self.network.edges
        edges = list(self.network.edges)
        for position, edge in enumerate(edges):
            reads = self._analysis.reads[position]
            if any(i in new_places for i in reads):
                inputs = tuple(new_places.get(i, copies.get(i, i)) for i in reads)
                edges[position] = Edge(inputs, edge.outputs, edge.graph)
        return tuple(edges)


def _analyse(network: Network) -> Analysis:
    """Walk through the layers of `network` and find out how their widths hang together."""
    analysis = Analysis(network)
    for position, edge in enumerate(network.edges):
        step = LayerStep(analysis, position)
        rule = operator(step.layer.op).widths
        if rule is None:
            step.reason = f"{step.layer.op} {step.layer.name!r} is not understood"
            step.freeze_all()
            continue
        try:
            rule(step)
        except (IndexError, ValueError, ZeroDivisionError):
            # Shapes that an operator cannot have, in a file that no runtime would take.
            step.freeze_all()
        if edge.graph:
            written = [size for tensor in edge.outputs for size in analysis.sizes.pop(tensor, ())]
            for size in (*written, analysis.defining.get(position, 0)):
                analysis.variables.freeze(size, "it stands in a loop or branch")
    for tensor in network.outputs:
        for size in analysis.sizes.get(tensor, ()):
            analysis.variables.freeze(size, "the network puts it out")
    for layer, edge in zip(network.layers, network.edges, strict=False):
        # Weights that are unpacked on loading have the axes of what they are unpacked to.
        if operator(layer.op).file.made_on_loading and layer.inputs and layer.inputs[0].constant:
            made = analysis.sizes.get(edge.outputs[0])
            if made is not None:
                analysis.sizes[edge.inputs[0]] = made
    return analysis


def width_of(layer: Layer) -> int:
    """Output channels (or units) of `layer`."""
    return layer.outputs[0].shape[-1]


def with_width(layer: Layer, width: int) -> Layer:
    """`layer` with `width` output channels; KeyError where its operator has no width of its own."""
    known = operator(layer.op)
    axis = known.quantization.channel_axis
    if known.output_width is None or axis is None:
        raise KeyError(layer.op)
    inputs = list(layer.inputs)
    if known.output_width.follows_input:
        inputs[0] = replace(inputs[0], shape=(*inputs[0].shape[:-1], width))
    weight = inputs[1].shape
    inputs[1] = replace(inputs[1], shape=(*weight[:axis], width, *weight[axis + 1 :]))
    if len(inputs) > 2:
        inputs[2] = replace(inputs[2], shape=(width,))
    out = layer.outputs[0]
    return replace(layer, inputs=tuple(inputs), outputs=(Tensor((*out.shape[:-1], width), out.dtype),))


def with_input_width(layer: Layer, width: int) -> Layer:
    """A convolution or fully connected `layer` that reads `width` channels."""
    data, weight = layer.inputs[:2]
    inputs = (
        replace(data, shape=(*data.shape[:-1], width)),
        replace(weight, shape=(*weight.shape[:-1], width)),
        *layer.inputs[2:],
    )
    return replace(layer, inputs=inputs)
