"""The TFLite network that a Keras model becomes at any configuration, without converting it each time.

What the converter makes of a model depends on its structure, not on its widths: from three conversions is learned
how every dimension in the file follows from the widths, whatever the converter does.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np

from compressor.costs.configuration import Configuration
from compressor.costs.layer_forms import LayerForm, Size
from compressor.graph import ChannelGraph, SizeForm, resize
from profiler.network import Edge, Layer, Network, Param, Tensor

Convert = Callable[[Any], Network]
"""From a Keras model to the network in the file that it becomes."""

_TRIES = 200
_LEAST, _MOST = 3, 64
_ONES: Mapping[str, int] = defaultdict(lambda: 1)
_NOTHING = Tensor((0,), "float32", True)
"""In the place of a tensor that is gone."""

_ENTRY_BYTES = 80
"""Of a tensor's name, shape and place in the file."""

_OPERATOR_BYTES = 130
"""Of an operator's options and operands in the file."""


class LoweringError(Exception):
    """The structure of the converted network depends on its widths; it never reaches the user."""


class LearnedLowering:
    """The converted network with every dimension as a form in the widths; layers that are alike are worked out once."""

    def __init__(
        self,
        base: Network,
        layers: Sequence[LayerForm],
        forms: Sequence[SizeForm],
        same: Mapping[str, str] | None = None,
    ) -> None:
        self._base = base
        self.same = {name: _last(same or {}, name) for name in same or {}}
        """By groups that are gone those whose width counts in their place."""
        self._items = tuple(layers)
        self._forms = tuple(forms)
        kinds: dict[Any, _Kind] = {}
        for position, item in enumerate(layers):
            kinds.setdefault(item.identity, _Kind(item)).add(position, base.layers[position])
        self._kinds = tuple(kinds.values())
        self._kinds_of: dict[str, list[_Kind]] = {}
        for kind in self._kinds:
            for name in {name for i in kind.form.used for name, _ in self._forms[i].times}:
                kinds_of = self._kinds_of.setdefault(self.same.get(name, name), [])
                if kind not in kinds_of:
                    kinds_of.append(kind)
        # Which tensors of the network change with the widths, and the layers and operands that show how. Equal constants, such
        # as biases of zeros, are one tensor for several layers until their widths differ.
        self._patches: dict[int, list[tuple[int, int]]] = {}
        for position, (item, edge) in enumerate(zip(layers, base.edges, strict=False)):
            for operand, place in enumerate((*edge.inputs, *edge.outputs)):
                if operand in item.changing:
                    self._patches.setdefault(place, []).append((position, operand))
        self._constants = [uses for place, uses in self._patches.items() if base.tensors[place].constant]
        self._stored = self._weights(base.layers)
        self._channel_bytes = 0.0

    def layers(self, configuration: Configuration) -> tuple[Layer, ...]:
        """The layers with their names; the same objects from call to call."""
        sizes = self._sizes(configuration)
        found: list[Any] = [None] * len(self._base.layers)
        for kind in self._kinds:
            for position, layer in zip(kind.positions, kind.layers(sizes), strict=True):
                found[position] = layer
        return tuple(found)

    def counted(self, configuration: Configuration) -> list[tuple[Layer, int]]:
        """The different layers, each with how many there are of it."""
        sizes = self._sizes(configuration)
        return [(kind.layers(sizes)[0], len(kind.positions)) for kind in self._kinds]

    def counted_by_width(
        self, configuration: Configuration, group: str, widths: Sequence[int]
    ) -> list[list[tuple[Layer, int]]]:
        """The layers that a group's width changes, as `counted` gives them, for each of several widths of it."""
        sizes, all_widths = self._sizes(configuration), self._widths(configuration)
        named = [group, *(name for name, other in self.same.items() if other == group)]
        kinds = self._kinds_of.get(group, ())
        forms = {i for kind in kinds for i in kind.form.used}
        rows = []
        for width in widths:
            all_widths.update(dict.fromkeys(named, width))
            for i in forms:
                sizes[i] = self._forms[i](all_widths)
            rows.append([(kind.layers(sizes)[0], len(kind.positions)) for kind in kinds])
        return rows

    def network(self, configuration: Configuration) -> Network:
        """The network at this configuration."""
        layers = self.layers(configuration)
        tensors = list(self._base.tensors)
        for place, uses in self._patches.items():
            tensors[place] = _operand(layers, uses[0])
        nbytes, channels = self._weights(layers)
        growth = nbytes - self._stored[0] + round(self._channel_bytes * (channels - self._stored[1]))
        size = max(0, self._base.file_bytes + growth)
        return replace(self._base, layers=layers, tensors=tuple(tensors), file_bytes=size)

    def groups_in_place(self, source: int, result: int) -> dict[str, str] | None:
        """Whose widths count where one tensor is read in place of another, by the group of that; None where that is unclear."""
        sizes = [self._sizes_of(tensor) for tensor in (source, result)]
        if None in sizes or len(sizes[0] or ()) != len(sizes[1] or ()):
            return None
        same = {}
        for mine, other in zip(sizes[0] or (), sizes[1] or (), strict=True):
            if mine == other:
                continue
            if isinstance(mine, int) or isinstance(other, int) or mine[1] != other[1]:
                return None
            one, two = (self._forms[size[0]].times for size in (mine, other))
            if len(one) != 1 or len(two) != 1 or one[0][1] != two[0][1]:
                return None
            if self._forms[mine[0]](_ONES) != self._forms[other[0]](_ONES):
                return None
            same[two[0][0]] = one[0][0]
        return same

    def _sizes_of(self, tensor: int) -> Sequence[Size] | None:
        """The dimensions of a tensor that some layer reads or makes."""
        for item, edge in zip(self._items, self._base.edges, strict=False):
            for operand, place in enumerate((*edge.inputs, *edge.outputs)):
                if place == tensor:
                    return item.shapes[operand]
        return None

    def without(
        self, gone: Collection[int], instead: Mapping[int, int], same: Mapping[str, str]
    ) -> LearnedLowering:
        """The same for the network without some layers, by position.

        Tensors `instead` of those that they made are read, and the width of a group is that of its like in `same`.
        """
        base = self._base
        stays = [i for i in range(len(base.layers)) if i not in gone]
        edges = [
            replace(base.edges[i], inputs=tuple(instead.get(t, t) for t in base.edges[i].inputs))
            for i in stays
        ]
        tensors = list(base.tensors)
        nbytes = _drop(tensors, base, edges)
        nbytes += sum(_OPERATOR_BYTES + _ENTRY_BYTES * len(base.edges[i].outputs) for i in gone)
        smaller = replace(
            base,
            layers=tuple(base.layers[i] for i in stays),
            edges=tuple(edges),
            tensors=tuple(tensors),
            file_bytes=max(0, base.file_bytes - nbytes),
        )
        made = LearnedLowering(smaller, [self._items[i] for i in stays], self._forms, same)
        made._channel_bytes = self._channel_bytes
        return made

    def instead(self, place: int, made: Callable[[Layer], Sequence[Layer] | None]) -> LearnedLowering:
        """The same for the network in which other layers stand in the place of one.

        What makes them is called with the layer, and with one whose shapes hold forms: it only moves sizes. The operands of the
        layer that stay are the same objects.
        """
        base, tensors = self._base, list(self._base.tensors)
        layer, edge, item = base.layers[place], base.edges[place], self._items[place]
        new, alike = made(layer) or (), made(item.layer_of_forms) or ()
        known = dict(
            zip(map(id, (*layer.inputs, *layer.outputs)), (*edge.inputs, *edge.outputs), strict=True)
        )
        edges, items = [], []
        more = _OPERATOR_BYTES * (len(new) - 1)
        for one, forms in zip(new, alike, strict=True):
            for tensor in (*one.inputs, *one.outputs):
                if id(tensor) not in known:
                    known[id(tensor)] = len(tensors)
                    tensors.append(tensor)
                    more += _ENTRY_BYTES + tensor.nbytes * tensor.constant
            inputs, outputs = (tuple(known[id(t)] for t in row) for row in (one.inputs, one.outputs))
            edges.append(replace(edge, inputs=inputs, outputs=outputs))
            items.append(item.like(one, [t.shape for t in (*forms.inputs, *forms.outputs)]))
        edges = [*base.edges[:place], *edges, *base.edges[place + 1 :]]
        more -= _drop(tensors, base, edges)
        other = replace(
            base,
            layers=(*base.layers[:place], *new, *base.layers[place + 1 :]),
            edges=tuple(edges),
            tensors=tuple(tensors),
            file_bytes=max(0, base.file_bytes + more),
        )
        every = (*self._items[:place], *items, *self._items[place + 1 :])
        found = LearnedLowering(other, every, self._forms, self.same)
        found._channel_bytes = self._channel_bytes
        return found

    @property
    def base(self) -> Network:
        """The network at full widths."""
        return self._base

    def learn_sizes(self, networks: Sequence[Network]) -> None:
        """Learn from networks at other widths what a channel takes in the file beside its weights: its scales, where quantised."""
        more, rest = [], []
        for network in networks:
            nbytes, channels = self._weights(network.layers)
            more.append(channels - self._stored[1])
            rest.append(network.file_bytes - self._base.file_bytes - (nbytes - self._stored[0]))
        if any(more):
            self._channel_bytes = max(0.0, float(np.dot(more, rest) / np.dot(more, more)))

    def _weights(self, layers: Sequence[Layer]) -> tuple[int, int]:
        """Bytes that the constants that change with the widths take in the file, and how many channels have a bias."""
        found = [tensor for uses in self._constants for tensor in {_operand(layers, use) for use in uses}]
        return sum(_ENTRY_BYTES + t.nbytes for t in found), sum(t.size for t in found if len(t.shape) == 1)

    def _sizes(self, configuration: Configuration) -> list[int]:
        widths = self._widths(configuration)
        return [form(widths) for form in self._forms]

    def _widths(self, configuration: Configuration) -> dict[str, int]:
        widths = dict(configuration.widths)
        return {**widths, **{name: widths[other] for name, other in self.same.items()}}


def _drop(tensors: list[Tensor], base: Network, edges: Sequence[Edge]) -> int:
    """Empty the tensors of a network that its new layers leave alone; the bytes that these took in the file."""
    used = {*base.inputs, *base.outputs, *(t for edge in edges for t in (*edge.inputs, *edge.outputs))}
    nbytes = 0
    for place in {t for edge in base.edges for t in (*edge.inputs, *edge.outputs)} - used:
        nbytes += (_ENTRY_BYTES + tensors[place].nbytes) * tensors[place].constant
        tensors[place] = _NOTHING
    return nbytes


def _last(same: Mapping[str, str], name: str) -> str:
    """The end of a chain of names."""
    while name in same:
        name = same[name]
    return name


def _operand(layers: Sequence[Layer], place: tuple[int, int]) -> Tensor:
    """An operand of a layer, the results counted after the inputs."""
    layer, operand = layers[place[0]], place[1]
    split = len(layer.inputs)
    return layer.inputs[operand] if operand < split else layer.outputs[operand - split]


class _Kind:
    """Layers that are alike at all widths but for their names."""

    def __init__(self, form: LayerForm) -> None:
        self.form = form
        self.positions: list[int] = []
        self._names: list[tuple[str, int]] = []
        self._made: dict[tuple[int, ...], tuple[Layer, ...]] = {}

    def add(self, position: int, layer: Layer) -> None:
        self.positions.append(position)
        self._names.append((layer.name, layer.index))

    def layers(self, sizes: Sequence[int]) -> tuple[Layer, ...]:
        """All of them where form i has the value ``sizes[i]``."""
        key = tuple([sizes[i] for i in self.form.used])
        found = self._made.get(key)
        if found is None:
            made = self.form.at(sizes)
            found = tuple(replace(made, name=name, index=index) for name, index in self._names)
            self._made[key] = found
        return found


class ConvertingLowering:
    """Converts the model anew at each configuration: slow, and right whatever the converter does."""

    def __init__(self, model: Any, graph: ChannelGraph, convert: Convert) -> None:
        self._model, self._graph, self._convert = model, graph, convert
        self._made: dict[Configuration, Network] = {}

    def network(self, configuration: Configuration) -> Network:
        """The network at this configuration."""
        if configuration not in self._made:
            resized = resize(self._model, configuration.widths, self._graph)
            self._made[configuration] = self._convert(resized)
        return self._made[configuration]

    def counted(self, configuration: Configuration) -> list[tuple[Layer, int]]:
        """The different layers, each with how many there are of it."""
        return list(Counter(self.network(configuration).layers).items())


def learn_lowering(
    model: Any, graph: ChannelGraph, convert: Convert, base: Network | None = None, seed: int = 0
) -> LearnedLowering:
    """Convert the model (or take `base`) and two resized ones, and learn how dimensions follow from widths."""
    base = convert(model) if base is None else base
    examples = example_widths(graph, seed)
    networks = [base, *(convert(resize(model, widths, graph)) for widths in examples)]
    all_widths = [graph.widths, *examples]
    forms: list[SizeForm] = [*graph.forms, *graph.products]
    solver = _Solver(forms, [[form(widths) for widths in all_widths] for form in forms])
    if len({tuple((layer.op, layer.repeat) for layer in network.layers) for network in networks}) > 1:
        raise LoweringError("the converter makes other layers at other widths")
    layers = [_learn_layer(versions, solver) for versions in zip(*(n.layers for n in networks), strict=True)]
    learned = LearnedLowering(base, layers, forms)
    for network, widths in zip(networks, all_widths, strict=True):
        if learned.layers(Configuration(widths)) != network.layers:
            raise LoweringError("the converter's layers do not follow from the widths")
    learned.learn_sizes(networks[1:])
    return learned


def example_widths(graph: ChannelGraph, seed: int = 0, count: int = 2) -> list[dict[str, int]]:
    """Widths at which no two forms in them, and so no two tensors of the model, could be taken for each other."""
    rng = np.random.default_rng(seed)
    forms: list[SizeForm] = [*graph.forms, *graph.products]
    for turn in range(_TRIES):
        most = _MOST * (1 + turn // 20)
        examples = [
            {
                name: int(rng.integers(_LEAST, max(most, width // 2) + 1))
                for name, width in graph.widths.items()
            }
            for _ in range(count)
        ]
        proportions = {_proportions([f(w) for w in (graph.widths, *examples)]) for f in forms}
        if len(proportions) == len(forms) and (Fraction(1),) * count not in proportions:
            return examples
    raise LoweringError("no widths tell all groups apart")


class _Solver:
    """Finds the form that takes given values in the examples, up to a constant factor (a flattened size)."""

    def __init__(self, forms: Sequence[SizeForm], values: Sequence[Sequence[int]]) -> None:
        self._first = [row[0] for row in values]
        self._by_proportions = {_proportions(row): index for index, row in enumerate(values)}

    def size(self, values: Sequence[int]) -> Size:
        if len(set(values)) == 1:
            return values[0]
        index = self._by_proportions.get(_proportions(values)) if values[0] > 0 else None
        if index is None:
            raise LoweringError(f"a dimension of {', '.join(map(str, values))} follows from no width")
        return index, Fraction(values[0], self._first[index])


def _proportions(values: Sequence[int]) -> tuple[Fraction, ...]:
    return tuple(Fraction(value, values[0]) for value in values[1:])


def _learn_layer(versions: Sequence[Layer], solver: _Solver) -> LayerForm:
    first = versions[0]
    operands = [(*layer.inputs, *layer.outputs) for layer in versions]
    kinds = {tuple((len(t.shape), t.dtype, t.constant) for t in row) for row in operands}
    if len(kinds) > 1 or len({tuple(sorted(layer.params)) for layer in versions}) > 1:
        raise LoweringError(f"{first.op} differs in more than its dimensions")
    shapes = [
        [solver.size(sizes) for sizes in zip(*(t.shape for t in same), strict=True)]
        for same in zip(*operands, strict=True)
    ]
    params = {}
    for key in first.params:
        values = [layer.params[key] for layer in versions]
        if any(value != values[0] for value in values):
            params[key] = [solver.size(sizes) for sizes in zip(*(_numbers(v) for v in values), strict=True)]
    return LayerForm(first, shapes, params)


def _numbers(value: Param) -> tuple[int, ...]:
    numbers = value if isinstance(value, tuple) else (value,)
    if not all(isinstance(n, int) for n in numbers):
        raise LoweringError("a parameter that is no number differs")
    return tuple(int(n) for n in numbers)
