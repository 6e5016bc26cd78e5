"""Costs of networks whose file can have one of several number types: the least of them, where none is named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from compressor.costs.configuration import Configuration
from compressor.costs.network_cost import CandidateCost, PredictedTime
from profiler.network import Network

MIXED = "mixed"
"""The precision that gives each operator of the whole network a number type of its own; without some blocks there is none."""


class LeastCost(CandidateCost):
    """The least of one cost over precisions, by name; of a configuration that names its precision that one's.

    So a search over widths goes down whichever staircase is lower: the precision is chosen with the widths.
    """

    def __init__(self, by_precision: Mapping[str, CandidateCost]) -> None:
        self._by_precision = dict(by_precision)
        self.cheap = all(cost.cheap for cost in self._by_precision.values())

    def exact(self, configuration: Configuration) -> float:
        """See `CandidateCost.exact`."""
        return min(cost.exact(configuration) for cost in self._of(configuration))

    def many(self, configurations: Sequence[Configuration]) -> NDArray[np.float64]:
        """See `CandidateCost.many`."""
        if any(configuration.precision or configuration.removed for configuration in configurations):
            return np.array([min(cost(one) for cost in self._of(one)) for one in configurations])
        return np.min([cost.many(configurations) for cost in self._by_precision.values()], axis=0)

    def by_width(
        self, configuration: Configuration, group: str, widths: Sequence[int]
    ) -> NDArray[np.float64]:
        """See `CandidateCost.by_width`."""
        return np.min(
            [cost.by_width(configuration, group, widths) for cost in self._of(configuration)], axis=0
        )

    def _of(self, configuration: Configuration) -> list[CandidateCost]:
        own = self._by_precision.get(configuration.precision)
        if own is not None:
            return [own]
        return [
            cost for name, cost in self._by_precision.items() if name != MIXED or not configuration.removed
        ]


class LeastTime(LeastCost):
    """Predicted time of the fastest precision, and the network in it."""

    def __init__(self, times: Mapping[str, PredictedTime]) -> None:
        super().__init__(times)
        self.by_precision = dict(times)

    def precision_of(self, configuration: Configuration) -> str:
        """The precision that a configuration names, else the fastest one."""
        if configuration.precision:
            return configuration.precision
        able = [name for name in self.by_precision if name != MIXED or not configuration.removed]
        return min(able, key=lambda name: self.by_precision[name].exact(configuration))

    def network(self, configuration: Configuration) -> Network:
        """The TFLite network at this configuration."""
        return self.by_precision[self.precision_of(configuration)].network(configuration)
