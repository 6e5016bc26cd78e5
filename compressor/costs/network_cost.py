"""What a network costs on a device, and the one number, in ms, by which a search is steered."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from compressor.costs.configuration import Configuration
from compressor.costs.lowering import LearnedLowering
from compressor.costs.structures import Lowering, Structures
from profiler.errors import UsageError
from profiler.network import Layer, Network
from timemodel.model import NetworkPredictor

T = TypeVar("T")

STEERINGS = ("time", "flops", "measured")
"""What can stand for time in a search, as in ``--steer``."""

_STEEPNESS = 3.0


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


class _PredictedCost(CandidateCost):
    """What a time model predicts of a model at any configuration.

    What layers cost is kept, so that a candidate costs only what is new in it. What the time model adds for the
    network as a whole (fusion, caches, calls) is no sum over layers: `exact` asks for it, estimates take it in
    proportion: as `calibrate` found it for the structure, until its exact number was asked for as for the whole network.
    """

    def __init__(self, time_model: NetworkPredictor, lowering: Lowering | Structures) -> None:
        self._time_model = time_model
        self._lowering = lowering
        self._of_layers: dict[Layer, float] = {}
        self._exact: dict[Configuration, float] = {}
        self._factors: dict[frozenset[str], float] = {frozenset(): 1.0}
        full = lowering.full.lowering if isinstance(lowering, Structures) else lowering
        self.cheap = isinstance(full, LearnedLowering)

    @abstractmethod
    def _predicted(self, network: Network) -> float:
        """Of a whole network."""

    @abstractmethod
    def _predicted_layers(self, layers: Sequence[Layer]) -> NDArray[np.float64]:
        """Of layers on their own [n]."""

    def exact(self, configuration: Configuration) -> float:
        """What the time model says of the whole network."""
        if configuration not in self._exact:
            self._exact[configuration] = self._predicted(self.network(configuration))
            if configuration.removed not in self._factors:
                self.calibrate(configuration)
        return self._exact[configuration]

    def many(self, configurations: Sequence[Configuration]) -> NDArray[np.float64]:
        """Fast estimates [n], at the price of one call of the time model."""
        rows = [self._lowering_of(configuration).counted(configuration) for configuration in configurations]
        return self._sums(rows) * [self._factor(configuration) for configuration in configurations]

    def by_width(
        self, configuration: Configuration, group: str, widths: Sequence[int]
    ) -> NDArray[np.float64]:
        """Fast estimates where one group takes each of several widths [n], the others as they are."""
        lowering = self._lowering_of(configuration)
        if not isinstance(lowering, LearnedLowering):
            return super().by_width(configuration, group, widths)
        now = configuration.widths[group]
        sums = self._sums(lowering.counted_by_width(configuration, group, [now, *widths]))
        return self(configuration) + (sums[1:] - sums[0]) * self._factor(configuration)

    def calibrate(self, configuration: Configuration) -> None:
        """Make the fast estimates of this structure agree with the exact number at this configuration."""
        fast = float(self._sums([self._lowering_of(configuration).counted(configuration)])[0])
        self._factors[configuration.removed] = self.exact(configuration) / fast if fast > 0 else 1.0

    def network(self, configuration: Configuration) -> Network:
        """The TFLite network at this configuration."""
        return self._lowering.network(configuration)

    def _lowering_of(self, configuration: Configuration) -> Lowering:
        return (
            self._lowering.estimating(configuration)
            if isinstance(self._lowering, Structures)
            else self._lowering
        )

    def _factor(self, configuration: Configuration) -> float:
        return self._factors.get(configuration.removed, self._factors[frozenset()])

    def _sums(self, rows: Sequence[Sequence[tuple[Layer, int]]]) -> NDArray[np.float64]:
        known = self._of_layers
        new = list(dict.fromkeys(layer for row in rows for layer, _ in row if layer not in known))
        if new:
            known.update(zip(new, map(float, self._predicted_layers(new)), strict=True))
        return np.array([sum([known[layer] * n for layer, n in row]) for row in rows])


class PredictedTime(_PredictedCost):
    """Predicted time in ms."""

    def energy(self, time_model: NetworkPredictor) -> PredictedEnergy:
        """The energy, by `time_model`, of the networks whose time this is."""
        return PredictedEnergy(time_model, self._lowering)

    def _predicted(self, network: Network) -> float:
        return float(self._time_model.predict(network).predicted_ms)

    def _predicted_layers(self, layers: Sequence[Layer]) -> NDArray[np.float64]:
        return np.asarray(self._time_model.predict_layers_ms(layers))


class PredictedEnergy(_PredictedCost):
    """Predicted energy in mJ; asking for that of a device whose energy is not known is a `UsageError`."""

    def _predicted(self, network: Network) -> float:
        return self._known(self._time_model.predict(network).energy_mj)

    def _predicted_layers(self, layers: Sequence[Layer]) -> NDArray[np.float64]:
        return self._known(self._time_model.predict_layers_mj(layers))

    def _known(self, energy_mj: T | None) -> T:
        if energy_mj is None:
            raise UsageError(
                f"The time model of {self._time_model.device} knows no energy: leave energy out, or profile the device "
                "with a source of power ('edgetime targets' lists them)."
            )
        return energy_mj


def flops_cost(times: PredictedTime, full: Configuration) -> NetworkCost:
    """Multiply-accumulates, scaled so that the network as it is (`full`) costs its predicted time."""
    whole = times.network(full)
    scale = times.exact(full) / max(1, whole.macs)
    return NetworkCost(times.network, lambda network: scale * network.macs, times.cheap)


class _JointCost(CandidateCost):
    """One number made of the numbers of several costs: `joined` takes them [costs, n] and gives one each [n]."""

    def __init__(
        self, costs: Sequence[CandidateCost], joined: Callable[[NDArray[np.float64]], NDArray[np.float64]]
    ) -> None:
        self._costs, self._joined = tuple(costs), joined
        self.cheap = all(cost.cheap for cost in self._costs)

    def exact(self, configuration: Configuration) -> float:
        return float(self._joined(np.array([[cost.exact(configuration)] for cost in self._costs]))[0])

    def many(self, configurations: Sequence[Configuration]) -> NDArray[np.float64]:
        return self._joined(np.array([cost.many(configurations) for cost in self._costs]))

    def by_width(
        self, configuration: Configuration, group: str, widths: Sequence[int]
    ) -> NDArray[np.float64]:
        return self._joined(np.array([cost.by_width(configuration, group, widths) for cost in self._costs]))


def steering_cost(
    objective: str, costs: Mapping[str, CandidateCost], limits: Mapping[str, float]
) -> tuple[CandidateCost, float | None]:
    """The one cost of a search, and the budget of it (None where the cost itself, the objective, is to be made small)."""
    if objective == "score" and len(limits) == 1:
        ((name, limit),) = limits.items()
        return costs[name], limit
    names = sorted((name for name in limits if name != objective), key=lambda name: name != "time")
    if not names:
        return costs[objective], None
    others, most = [costs[name] for name in names], np.array([[limits[name]] for name in names])
    if objective == "score":
        # One budget stands for all: the cost nearest to its limit, on the scale of the first one.
        return _JointCost(others, lambda values: most[0] * np.max(values / most, axis=0)), limits[names[0]]

    def penalised(values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Beyond a limit the cost grows by how far beyond."""
        over = np.max(values[1:] / most, axis=0)
        return np.asarray(values[0] * np.maximum(1.0, over) ** _STEEPNESS)

    return _JointCost([costs[objective], *others], penalised), None
