"""Predicted time of candidates, fast enough to look at thousands of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from compressor.costs.lowering import LearnedLowering, Lowering
from compressor.graph import Widths
from profiler.network import Layer, Network


class LayerTimes(Protocol):
    """The part of a time model that a search needs (`timemodel.TimeModel` has it)."""

    def predict_layers_ms(self, layers: Sequence[Layer]) -> NDArray[np.float64]:
        """Predicted time of each layer in ms [n]."""

    def predict(self, network: Network) -> Any:
        """The prediction for a network; its ``predicted_ms`` counts here."""


class PredictedTime:
    """Predicted time of a model at any widths.

    Parameters
    ----------
    time_model
        Of the device that the search is for.
    lowering
        From widths to the TFLite network.

    Notes
    -----
    The times of layers are kept, so that a candidate costs only what is new in it. What the time
    model adds for the network as a whole (fusion, caches, calls) is not a sum over layers: `exact` asks for
    it; calling the object takes it in proportion, from where the network last was asked for exactly nearby.
    """

    def __init__(self, time_model: LayerTimes, lowering: Lowering) -> None:
        self._time_model = time_model
        self._lowering = lowering
        self._layer_ms: dict[Layer, float] = {}
        self._exact: dict[tuple[tuple[str, int], ...], float] = {}
        self._factor = 1.0

    @property
    def cheap(self) -> bool:
        """Whether a candidate costs microseconds, and not a conversion."""
        return isinstance(self._lowering, LearnedLowering)

    def __call__(self, widths: Widths) -> float:
        """Predicted time in ms."""
        return float(self.many([widths])[0])

    def many(self, candidates: Sequence[Widths]) -> NDArray[np.float64]:
        """Predicted time in ms of each of several candidates [n], at the price of one call of the time
        model."""
        return self._sums([self._layers(widths) for widths in candidates])

    def moves(self, widths: Widths, group: str, options: Sequence[int]) -> NDArray[np.float64]:
        """Predicted time in ms where one group takes each of several widths [n], the others as they are."""
        candidates = [{**widths, group: option} for option in options]
        if not isinstance(self._lowering, LearnedLowering):
            return self.many(candidates)
        lowering = self._lowering
        rest = self(widths) - self._sums([lowering.reached(widths, group)])[0]
        return rest + self._sums([lowering.reached(candidate, group) for candidate in candidates])

    def _sums(self, rows: Sequence[Sequence[tuple[Layer, int]]]) -> NDArray[np.float64]:
        known = self._layer_ms
        new = list(dict.fromkeys(layer for row in rows for layer, _ in row if layer not in known))
        if new:
            known.update(zip(new, map(float, self._time_model.predict_layers_ms(new)), strict=True))
        return np.array([sum([known[layer] * n for layer, n in row]) for row in rows]) * self._factor

    def exact(self, widths: Widths) -> float:
        """What the time model says of the whole network, in ms."""
        key = tuple(sorted(widths.items()))
        if key not in self._exact:
            self._exact[key] = float(self._time_model.predict(self.network(widths)).predicted_ms)
        return self._exact[key]

    def calibrate(self, widths: Widths) -> None:
        """Make the fast times agree with the exact one at these widths."""
        fast = self(widths)
        if fast > 0:
            self._factor *= self.exact(widths) / fast

    def network(self, widths: Widths) -> Network:
        """The TFLite network at these widths."""
        return self._lowering.network(widths)

    def _layers(self, widths: Widths) -> list[tuple[Layer, int]]:
        """The different layers, each with how many there are of it."""
        if isinstance(self._lowering, LearnedLowering):
            return self._lowering.counted(widths)
        return list(Counter(self._lowering.network(widths).layers).items())
