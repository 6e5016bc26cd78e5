"""What a rule writes down of layers: channels, what ties them together, and where in the model they stand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from compressor.graph.topology import Call

ChannelIds = NDArray[np.int64]
"""An id for each channel of a tensor [channels]: positions with the same id are removed together."""


class Frozen(Exception):  # noqa: N818 - a rule's way to say no; it never leaves the graph
    """Raised by a rule that cannot tell how a layer passes channels on: the layer is left whole.

    The message is the reason that the user reads, such as ``its output has several axes``.
    """


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
class FrozenLayer:
    """A layer whose channels are left alone, and why."""

    layer: str
    reason: str


class Recorder:
    """Where a rule writes down what a layer does to channels.

    Each channel has an id; the channels of a tensor are the ids along its last axis, an int array [channels].
    """

    def __init__(self) -> None:
        self.axes: list[ChannelAxis] = []
        self.counts: list[Count] = []
        self.rescales: list[Rescale] = []
        self.statistics_over: list[Statistics] = []
        self.frozen: dict[str, FrozenLayer] = {}
        self.must_stay: list[ChannelIds] = []  # whatever layers do
        self.stay_by_layer: list[tuple[FrozenLayer, ChannelIds]] = []
        self._ids = 0
        self._pairs: list[tuple[ChannelIds, ChannelIds]] = []
        # What the first use of each layer wrote down, and how much of it this use has written again.
        self.written: dict[str, list[tuple[tuple[Any, ...], ChannelIds]]] = {}
        self.turn = 0

    def new(self, count: int) -> ChannelIds:
        """Ids of `count` channels that the layer makes."""
        channels = np.arange(self._ids, self._ids + count, dtype=np.int64)
        self._ids += count
        return channels

    def new_frozen(self, count: int) -> ChannelIds:
        """Ids of `count` channels that the layer makes and that must stay."""
        channels = self.new(count)
        self.freeze(channels)
        return channels

    def tie(self, first: ChannelIds, second: ChannelIds) -> None:
        """Position i of both is kept or removed together."""
        if first.shape != second.shape:
            raise Frozen("what meets in it differs in width")
        self._pairs.append((first, second))

    def freeze(self, channels: ChannelIds) -> None:
        """All of these must stay."""
        self.must_stay.append(channels)

    def freeze_for(self, call: Call, channels: ChannelIds, reason: str) -> None:
        """All of these must stay because of what this layer does.

        The user is told the reason where some of them could be removed otherwise (the network's outputs never can).
        """
        self.stay_by_layer.append((FrozenLayer(call.name, reason), channels))

    def removable(self, channels: ChannelIds) -> bool:
        """Whether some of these may be removed, as far as is known by now."""
        roots = self.roots()
        return not self.stays(roots)[roots[channels]].all()

    def axis(self, call: Call, variable: str, axis: int, channels: ChannelIds, role: str) -> None:
        """An axis of a weight has one entry for each of these channels.

        `variable` is the weight's name; `role` is ``in`` (summed over: where these entries are zero the channel is
        not read), ``out`` (makes the channel) or ``scale`` (acts on it alone).
        """
        shape = call.variables.get(variable)
        if shape is None or len(shape) < axis + 1 or shape[axis] != len(channels):
            raise Frozen(f"its weight {variable} has another shape than expected")
        name = call.aliases.get(variable, variable)
        axis %= len(shape)
        if self._first_time(call, ("axis", name, axis, role), channels):
            self.axes.append(ChannelAxis(call.name, name, axis, channels, role))

    def count(
        self, call: Call, key: str, channels: ChannelIds, position: int | None = None, label: str = ""
    ) -> None:
        """A value of the layer's configuration (or one position of it) is the number of these channels.

        Where a layer makes several groups, `label` tells them apart: it stands in their ids.
        """
        if self._first_time(call, ("count", *call.path, key, position), channels):
            self.counts.append(Count(call.name, key, position, channels, call.path, label))

    def rescale(self, call: Call, variable: str, channels: ChannelIds, power: float) -> None:
        """Where a share of these channels stays, a weight is to be multiplied by ``share ** power``."""
        name = call.aliases.get(variable, variable)
        if self._first_time(call, ("rescale", name), channels):
            self.rescales.append(Rescale(call.name, name, channels, power))

    def statistics(self, call: Call, channels: ChannelIds) -> None:
        """The layer, one of Keras' own normalisations, divides by a statistic over all of these."""
        if call.kind.startswith("custom:"):
            raise Frozen("nobody knows how it would take its statistics over some channels only")
        if self._first_time(call, ("statistics", *call.path), channels):
            self.statistics_over.append(Statistics(call.name, channels, call.path))

    def report(self, call: Call, reason: str) -> None:
        """Name a layer that keeps its channels, though others may pass through it."""
        self.frozen.setdefault(call.name, FrozenLayer(call.name, reason))

    def _first_time(self, call: Call, what: tuple[Any, ...], channels: ChannelIds) -> bool:
        """Whether this is the layer's first use; else its channels are those of the first."""
        written = self.written[call.name]
        if not call.index:
            written.append((what, channels))
            return True
        if self.turn >= len(written) or written[self.turn][0] != what:
            raise Frozen("its uses differ")
        self.tie(written[self.turn][1], channels)
        self.turn += 1
        return False

    def roots(self) -> ChannelIds:
        """For each channel its unit: the least channel that it is tied to."""
        return tied(self._ids, joined([a for a, _ in self._pairs]), joined([b for _, b in self._pairs]))

    def stays(self, roots: ChannelIds) -> NDArray[np.bool_]:
        """Whether each unit must stay, by the number of its root."""
        return _marked(roots, [*self.must_stay, *(channels for _, channels in self.stay_by_layer)])

    def reported(self, roots: ChannelIds) -> list[FrozenLayer]:
        """The layers without which some of what they freeze could go; a softmax at a network's end is none."""
        anyhow = _marked(roots, self.must_stay)
        return [layer for layer, channels in self.stay_by_layer if not anyhow[roots[channels]].all()]


def joined(parts: list[ChannelIds]) -> ChannelIds:
    """All these ids, one behind the other."""
    return np.concatenate([part.ravel() for part in parts]) if parts else np.empty(0, np.int64)


def tied(count: int, first: ChannelIds, second: ChannelIds) -> ChannelIds:
    """For each of `count` channels the least one that it is tied to, where ``first[i]`` and ``second[i]`` are tied."""
    ties = coo_array((np.ones(len(first), dtype=bool), (first, second)), shape=(count, count))
    _, units = connected_components(ties, directed=False)
    return np.unique(units, return_index=True)[1][units].astype(np.int64)


def _marked(roots: ChannelIds, parts: list[ChannelIds]) -> NDArray[np.bool_]:
    """Whether each unit is among these, by the number of its root."""
    marks = np.zeros(len(roots), dtype=bool)
    marks[roots[joined(parts)]] = True
    return marks
