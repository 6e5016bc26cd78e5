"""What a dimension is asked for, and what it looks at."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from compressor.graph import Change, ChannelGraph, Topology, build_graph, read_topology
from profiler.network import Layer, Network

LayerTimes = Callable[[Sequence[Layer]], NDArray[np.float64]]
"""Predicted time of layers on their own in ms [n]."""


@dataclass(frozen=True)
class RefusedChange:
    """What was considered and is not offered: where, by which dimension, and why not."""

    dimension: str
    layer: str
    reason: str


@dataclass(frozen=True)
class FoundChanges:
    """What can be changed in a network, by id, and what was considered and refused."""

    changes: Mapping[str, Change] = field(default_factory=dict)
    refused: tuple[RefusedChange, ...] = ()


class ExaminedNetwork:
    """A network and what is known of it.

    Parameters
    ----------
    model
        A Sequential or Functional `keras.Model`.
    file
        The TFLite network that it becomes; None where that is not known.
    layers_ms
        Predicted times of layers on the device; None where there is no time model.
    """

    def __init__(self, model: Any, file: Network | None = None, layers_ms: LayerTimes | None = None) -> None:
        self.model, self.file, self._layers_ms = model, file, layers_ms

    @cached_property
    def topology(self) -> Topology:
        """Its layers and what flows between them."""
        return read_topology(self.model)

    @cached_property
    def graph(self) -> ChannelGraph:
        """Its channels."""
        return build_graph(self.model)

    def times_ms(self, layers: Sequence[Layer]) -> NDArray[np.float64]:
        """What layers would take on the device, each on its own [n]; NaN where there is no time model."""
        if self._layers_ms is None or not layers:
            return np.full(len(layers), math.nan)
        return np.asarray(self._layers_ms(layers), dtype=float)

    def file_layer(
        self, ops: Collection[str], weight: Sequence[int], outputs: Sequence[int | None]
    ) -> Layer | None:
        """The file's layer whose weights and outputs (with batch) have these sizes, axes of length 1 left out; None for none.

        Which of several equal ones does not matter: they take equal time.
        """
        sizes = [n for n in outputs[1:] if n is not None]
        if self.file is None or len(sizes) < len(outputs) - 1:
            return None
        for layer in self.file.layers:
            if (
                layer.op in ops
                and layer.weights
                and _long_axes(layer.weights[0].shape) == _long_axes(weight)
                and _long_axes(layer.outputs[0].shape) == _long_axes(sizes)
            ):
                return layer
        return None


def _long_axes(shape: Sequence[int]) -> list[int]:
    return [n for n in shape if n != 1]


class Dimension(ABC):
    """One kind of change: what of a network it can take out, and what it refuses.

    A further dimension is one file with such a class and a call of `register_dimension`, or an entry point of the group
    ``edgetime.changes``; `compressor.testing.check_change` is the suite that its changes must pass.
    """

    name: ClassVar[str]
    """What reports call it."""

    @abstractmethod
    def find(self, network: ExaminedNetwork) -> tuple[list[Change], list[RefusedChange]]:
        """The changes that keep the law, in the order of the network, and what looked like one, with the reason."""

    def refuse(self, layer: str, reason: str) -> RefusedChange:
        """A refusal of this dimension."""
        return RefusedChange(self.name, layer, reason)


def settings_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """A layer's configuration without what tells equal layers apart."""
    return {key: value for key, value in config.items() if key not in ("name", "dtype", "trainable")}
