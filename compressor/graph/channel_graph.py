"""The groups of channels of a model, where in it each of their channels stands, and the records of both."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from compressor.graph.rules import ChannelAxis, ChannelIds, FrozenLayer, Recorder
from compressor.graph.topology import TensorKey, Variables
from profiler.errors import UsageError

Widths = Mapping[str, int]
"""How many units of each group there are, by `Group.id`."""


@dataclass(frozen=True)
class Group:
    """Channels that can be removed one by one, each at every layer that it runs through.

    `id` is the name of the first layer that makes them (with ``#2`` and so on where that layer makes several groups, or
    ``.heads``, ``.key_width``, ``.value_width`` of an attention), `width` how many there are, `producers` the layers whose
    widths count them, `layers` all layers with weights that stand for them.
    """

    id: str
    width: int
    producers: tuple[str, ...]
    layers: tuple[str, ...]


@dataclass(frozen=True)
class WidthForm:
    """A number of channels as a linear form in the widths of groups: ``constant + sum(times[g] * width[g])``."""

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


@dataclass(frozen=True)
class ProductForm:
    """The number of places of a tensor in which two numbers of channels meet: heads times their width."""

    first: WidthForm
    second: WidthForm

    @property
    def times(self) -> tuple[tuple[str, int], ...]:
        """The groups that have a say in it, as in `WidthForm`."""
        return self.first.times + self.second.times

    def __call__(self, widths: Widths) -> int:
        """The product at these widths."""
        return self.first(widths) * self.second(widths)


SizeForm = WidthForm | ProductForm
"""How a size follows from the widths."""


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
    tensors
        The channels of every tensor.
    roots
        For each channel the one that stands for all that it is tied to.
    """

    def __init__(
        self,
        recorder: Recorder,
        roots: ChannelIds,
        groups: Sequence[Group],
        units: Sequence[ChannelIds],
        frozen: Sequence[FrozenLayer],
        variables: Mapping[str, Variables],
        tensors: Mapping[TensorKey, ChannelIds],
    ) -> None:
        self.axes = tuple(recorder.axes)
        self.counts = tuple(recorder.counts)
        self.rescales = tuple(recorder.rescales)
        self.statistics = tuple(recorder.statistics_over)
        self.groups = {group.id: group for group in groups}
        self.frozen = tuple(frozen)
        self._variables = dict(variables)
        self.tensors = dict(tensors)
        self._names = tuple(self.groups)
        self._ends = np.cumsum([group.width for group in groups], dtype=np.int64)
        # For each channel the number of its unit among those of all groups in order; -1 where it stays.
        numbers = np.full(len(roots), -1, dtype=np.int64)
        for found, end in zip(units, self._ends.tolist(), strict=True):
            numbers[found] = np.arange(end - len(found), end)
        self.roots = roots
        self._numbers = numbers[roots]

    @property
    def widths(self) -> dict[str, int]:
        """The widths that the model has now."""
        return {group.id: group.width for group in self.groups.values()}

    def positions(self, channels: ChannelIds) -> ChannelIds:
        """The number of each of these among the removable channels of all groups in order; -1 where it always stays."""
        return np.asarray(self._numbers[channels])

    def add_up(self, channels: ChannelIds, values: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """Sum values [len(channels)] by the channel that each stands for; per group [width]."""
        if not self.groups:
            return {}
        numbers = self._numbers[channels]
        chosen = numbers >= 0
        sums = np.bincount(numbers[chosen], np.asarray(values)[chosen], minlength=int(self._ends[-1]))
        return dict(zip(self.groups, np.split(sums, self._ends[:-1]), strict=True))

    def form(self, channels: ChannelIds) -> WidthForm:
        """How the number of these channels follows from the groups' widths."""
        numbers = self._numbers[channels]
        removable = numbers[numbers >= 0]
        found, times = np.unique(np.searchsorted(self._ends, removable, side="right"), return_counts=True)
        names = [self._names[index] for index in found.tolist()]
        factors = [n // self.groups[g].width for g, n in zip(names, times.tolist(), strict=True)]
        return WidthForm(len(numbers) - len(removable), tuple(sorted(zip(names, factors, strict=True))))

    @cached_property
    def readers(self) -> tuple[ChannelAxis, ...]:
        """The axes of weights that read removable channels: without these entries a channel carries nothing."""
        return tuple(a for a in self.axes if a.role == "in" and (self._numbers[a.channels] >= 0).any())

    def kept(self, keep: Mapping[str, Iterable[int]]) -> NDArray[np.bool_]:
        """For each channel whether it stays, where group ``g`` keeps the positions ``keep[g]`` (all where it is not named).

        Raises UsageError where a group or a position does not exist, or nothing of a group would be left.
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
        return {(a.layer, a.variable, a.axis): self.form(a.channels) for a in self.axes}

    @cached_property
    def forms(self) -> tuple[WidthForm, ...]:
        """The widths of all tensors that are not fixed, up to constant factors, each once.

        Weights and values in configurations count: inside a recurrent layer or an attention are tensors that no other layer sees.
        """
        channels = [
            *self.tensors.values(),
            *(a.channels for a in self.axes),
            *(c.channels for c in self.counts),
        ]
        return tuple(dict.fromkeys(f.primitive for f in map(self.form, channels) if f.times))

    @cached_property
    def products(self) -> tuple[ProductForm, ...]:
        """Sizes that are products of two widths of one layer: inside an attention."""
        by_layer: dict[str, dict[WidthForm, None]] = {}
        for count in self.counts:
            if count.label:
                form = self.form(count.channels).primitive
                by_layer.setdefault(count.layer, {})[form] = None
        pairs = (pair for forms in by_layer.values() for pair in itertools.combinations(forms, 2))
        return tuple(dict.fromkeys(ProductForm(a, b) for a, b in pairs if a.times or b.times))
