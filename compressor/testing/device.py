"""A device that needs no profile: its time model is a formula."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from profiler.network import Layer, Network

_TILE = 8


@dataclass(frozen=True)
class FormulaPrediction:
    """The part of `timemodel.NetworkPrediction` that compression reads."""

    predicted_ms: float
    low_ms: float
    high_ms: float
    uncovered: tuple[str, ...] = ()
    energy_mj: float | None = None


@dataclass(frozen=True)
class FormulaSetting:
    """The part of a setting that compression reads."""

    key: str = "formula"
    setting: Any = None
    fingerprint: Any = None


class FormulaTimeModel:
    """Multiply-accumulates in tiles of 8 output channels, a price for each byte and each layer.

    Parameters
    ----------
    device
        What it is called.
    mj_per_mac
        Energy of a multiply-accumulate, and of a byte that is moved; None where no energy is known.
    """

    def __init__(self, device: str = "a formula", mj_per_mac: float | None = None) -> None:
        self.device = device
        self._mj_per_mac = mj_per_mac

    def setting(self, name: str | None = None) -> FormulaSetting:
        """The only setting."""
        return FormulaSetting(setting={"threads": 1, "kernels": "xnnpack"})

    def predict_layers_ms(self, layers: Sequence[Layer]) -> NDArray[np.float64]:
        """Time of each layer in ms [n]."""
        return np.array([_layer_ms(layer) for layer in layers])

    def predict(self, network: Network) -> FormulaPrediction:
        """The sum of the layers, and a tenth for the call."""
        total = 1.1 * float(self.predict_layers_ms(network.layers).sum())
        return FormulaPrediction(total, 0.9 * total, 1.1 * total, energy_mj=self._energy_mj(network))

    def _energy_mj(self, network: Network) -> float | None:
        if self._mj_per_mac is None:
            return None
        return self._mj_per_mac * sum(layer.macs + _moved(layer) for layer in network.layers)


def _moved(layer: Layer) -> int:
    return sum(tensor.nbytes for tensor in (*layer.inputs, *layer.outputs))


def _layer_ms(layer: Layer) -> float:
    moved = _moved(layer)
    width = layer.outputs[0].shape[-1] if layer.outputs and layer.outputs[0].shape else 1
    return 1e-4 + 1e-8 * moved + 1e-7 * layer.macs / width * _TILE * math.ceil(width / _TILE)
