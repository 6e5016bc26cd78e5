"""A device that needs no profile: its time model is a formula."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from profiler.layer import Layer
from profiler.network import Network

_TILE = 8


@dataclass(frozen=True)
class FormulaPrediction:
    """The part of `timemodel.NetworkPrediction` that compression reads."""

    predicted_ms: float
    low_ms: float
    high_ms: float
    uncovered: tuple[str, ...] = ()


@dataclass(frozen=True)
class FormulaSetting:
    """The part of a setting that compression reads."""

    key: str = "formula"
    setting: Any = None


class FormulaTimeModel:
    """Multiply-accumulates in tiles of 8 output channels, a price for each byte and each layer.

    Parameters
    ----------
    device
        What it is called.
    """

    def __init__(self, device: str = "a formula") -> None:
        self.device = device

    def setting(self, name: str | None = None) -> FormulaSetting:
        """The only setting."""
        return FormulaSetting(setting={"threads": 1, "kernels": "xnnpack"})

    def predict_layers_ms(self, layers: Sequence[Layer]) -> NDArray[np.float64]:
        """Time of each layer in ms [n]."""
        return np.array([_layer_ms(layer) for layer in layers])

    def predict(self, network: Network) -> FormulaPrediction:
        """The sum of the layers, and a tenth for the call."""
        total = 1.1 * float(self.predict_layers_ms(network.layers).sum())
        return FormulaPrediction(total, 0.9 * total, 1.1 * total)


def _layer_ms(layer: Layer) -> float:
    moved = sum(tensor.nbytes for tensor in (*layer.inputs, *layer.outputs))
    width = layer.outputs[0].shape[-1] if layer.outputs and layer.outputs[0].shape else 1
    return 1e-4 + 1e-8 * moved + 1e-7 * layer.macs / width * _TILE * math.ceil(width / _TILE)
