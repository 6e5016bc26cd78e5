"""What a graph of channels is made of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from compressor.graph.rules import ChannelIds

Widths = Mapping[str, int]
"""How many units of each group there are, by `Group.id`."""


@dataclass(frozen=True, eq=False)
class ChannelAxis:
    """One axis of one weight and the channels that stand along it. `role` is ``in``, ``out`` or ``scale``."""

    layer: str
    variable: str
    axis: int
    channels: ChannelIds
    role: str


@dataclass(frozen=True, eq=False)
class Count:
    """A value in a layer's configuration (or one position of it) that is a number of channels.

    `path` are the keys to go down to where `key` stands; `label` is part of the id of a group where the layer makes several.
    """

    layer: str
    key: str
    position: int | None
    channels: ChannelIds
    path: tuple[str, ...] = ()
    label: str = ""


@dataclass(frozen=True, eq=False)
class Rescale:
    """A weight to be multiplied by ``share ** power`` where a share of these channels stays."""

    layer: str
    variable: str
    channels: ChannelIds
    power: float


@dataclass(frozen=True, eq=False)
class Statistics:
    """A layer that divides by a statistic over these channels. `path` as in `Count`."""

    layer: str
    channels: ChannelIds
    path: tuple[str, ...] = ()


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
class FrozenLayer:
    """A layer whose channels are left alone, and why."""

    layer: str
    reason: str


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
