"""What a network costs on a device, and the one number, in ms, by which a search is steered."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compressor.costs.configuration import Configuration
from profiler.network import Network

STEERINGS = ("time", "flops", "measured")
"""What can stand for time in a search, as in ``--steer``."""


@dataclass(frozen=True)
class Costs:
    """What a network costs.

    Attributes
    ----------
    predicted_ms
        What the time model says.
    size_bytes, memory_bytes
        Of the ``.tflite`` file, and of the arena at its peak.
    energy_mj
        Per inference; None where the device's model has none.
    steered_ms
        Time as the search sees it, where that is not the predicted one.
    """

    predicted_ms: float
    size_bytes: int = 0
    memory_bytes: int = 0
    energy_mj: float | None = None
    steered_ms: float | None = None

    @property
    def time_ms(self) -> float:
        """The time that candidates are compared by."""
        return self.predicted_ms if self.steered_ms is None else self.steered_ms

    @property
    def by_name(self) -> dict[str, float | None]:
        """The costs that can be limited, by the names of their limits."""
        return {
            "time": self.time_ms,
            "size": self.size_bytes,
            "memory": self.memory_bytes,
            "energy": self.energy_mj,
        }


class CandidateCost(ABC):
    """The number that steers a search, in ms.

    A subclass says `exact` and `cheap`: whether thousands of candidates can be looked at. One that has faster estimates
    than the exact number overrides `many`, too.
    """

    cheap: bool

    @abstractmethod
    def exact(self, configuration: Configuration) -> float:
        """The number that counts."""

    def many(self, configurations: Sequence[Configuration]) -> NDArray[np.float64]:
        """Fast estimates of several candidates [n]."""
        return np.array([self.exact(configuration) for configuration in configurations])

    def __call__(self, configuration: Configuration) -> float:
        """A fast estimate."""
        return float(self.many([configuration])[0])

    def by_width(
        self, configuration: Configuration, group: str, widths: Sequence[int]
    ) -> NDArray[np.float64]:
        """Fast estimates where one group takes each of several widths [n]."""
        return self.many([configuration.with_widths({group: width}) for width in widths])


class NetworkCost(CandidateCost):
    """A cost that is computed from the network; each configuration is asked for once."""

    def __init__(
        self,
        network: Callable[[Configuration], Network],
        number: Callable[[Network], float],
        cheap: bool = True,
    ) -> None:
        self._network, self._number = network, number
        self.cheap = cheap
        self._known: dict[Configuration, float] = {}

    def exact(self, configuration: Configuration) -> float:
        """See `CandidateCost.exact`."""
        if configuration not in self._known:
            self._known[configuration] = float(self._number(self._network(configuration)))
        return self._known[configuration]


class _JointCost(CandidateCost):
    """One number made of the numbers of several costs."""

    def __init__(self, costs: Sequence[CandidateCost]) -> None:
        self._costs = tuple(costs)
        self.cheap = all(cost.cheap for cost in self._costs)

    def exact(self, configuration: Configuration) -> float:
        """See `CandidateCost.exact`."""
        return float(self._joined(np.array([[cost.exact(configuration)] for cost in self._costs]))[0])

    def many(self, configurations: Sequence[Configuration]) -> NDArray[np.float64]:
        """See `CandidateCost.many`."""
        return self._joined(np.array([cost.many(configurations) for cost in self._costs]))

    def by_width(
        self, configuration: Configuration, group: str, widths: Sequence[int]
    ) -> NDArray[np.float64]:
        """See `CandidateCost.by_width`."""
        return self._joined(np.array([cost.by_width(configuration, group, widths) for cost in self._costs]))

    @abstractmethod
    def _joined(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """From the values of each cost [costs, n] to one number each [n]."""


class NearestLimitCost(_JointCost):
    """The cost that comes nearest to its limit, on the scale of the first one.

    So one budget stands for several limits: ``max(cost_i / limit_i) * limit_0 <= limit_0``.

    Parameters
    ----------
    costs
        Pairs of a cost and its limit; the first one gives the unit.
    """

    def __init__(self, costs: Sequence[tuple[CandidateCost, float]]) -> None:
        super().__init__([cost for cost, _ in costs])
        self._limits = np.array([[limit] for _, limit in costs])

    def _joined(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(self._limits[0] * np.max(values / self._limits, axis=0))


class PenalisedCost(_JointCost):
    """A cost that is to be small, where others have limits: beyond one it grows by how far beyond.

    Parameters
    ----------
    cost
        What is made small.
    limits
        Pairs of another cost and its limit.
    """

    STEEPNESS = 3.0

    def __init__(self, cost: CandidateCost, limits: Sequence[tuple[CandidateCost, float]]) -> None:
        super().__init__([cost, *(other for other, _ in limits)])
        self._limits = np.array([[limit] for _, limit in limits])

    def _joined(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        over = np.max(values[1:] / self._limits, axis=0)
        return np.asarray(values[0] * np.maximum(1.0, over) ** self.STEEPNESS)


def steering_cost(
    objective: str, costs: Mapping[str, CandidateCost], limits: Mapping[str, float]
) -> tuple[CandidateCost, float | None]:
    """The one cost of a search, and the budget of it (None where the cost itself is to be made small).

    Costs and limits are by name (`Costs.by_name`); `objective` is ``score``, or the name of the cost to make small.
    """
    pairs = {name: (costs[name], limit) for name, limit in limits.items()}
    if objective == "score":
        if len(pairs) == 1:
            return next(iter(pairs.values()))
        ordered = sorted(pairs, key=lambda name: name != "time")
        nearest = NearestLimitCost([pairs[name] for name in ordered])
        return nearest, pairs[ordered[0]][1]
    others = [pair for name, pair in pairs.items() if name != objective]
    return (PenalisedCost(costs[objective], others) if others else costs[objective]), None
