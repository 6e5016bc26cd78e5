"""A device that needs no profile: its time model is a formula."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from profiler.network import Layer, Network

if TYPE_CHECKING:
    from timemodel.model import NetworkPrediction

_TILE = 8


@dataclass(frozen=True)
class FormulaSetting:
    """The part of a setting that compression reads."""

    key: str = "formula"
    setting: Any = None
    fingerprint: Any = None


class FormulaTimeModel:
    """Multiply-accumulates in tiles of 8 output channels, a price for each byte and each layer.

    `mj_per_mac` is the energy of a multiply-accumulate, and of a byte that is moved; None where no energy is known.
    """

    def __init__(self, device: str = "a formula", mj_per_mac: float | None = None) -> None:
        self.device = device
        self._mj_per_mac = mj_per_mac

    def setting(self, name: str | None = None) -> FormulaSetting:
        """The only setting."""
        return FormulaSetting(setting={"threads": 1, "kernels": "xnnpack"})

    def only(self, setting: str) -> FormulaTimeModel:
        """This one has a single setting anyhow."""
        return self

    def predict_layers_ms(self, layers: Sequence[Layer], setting: str | None = None) -> NDArray[np.float64]:
        """Time of each layer in ms [n]."""
        return np.array([_layer_ms(layer) for layer in layers])

    def predict_layers_mj(
        self, layers: Sequence[Layer], setting: str | None = None
    ) -> NDArray[np.float64] | None:
        """Energy of each layer in mJ [n]; None where none is known."""
        found = [self._energy_mj([layer]) for layer in layers]
        return None if self._mj_per_mac is None else np.array(found)

    def predict_total_ms(self, network: Network, setting: str | None = None) -> float:
        """The sum of the layers, and a tenth for the call."""
        return 1.1 * float(self.predict_layers_ms(network.layers).sum())

    def predict(self, network: Network, setting: str | None = None) -> NetworkPrediction:
        """`predict_total_ms` with its layers, known within a tenth."""
        from timemodel.model import LayerPrediction, NetworkPrediction

        total = self.predict_total_ms(network)
        layers = tuple(
            LayerPrediction(
                layer.index,
                layer.op,
                layer.name,
                layer.macs * layer.repeat,
                time_ms,
                0.9 * time_ms,
                1.1 * time_ms,
                covered=True,
                energy_mj=self._energy_mj([layer]),
            )
            for layer, time_ms in zip(
                network.layers, self.predict_layers_ms(network.layers).tolist(), strict=True
            )
        )
        return NetworkPrediction(
            network=network.name,
            device=self.device,
            dtype=network.dtype,
            threads=1,
            predicted_ms=total,
            low_ms=0.9 * total,
            high_ms=1.1 * total,
            coverage=1.0,
            uncovered=(),
            peak_memory_bytes=0,
            layers=layers,
            energy_mj=self._energy_mj(network.layers),
        )

    def _energy_mj(self, layers: Sequence[Layer]) -> float | None:
        if self._mj_per_mac is None:
            return None
        return self._mj_per_mac * sum(layer.macs + _moved(layer) for layer in layers)


def _moved(layer: Layer) -> int:
    return sum(tensor.nbytes for tensor in (*layer.inputs, *layer.outputs))


def _layer_ms(layer: Layer) -> float:
    moved = _moved(layer)
    width = layer.outputs[0].shape[-1] if layer.outputs and layer.outputs[0].shape else 1
    return 1e-4 + 1e-8 * moved + 1e-7 * layer.macs / width * _TILE * math.ceil(width / _TILE)
