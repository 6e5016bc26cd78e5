"""`SettingModel`: everything learned about one device under one setting, and the arithmetic of prediction."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from profiler.network import Layer, Network, footprint
from timemodel.features import kernel_of, stand_ins
from timemodel.model.checking import (
    items,
    number,
    numbers_of,
    table,
    whole,
)
from timemodel.model.layer_times import (
    Find,
    LayerTimer,
    LayerTimes,
)
from timemodel.model.memo import NetworkMemo
from timemodel.model.operator_model import OperatorModel
from timemodel.model.prediction import LayerPrediction, NetworkPrediction
from timemodel.runtime import RuntimeTerms, factors

__all__ = ["FALLBACK", "LayerTimes", "SettingModel", "kernel_of"]

FALLBACK = "*"
"""Operator name of the models that stand in for operators that were never measured."""


class SettingModel:
    """Trees and terms of one setting.

    Parameters
    ----------
    key
        The setting's name, such as ``ai-edge-litert 2.3.0, xnnpack, 1 thread``.
    setting
        The same in parts (runtime, version, kernels, threads).
    operators
        By (operator, dtype); the operator `FALLBACK` is the declared estimate of what was never measured.
    """

    def __init__(
        self,
        key: str,
        setting: Mapping[str, Any],
        fingerprint: Mapping[str, Any],
        operators: Mapping[tuple[str, str], OperatorModel],
        terms: RuntimeTerms,
    ) -> None:
        self.key = key
        self.setting = dict(setting)
        self.fingerprint = dict(fingerprint)
        self.operators = dict(operators)
        self.terms = terms
        self._found: dict[tuple[str, str], tuple[OperatorModel | None, bool]] = {}
        self._found_for: tuple[list[int], list[Any]] = ([], [])
        self._exchanged = object()
        self._timer = LayerTimer()
        self._results = NetworkMemo()

    @property
    def threads(self) -> int:
        """Threads that were used."""
        return int(self.setting.get("threads", 1))

    def find(self, op: str, dtype: str) -> tuple[OperatorModel | None, bool]:
        """The model that predicts `op` in `dtype`, and whether it was measured for just that."""
        known = self._found.get((op, dtype))
        if known is None:
            known = self._found[op, dtype] = self._find(op, dtype)
        return known

    def _find(self, op: str, dtype: str) -> tuple[OperatorModel | None, bool]:
        for name in stand_ins(op, dtype):
            if name in self.operators:
                return self.operators[name], op != FALLBACK
        # Declared fallback: the same operator in another arithmetic, else what bytes and multiplications cost on average.
        others = [other for other in ("float32", "int8", "dynamic_int8", "int16") if other != dtype]
        same = [dtype, *others] if ":" in op else others
        for base, kinds in ((op.partition(":")[0], same), (FALLBACK, [dtype, *others])):
            for kind in kinds:
                for name in stand_ins(base, kind):
                    if name in self.operators:
                        return self.operators[name], False
        return None, False

    def layer_times(self, layers: Sequence[Layer]) -> LayerTimes:
        """Times of `layers` on their own, without the call's overhead; loops count every round."""
        return self._timer.times(layers, self._finder(), self.terms.overhead_ms)

    def predict_layers_ms(self, layers: Sequence[Layer]) -> np.ndarray:
        """Times ``[n]`` in ms of `layers` on their own; see `layer_times`."""
        return self._timer.predicted_ms(layers, self._finder(), self.terms.overhead_ms)

    def predict_rows(self, op: str, dtype: str, rows: np.ndarray) -> np.ndarray:
        """Times ``[n]`` in ms of layers of one kind, given as `geometry` rows: the way for batches of millions."""
        model, _ = self.find(op, dtype)
        if model is None:
            return np.zeros(len(rows))
        return np.maximum(model.predict_ms(rows) - self.terms.overhead_ms, 0.0)

    def _finder(self) -> Find:
        """`find`, with its choices dropped where operators were exchanged."""
        models = list(self.operators.values())
        if list(map(id, models)) != self._found_for[0]:
            # The models are held besides their numbers, so that these cannot pass on to others.
            self._found, self._found_for = {}, (list(map(id, models)), models)
            self._exchanged = object()
        return self.find

    def in_network_ms(self, network: Network) -> LayerTimes:
        """Times of the layers of `network` as they run there: fused neighbours and data beyond the cache included."""
        alone = self.layer_times(network.layers)
        factor = factors(network, self.terms.remaining, self.terms.kept)
        extra = self.terms.traffic.extra_ms(network, alone.predicted_ms * factor)
        together = np.array([self.terms.together.get(layer.dtype, 1.0) for layer in network.layers])
        predicted = (alone.predicted_ms * factor + extra) * together
        return LayerTimes(
            predicted,
            (alone.low_ms * factor + extra) * together,
            (alone.high_ms * factor + extra) * together,
            alone.covered,
        )

    def predict_total_ms(self, network: Network) -> float:
        """Time of one inference in ms."""
        state = self._state()
        known: float | None = self._results.get(network, "total", state)
        if known is None:
            known = float(self.in_network_ms(network).predicted_ms.sum()) + self.terms.overhead_ms
            self._results.put(network, "total", state, known)
        return known

    def _state(self) -> Any:
        """All that predictions follow from, to compare: what is kept of networks holds only for the same."""
        self._finder()
        own = [value for name, value in self.__dict__.items() if name != "operators" and name[0] != "_"]
        trees = [(model.low, model.high, getattr(model, "tree", None)) for model in self._found_for[1]]
        return self._exchanged, trees, pickle.dumps(own)

    def predict(self, network: Network, device: str) -> NetworkPrediction:
        """Time of one inference, per layer and in total, with its interval and coverage.

        The interval joins two sources: what small whole networks were off by when the model was calibrated, which all layers
        share, and what each layer is off by on its own, which partly averages out.
        """
        state = self._state()
        known: NetworkPrediction | None = self._results.get(network, f"on {device}", state)
        if known is None:
            known = self._predict(network, device)
            self._results.put(network, f"on {device}", state, known)
        return known

    def _predict(self, network: Network, device: str) -> NetworkPrediction:
        times = self.in_network_ms(network)
        total = float(times.predicted_ms.sum()) + self.terms.overhead_ms
        dtype = network.dtype
        low, high = self.terms.low.get(dtype, 0.8), self.terms.high.get(dtype, 1.25)
        below = float(np.hypot(total * (1 - low), np.linalg.norm(times.predicted_ms - times.low_ms)))
        above = float(np.hypot(total * (high - 1), np.linalg.norm(times.high_ms - times.predicted_ms)))
        known = float(times.predicted_ms[times.covered].sum()) + self.terms.overhead_ms
        uncovered = {layer.op for layer, seen in zip(network.layers, times.covered, strict=True) if not seen}
        layers = tuple(
            LayerPrediction(
                layer.index,
                layer.op,
                layer.name,
                layer.macs * layer.repeat,
                float(middle),
                float(lower),
                float(upper),
                bool(seen),
            )
            for layer, middle, lower, upper, seen in zip(
                network.layers, times.predicted_ms, times.low_ms, times.high_ms, times.covered, strict=True
            )
        )
        # A table of layers tells nothing of what lives at the same time.
        memory = footprint(network, str(self.setting.get("kernels", "xnnpack"))) if network.edges else None
        return NetworkPrediction(
            network=network.name,
            device=device,
            dtype=dtype,
            threads=self.threads,
            predicted_ms=total,
            low_ms=max(total - below, 0.0),
            high_ms=total + above,
            coverage=known / total if total > 0 else 1.0,
            uncovered=tuple(sorted(uncovered)),
            peak_memory_bytes=memory.activation_bytes if memory else 0,
            memory=memory,
            layers=layers,
        )

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "setting": self.setting,
            "fingerprint": self.fingerprint,
            "terms": self.terms.to_dict(),
            "operators": [model.to_dict() for _, model in sorted(self.operators.items())],
        }

    @classmethod
    def from_dict(cls, key: str, value: Mapping[str, Any]) -> SettingModel:
        """Read what `to_dict` wrote.

        Raises
        ------
        ValueError
            It does not hang together.
        """
        models = [
            OperatorModel.from_dict(table(row, "an operator"))
            for row in items(value["operators"], "its operators")
        ]
        operators = {(model.op, model.dtype): model for model in models}
        if len(operators) != len(models):
            raise ValueError("an operator is there twice")
        for name, found in numbers_of(value["terms"], "terms"):
            number(found, name)
        setting = table(value["setting"], "its setting")
        whole(setting.get("threads", 1), "its number of threads", least=1)
        terms = RuntimeTerms.from_dict(table(value["terms"], "its terms"))
        fingerprint = table(value["fingerprint"], "its fingerprint")
        return cls(key, setting, fingerprint, operators, terms)
