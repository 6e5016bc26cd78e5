"""Weights of what is left, solved again so that layers give what they gave with all channels (least squares).

After He et al. (ICCV 2017): what a removed channel carried is written as a mix of the channels that stay, as far as they know it
on some rows, and added to what reads those. The mix is one for all places of a kernel, so it needs one small system per layer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compressor.data import Rows
from compressor.graph import ChannelGraph, Keep, layers_of
from compressor.training.model_io import run

_SOLVED = ("Dense", "Conv1D", "Conv2D", "Conv3D")
_MOST_CHANNELS = 1024
_MOST_PLACES = 8192
_RIDGE = 1e-3

RECONSTRUCTED_FROM = 256
"""Rows that say what channels carry."""


class Reconstruction:
    """What the readers of channels see on some rows, and their weights for any channels that stay.

    Parameters
    ----------
    model, graph
        The network as it is; it is called once.
    rows
        Typical inputs.
    call
        How to call it, where that is not as it is.
    """

    def __init__(
        self, model: Any, graph: ChannelGraph, rows: Rows, call: Callable[[Any, Rows], Any] = run
    ) -> None:
        layers = dict(layers_of(model))
        self._readers: dict[tuple[str, str], tuple[int, NDArray[np.int64], Any]] = {}
        for axis in graph.readers:
            layer = layers[axis.layer]
            if type(layer).__name__ in _SOLVED and axis.variable == "kernel":
                numbers = graph.positions(axis.channels)
                kernel = layer.kernel  # the network's own, read when it is asked for
                if len(numbers) <= _MOST_CHANNELS and kernel.shape[axis.axis] == len(numbers):
                    self._readers[axis.layer, axis.variable] = axis.axis, numbers, kernel
        self._ends = np.cumsum([0, *(group.width for group in graph.groups.values())])
        self._names = list(graph.groups)
        self._products = _products(
            {name: layers[name] for name, _ in self._readers}, partial(call, model, rows)
        )

    def weights(self, keep: Keep) -> dict[tuple[str, str], NDArray[Any]]:
        """The weights that read channels, by layer and variable, in the shapes of the whole network."""
        stays = np.ones(self._ends[-1] + 1, dtype=bool)
        for name, positions in keep.items():
            place = self._names.index(name)
            stays[self._ends[place] : self._ends[place + 1]] = False
            stays[self._ends[place] + np.asarray(list(positions))] = True
        found = {}
        for (layer, variable), (axis, numbers, kernel) in self._readers.items():
            kept = stays[numbers]
            if kept.all() or not kept.any() or layer not in self._products:
                continue
            product = self._products[layer]
            inner, outer = (product[np.ix_(kept, some)].astype(np.float64) for some in (kept, ~kept))
            ridge = _RIDGE * np.trace(inner) / len(inner) + 1e-12
            mix = np.linalg.solve(inner + ridge * np.eye(len(inner)), outer)
            first = np.moveaxis(np.array(kernel, dtype=np.float64), axis, 0)
            first[kept] += np.tensordot(mix, first[~kept], axes=1)
            found[layer, variable] = np.moveaxis(first, 0, axis).astype(np.float32)
        return found


def _products(layers: Mapping[str, Any], call_all: Callable[[], Any]) -> dict[str, NDArray[np.float32]]:
    """Of each layer the mean products of the channels that it reads, over rows and places [channels, channels]."""
    found: dict[str, NDArray[np.float64]] = {}
    plain = {name: layer.call for name, layer in layers.items()}
    own = {name: vars(layer)["call"] for name, layer in layers.items() if "call" in vars(layer)}

    def seen(name: str, inputs: Any) -> None:
        values = np.asarray(inputs, dtype=np.float64).reshape(-1, inputs.shape[-1])
        values = values[:: max(1, len(values) // _MOST_PLACES)]
        found[name] = found.get(name, 0.0) + values.T @ values / len(values)

    def recording(name: str) -> Any:
        def call(inputs: Any, *values: Any, **options: Any) -> Any:
            seen(name, inputs)
            return plain[name](inputs, *values, **options)

        return call

    try:
        for name, layer in layers.items():
            layer.call = recording(name)
        call_all()
    finally:
        for name, layer in layers.items():
            if name in own:
                layer.call = own[name]  # as a supernet has it, which switches blocks by it
            else:
                del layer.call
    return {name: product.astype(np.float32) for name, product in found.items()}
