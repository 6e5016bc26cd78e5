"""`SettingModel`: everything learned about one device under one setting, and the arithmetic of prediction."""

from __future__ import annotations

import math
import weakref
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Generic, TypeVar

import numpy as np

from profiler.errors import UsageError
from profiler.network import Layer, Network, footprint
from timemodel.features import kind_of
from timemodel.model.checking import items, number, numbers_of, table, whole
from timemodel.model.conditions import Conditions
from timemodel.model.layer_times import MOST_SPAN, LayerPredictor, LayerTimes
from timemodel.model.operator_model import OperatorModel
from timemodel.model.power_model import PowerModel
from timemodel.model.prediction import LayerPrediction, NetworkPrediction
from timemodel.model.unknown import why_unknown
from timemodel.runtime import RuntimeTerms, borders_through, left_by_size, marked, placed

T = TypeVar("T")

MOST_NETWORKS = 256
"""Networks whose predictions are kept, if all of them are still in use."""


class NetworkMemo(Generic[T]):
    """Results by immutable object, such as a network, forgotten with it."""

    def __init__(self) -> None:
        self._results: dict[int, tuple[weakref.ref[Any], T]] = {}

    def get(self, network: object) -> T | None:
        """What was put under `network`, or None."""
        results = self._results.get(id(network))
        return results[1] if results is not None and results[0]() is network else None

    def put(self, network: object, value: T) -> T:
        """Keep `value` and return it."""
        key, results = id(network), self._results
        while len(results) >= MOST_NETWORKS and key not in results:
            # The oldest goes; another thread may have been faster.
            results.pop(next(iter(list(results))), None)

        def forget(gone: weakref.ref[Any]) -> None:
            # The number may have passed on to a new network meanwhile.
            if key in results and results[key][0] is gone:
                results.pop(key, None)

        results[key] = (weakref.ref(network, forget), value)
        return value


class SettingModel:
    """Trees by (operator, dtype) and terms of one setting, which never change: other `with_terms` make another model.

    `key` is the setting's name, such as ``ai-edge-litert 2.3.0, xnnpack, 1 thread``, and `setting` the same in parts. The
    operator `FALLBACK` is the declared estimate of what was never measured. `energy` says what layers draw while they run
    or, where a simulator tells energy itself, is a model like this one in mJ in place of ms; `cpu` knows what an accelerator leaves
    to the CPU.
    """

    def __init__(
        self,
        key: str,
        setting: Mapping[str, Any],
        fingerprint: Mapping[str, Any],
        operators: Mapping[tuple[str, str], OperatorModel],
        terms: RuntimeTerms,
        conditions: Conditions | None = None,
        energy: SettingModel | PowerModel | None = None,
        cpu: SettingModel | None = None,
    ) -> None:
        self.key = key
        self.setting = dict(setting)
        self.fingerprint = dict(fingerprint)
        self.operators: Mapping[tuple[str, str], OperatorModel] = MappingProxyType(dict(operators))
        self.conditions = conditions
        self.energy, self.cpu = energy, cpu
        self._terms = terms
        others = cpu.layer_times if cpu is not None else None
        self._layers = LayerPredictor(self.operators, terms.overhead_ms, self.simulated, others)
        self._totals: NetworkMemo[float] = NetworkMemo()
        self._predictions: NetworkMemo[NetworkPrediction] = NetworkMemo()

    def __reduce__(self) -> tuple[Any, ...]:
        # Copies and other processes remember nothing.
        return type(self), (
            self.key,
            self.setting,
            self.fingerprint,
            dict(self.operators),
            self.terms,
            self.conditions,
            self.energy,
            self.cpu,
        )

    @property
    def simulated(self) -> bool:
        """Whether the device is a simulator: what it does not run is unknown, and nothing stands in for it."""
        return bool(self.setting.get("target"))

    @property
    def terms(self) -> RuntimeTerms:
        """What the runtime adds to the sum of layers."""
        return self._terms

    @property
    def threads(self) -> int:
        """Threads that were used."""
        return int(self.setting.get("threads", 1))

    def with_terms(self, terms: RuntimeTerms) -> SettingModel:
        """The same operators with other `terms`; times of layers that were worked out before are shared."""
        known = self.key, self.setting, self.fingerprint, self.operators
        other = SettingModel(*known, terms, self.conditions, self.energy, self.cpu)
        if terms.overhead_ms == self.terms.overhead_ms:
            other._layers = self._layers
        return other

    def find(self, op: str, dtype: str) -> tuple[OperatorModel | None, bool]:
        """The model that predicts `op` in `dtype`, and whether it was measured for just that."""
        return self._layers.find(op, dtype)

    def layer_times(self, layers: Sequence[Layer]) -> LayerTimes:
        """Times of `layers` on their own, without the call's overhead; loops count every round."""
        return self._layers.times(layers)

    def predict_layers_ms(self, layers: Sequence[Layer]) -> np.ndarray:
        """Times ``[n]`` in ms of `layers` on their own: see `layer_times`."""
        return self._layers.times(layers).predicted_ms

    def predict_layers_mj(self, layers: Sequence[Layer]) -> np.ndarray | None:
        """Energies ``[n]`` in mJ of `layers` on their own; None where the device's energy is not known."""
        if isinstance(self.energy, PowerModel):
            return self.energy.energies_mj(layers, self.predict_layers_ms(layers))
        return None if self.energy is None else self.energy.predict_layers_ms(layers)

    def in_network_ms(self, network: Network) -> LayerTimes:
        """Times of the layers of `network` as they run there: fused neighbours and data beyond the cache included."""
        return self._in_network(network)[0]

    def _in_network(self, network: Network) -> tuple[LayerTimes, float]:
        """`in_network_ms`, and by how many ms (90%) what data beyond the cache costs may be off."""
        alone, factors, traffic, calibration = self._parts(network)
        extra = traffic + self._dispatch_ms(network, factors)
        times = alone.predicted_ms, alone.low_ms, alone.high_ms
        predicted, low, high = ((own_ms * factors + extra) * calibration for own_ms in times)
        off_ms = self.terms.cache_traffic.error * float(traffic.sum())
        covered = alone.covered
        if self.simulated:  # what runs inside a neighbour needs no time of its own
            covered = covered | (factors == 0)
        return LayerTimes(predicted, low, high, covered, alone.known | (factors == 0)), off_ms

    def cache_traffic_ms(self, network: Network) -> np.ndarray:
        """The part ``[layers]`` of each layer's time in ms that is its data coming from beyond the cache."""
        _, _, extra, calibration = self._parts(network)
        return extra * calibration

    def _dispatch_ms(self, network: Network, factors: np.ndarray) -> np.ndarray | float:
        """What ``[layers]`` in ms the operators that run once each cost for standing in a long row of unlike ones."""
        count = len(network.layers)
        if not any(dispatch.each_ms(count) for dispatch in self.terms.dispatch.values()):
            return 0.0  # the row is too short, as it is in most networks
        once = np.array(
            [layer.repeat == 1 and bool(layer.activations) for layer in network.layers], dtype=bool
        )
        runs = once & (factors > 0)
        return runs * self.terms.dispatch_of(network.dtype).each_ms(int(runs.sum()))

    def _parts(self, network: Network) -> tuple[LayerTimes, np.ndarray, np.ndarray, np.ndarray]:
        """Times alone, factors by fusion, extra ms by cache traffic, and factors by calibration, per layer."""
        company = self.terms.company and bool(network.edges)
        terms = self.terms
        known = terms.left, terms.left_rules, terms.fast_bytes
        layers = placed(network, *known) if company else network.layers
        alone = self.layer_times(layers)
        shares = terms.fusion_shares
        factors = shares.factors(network, marked(layers) if company else ())
        for position in borders_through(network) if company else ():
            absorbed = shares.absorbed.get(network.layers[position].dtype, {})
            factors[position] = min(factors[position], absorbed.get("pad+conv_2d", 1.0))
        extra = self.terms.cache_traffic.extra_ms(network, alone.predicted_ms * factors)
        calibration = np.array([self.terms.calibration.get(layer.dtype, 1.0) for layer in network.layers])
        return alone, factors, extra, calibration

    def predict_total_ms(self, network: Network) -> float:
        """Time of one inference in ms."""
        known = self._totals.get(network)
        if known is None:
            total = float(self.in_network_ms(network).predicted_ms.sum()) + self.terms.overhead_ms
            known = self._totals.put(network, total)
        return known

    def predict(self, network: Network, device: str) -> NetworkPrediction:
        """Time of one inference, per layer and in total, with its interval and coverage."""
        known = self._predictions.get(network)
        if known is None or known.device != device:
            known = self._predictions.put(network, self._predict(network, device))
        return known

    def _predict(self, network: Network, device: str) -> NetworkPrediction:
        self._refuse_type(network, device)
        times, traffic_off_ms = self._in_network(network)
        left = self._left(network, times)
        energy_mj, layers_mj = self._energy_mj(network, times)
        overhead_ms, dtype = self.terms.overhead_ms, network.dtype
        total = float(times.predicted_ms.sum()) + overhead_ms
        low, high = self.terms.low.get(dtype, 0.8), self.terms.high.get(dtype, 1.25)
        # All layers share what small networks were off by in calibration, and what the price of traffic is off by. Equal
        # layers are equally wrong, so what these are off by alone adds up; that of different ones partly averages out.
        numbers: dict[Layer, int] = {}
        alike = np.array([numbers.setdefault(layer, len(numbers)) for layer in network.layers], dtype=np.intp)
        below, above = (
            math.hypot(total * shared, traffic_off_ms, np.linalg.norm(np.bincount(alike, own)))
            for shared, own in (
                (1 - low, times.predicted_ms - times.low_ms),
                (high - 1, times.high_ms - times.predicted_ms),
            )
        )
        high_ms = total + above
        low_ms = min(total, max(total - below, high_ms / MOST_SPAN))
        covered_ms = float(times.predicted_ms[times.covered].sum()) + overhead_ms
        coverage = covered_ms / total if total > 0 else 1.0
        columns = times.predicted_ms, times.low_ms, times.high_ms, times.covered, self.known(times)
        if not columns[-1].all():
            # What an unknown operator takes is no part of the total: of so many operators that work so many are known.
            coverage *= float(columns[-1].mean())
        rows = zip(network.layers, layers_mj, left, *(column.tolist() for column in columns), strict=True)
        layers = tuple(
            LayerPrediction(
                layer.index,
                layer.op,
                layer.name,
                layer.macs * layer.repeat,
                predicted_ms,
                low_ms,
                high_ms,
                covered,
                energy_mj=mj,
                known=known,
                left=why,
                reason="" if known or self.simulated else self._why_unknown(layer),
            )
            for layer, mj, why, predicted_ms, low_ms, high_ms, covered, known in rows
        )
        # A table of layers tells nothing of what lives at the same time.
        memory = footprint(network, str(self.setting.get("kernels", "xnnpack"))) if network.edges else None
        return NetworkPrediction(
            network=network.name,
            device=device,
            dtype=dtype,
            threads=self.threads,
            predicted_ms=total,
            low_ms=low_ms,
            high_ms=min(high_ms, MOST_SPAN * low_ms),
            coverage=coverage,
            uncovered=tuple(sorted({layer.op for layer in layers if not layer.covered})),
            peak_memory_bytes=memory.activation_bytes if memory else 0,
            memory=memory,
            layers=layers,
            calm_share=self.conditions.calm_share if self.conditions else None,
            widened=self.conditions is not None and self.conditions.widened,
            energy_mj=energy_mj,
            at_least=any(not layer.known for layer in layers) or bool(network.unknown_loops),
            unknown_loops=tuple(network.unknown_loops),
        )

    def known(self, times: LayerTimes) -> np.ndarray:
        """Which layers' times are known ``[n]``: measured, estimated, or done inside of another one."""
        if self.simulated:
            return times.known & (times.covered | (times.predicted_ms > 0))
        return times.known

    def _why_unknown(self, layer: Layer) -> str:
        op, dtype = kind_of(layer)
        others = sorted({known for name, known in self.operators if name == op and known != dtype})
        return why_unknown(layer, others, (op, dtype) in self.operators)

    def _left(self, network: Network, times: LayerTimes) -> list[str]:
        """Why an accelerator leaves each layer to the CPU; empty where it runs it, or no accelerator is meant."""
        found = [""] * len(network.layers)
        if self.simulated:
            for i, layer in enumerate(network.layers):
                works = not layer.inputs or any(not tensor.constant for tensor in layer.inputs)
                if works and not times.covered[i]:
                    found[i] = "no such operator there"
            kinds = [kind_of(layer) for layer in network.layers]
            found_by_size = left_by_size(network.layers, kinds, self.terms.left_rules)
            for i, why in found_by_size.items():
                found[i] = why
        return found

    def _energy_mj(self, network: Network, times: LayerTimes) -> tuple[float | None, list[float | None]]:
        """Energy of an inference and of each of its layers, which take these `times`; None where it is not known."""
        if self.energy is None:
            return None, [None] * len(network.layers)
        if isinstance(self.energy, PowerModel):
            energies = self.energy.energies_mj(network.layers, times.predicted_ms)
            call_mj = self.energy.base_w * self.terms.overhead_ms
            return float(energies.sum()) + call_mj, energies.tolist()
        found = self.energy.in_network_ms(network)
        rows = zip(found.predicted_ms.tolist(), found.covered.tolist(), strict=True)
        return float(found.predicted_ms.sum()), [mj if covered else None for mj, covered in rows]

    def runs(self, dtype: str) -> bool:
        """Whether networks of `dtype` run there: a simulated accelerator runs some number types only."""
        return not self.simulated or self.cpu is not None or any(kind == dtype for _, kind in self.operators)

    def _refuse_type(self, network: Network, device: str) -> None:
        if network.macs and not self.runs(network.dtype):
            known = sorted({dtype for _, dtype in self.operators})
            raise UsageError(
                f"{network.name} is a {network.dtype} network and {device} runs {' and '.join(known)} only: "
                f"convert it to {known[0]} first."
            )

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "setting": self.setting,
            "fingerprint": self.fingerprint,
            "terms": self.terms.to_dict(),
            "conditions": self.conditions.to_dict() if self.conditions else None,
            "operators": [model.to_dict() for _, model in sorted(self.operators.items())],
            "energy": self.energy.to_dict() if self.energy else None,
            "cpu": self.cpu.to_dict() if self.cpu else None,
        }

    @classmethod
    def from_dict(cls, key: str, value: Mapping[str, Any]) -> SettingModel:
        """Read what `to_dict` wrote."""
        rows = items(value["operators"], "its operators")
        models = [OperatorModel.from_dict(table(row, "an operator")) for row in rows]
        operators = {(model.op, model.dtype): model for model in models}
        if len(operators) != len(models):
            raise ValueError("an operator is there twice")
        for name, found in numbers_of(value["terms"], "terms"):
            number(found, name)
        setting = table(value["setting"], "its setting")
        known = value["conditions"]
        conditions = None if known is None else Conditions.from_dict(table(known, "its conditions"))
        whole(setting.get("threads", 1), "its number of threads", least=1)
        terms = RuntimeTerms.from_dict(table(value["terms"], "its terms"))
        energy = None if value["energy"] is None else _energy_from_dict(table(value["energy"], "its energy"))
        cpu = None if value["cpu"] is None else cls.from_dict("cpu", table(value["cpu"], "its cpu"))
        fingerprint = table(value["fingerprint"], "its fingerprint")
        return cls(key, setting, fingerprint, operators, terms, conditions, energy, cpu)


def _energy_from_dict(value: Mapping[str, Any]) -> SettingModel | PowerModel:
    return SettingModel.from_dict("energy", value) if "operators" in value else PowerModel.from_dict(value)
