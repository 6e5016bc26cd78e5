"""What a network costs on a device, and the one number by which a search is steered.

A search method sees a single cost, in ms, and perhaps a budget of it. Here that number is made of what the
user asked for: predicted time as it is; multiplications in its place, scaled so that the original costs what
it takes (to show what knowing the time is worth); or, where sizes and memory are limited as well, whatever
is nearest its limit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from compressor.graph import Widths
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
    size_bytes
        Of the ``.tflite`` file.
    memory_bytes
        The arena at its peak, as the runtime plans it.
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


class CandidateCost(Protocol):
    """The number that steers a search (`compressor.costs.predicted_time.PredictedTime` is one), in ms."""

    @property
    def cheap(self) -> bool:
        """Whether thousands of candidates can be looked at."""

    def __call__(self, widths: Widths) -> float:
        """A fast estimate."""

    def exact(self, widths: Widths) -> float:
        """The number that counts."""

    def moves(self, widths: Widths, group: str, options: Sequence[int]) -> NDArray[np.float64]:
        """Fast estimates where one group takes each of several widths [n]."""

    def many(self, candidates: Sequence[Widths]) -> NDArray[np.float64]:
        """Fast estimates of several candidates [n]."""


class NetworkCost:
    """A cost that is computed from the network at given widths; each set of widths is asked for once.

    Parameters
    ----------
    network
        From widths to the TFLite network.
    number
        From the network to its cost.
    cheap
        Whether `network` costs well under a millisecond.
    """

    def __init__(
        self, network: Callable[[Widths], Network], number: Callable[[Network], float], cheap: bool = True
    ) -> None:
        self._network, self._number = network, number
        self.cheap = cheap
        self._known: dict[tuple[tuple[str, int], ...], float] = {}

    def __call__(self, widths: Widths) -> float:
        """The cost."""
        key = tuple(sorted(widths.items()))
        if key not in self._known:
            self._known[key] = float(self._number(self._network(widths)))
        return self._known[key]

    exact = __call__

    def moves(self, widths: Widths, group: str, options: Sequence[int]) -> NDArray[np.float64]:
        """Costs where one group takes each of several widths [n]."""
        return self.many([{**widths, group: option} for option in options])

    def many(self, candidates: Sequence[Widths]) -> NDArray[np.float64]:
        """Costs of several candidates [n]."""
        return np.array([self(widths) for widths in candidates])


def flops_cost(times: Any, full: Widths) -> NetworkCost:
    """Multiply-accumulates, scaled so that the network as it is costs its predicted time.

    Parameters
    ----------
    times
        A `compressor.costs.predicted_time.PredictedTime`.
    full
        The widths of the network as it is.
    """
    whole = times.network(full)
    scale = times.exact(full) / max(1, whole.macs)
    return NetworkCost(times.network, lambda network: scale * network.macs, times.cheap)


class NearestLimit:
    """The cost that comes nearest to its limit, on the scale of the first one.

    So one budget stands for several limits: ``max(cost_i / limit_i) * limit_0 <= limit_0``.

    Parameters
    ----------
    costs
        Pairs of a cost and its limit; the first one gives the unit.
    """

    def __init__(self, costs: Sequence[tuple[CandidateCost, float]]) -> None:
        self._costs = tuple(costs)
        self._unit = costs[0][1]

    @property
    def cheap(self) -> bool:
        """Whether all of them are cheap."""
        return all(cost.cheap for cost, _ in self._costs)

    def __call__(self, widths: Widths) -> float:
        """A fast estimate."""
        return self._unit * max(cost(widths) / limit for cost, limit in self._costs)

    def exact(self, widths: Widths) -> float:
        """The number that counts."""
        return self._unit * max(cost.exact(widths) / limit for cost, limit in self._costs)

    def moves(self, widths: Widths, group: str, options: Sequence[int]) -> NDArray[np.float64]:
        """Fast estimates where one group takes each of several widths [n]."""
        rows = [cost.moves(widths, group, options) / limit for cost, limit in self._costs]
        return self._unit * np.max(rows, axis=0)

    def many(self, candidates: Sequence[Widths]) -> NDArray[np.float64]:
        """Fast estimates of several candidates [n]."""
        rows = [cost.many(candidates) / limit for cost, limit in self._costs]
        return self._unit * np.max(rows, axis=0)


class Within:
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
        self._cost, self._limits = cost, tuple(limits)

    @property
    def cheap(self) -> bool:
        """Whether all of them are cheap."""
        return self._cost.cheap and all(cost.cheap for cost, _ in self._limits)

    def __call__(self, widths: Widths) -> float:
        """A fast estimate."""
        over = max((cost(widths) / limit for cost, limit in self._limits), default=1.0)
        return self._cost(widths) * max(1.0, over) ** self.STEEPNESS

    def exact(self, widths: Widths) -> float:
        """The number that counts."""
        over = max((cost.exact(widths) / limit for cost, limit in self._limits), default=1.0)
        return self._cost.exact(widths) * max(1.0, over) ** self.STEEPNESS

    def moves(self, widths: Widths, group: str, options: Sequence[int]) -> NDArray[np.float64]:
        """Fast estimates where one group takes each of several widths [n]."""
        return self._penalised(
            self._cost.moves(widths, group, options),
            [cost.moves(widths, group, options) / limit for cost, limit in self._limits],
        )

    def many(self, candidates: Sequence[Widths]) -> NDArray[np.float64]:
        """Fast estimates of several candidates [n]."""
        return self._penalised(
            self._cost.many(candidates), [cost.many(candidates) / limit for cost, limit in self._limits]
        )

    def _penalised(
        self, values: NDArray[np.float64], shares: Sequence[NDArray[np.float64]]
    ) -> NDArray[np.float64]:
        over = np.max([np.ones_like(values), *shares], axis=0)
        return np.asarray(values * over**self.STEEPNESS)


def steering_cost(
    objective: str, costs: Mapping[str, CandidateCost], limits: Mapping[str, float]
) -> tuple[CandidateCost, float | None]:
    """The one cost of a search, and the budget of it (None where the cost itself is to be made small).

    Parameters
    ----------
    objective
        ``score``, or the name of the cost to make small.
    costs
        By name: ``time``, ``size``, ``memory``, ``energy``.
    limits
        Of those that have one.
    """
    pairs = {name: (costs[name], limit) for name, limit in limits.items()}
    if objective == "score":
        if len(pairs) == 1:
            return next(iter(pairs.values()))
        ordered = sorted(pairs, key=lambda name: name != "time")
        nearest = NearestLimit([pairs[name] for name in ordered])
        return nearest, pairs[ordered[0]][1]
    others = [pair for name, pair in pairs.items() if name != objective]
    return (Within(costs[objective], others) if others else costs[objective]), None
