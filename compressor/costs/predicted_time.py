"""Predicted time of candidates, fast enough to look at thousands of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from compressor.costs.configuration import Configuration
from compressor.costs.lowering import LearnedLowering, Lowering
from compressor.costs.network_cost import CandidateCost, NetworkCost
from profiler.network import Layer, Network
from timemodel.model import NetworkPredictor


class PredictedTime(CandidateCost):
    """Predicted time of a model at any configuration, in ms.

    The times of layers are kept, so that a candidate costs only what is new in it. What the time model adds for the
    network as a whole (fusion, caches, calls) is no sum over layers: `exact` asks for it, estimates take it in
    proportion, as `calibrate` found it.
    """

    def __init__(self, time_model: NetworkPredictor, lowering: Lowering) -> None:
        self._time_model = time_model
        self._lowering = lowering
        self._layer_ms: dict[Layer, float] = {}
        self._exact: dict[Configuration, float] = {}
        self._factor = 1.0
        self.cheap = isinstance(lowering, LearnedLowering)

    def exact(self, configuration: Configuration) -> float:
        """What the time model says of the whole network, in ms."""
        if configuration not in self._exact:
            prediction = self._time_model.predict(self.network(configuration))
            self._exact[configuration] = float(prediction.predicted_ms)
        return self._exact[configuration]

    def many(self, configurations: Sequence[Configuration]) -> NDArray[np.float64]:
        """Predicted times in ms [n], at the price of one call of the time model."""
        return self._sums([self._lowering.counted(configuration) for configuration in configurations])

    def by_width(
        self, configuration: Configuration, group: str, widths: Sequence[int]
    ) -> NDArray[np.float64]:
        """Predicted time in ms where one group takes each of several widths [n], the others as they are."""
        lowering = self._lowering
        if not isinstance(lowering, LearnedLowering):
            return super().by_width(configuration, group, widths)
        now = configuration.widths[group]
        sums = self._sums(lowering.counted_by_width(configuration, group, [now, *widths]))
        return self(configuration) - sums[0] + sums[1:]

    def calibrate(self, configuration: Configuration) -> None:
        """Make the fast times agree with the exact one at this configuration."""
        fast = self(configuration)
        if fast > 0:
            self._factor *= self.exact(configuration) / fast

    def network(self, configuration: Configuration) -> Network:
        """The TFLite network at this configuration."""
        return self._lowering.network(configuration)

    def _sums(self, rows: Sequence[Sequence[tuple[Layer, int]]]) -> NDArray[np.float64]:
        known = self._layer_ms
        new = list(dict.fromkeys(layer for row in rows for layer, _ in row if layer not in known))
        if new:
            known.update(zip(new, map(float, self._time_model.predict_layers_ms(new)), strict=True))
        return np.array([sum([known[layer] * n for layer, n in row]) for row in rows]) * self._factor


def flops_cost(times: PredictedTime, full: Configuration) -> NetworkCost:
    """Multiply-accumulates, scaled so that the network as it is (`full`) costs its predicted time."""
    whole = times.network(full)
    scale = times.exact(full) / max(1, whole.macs)
    return NetworkCost(times.network, lambda network: scale * network.macs, times.cheap)
