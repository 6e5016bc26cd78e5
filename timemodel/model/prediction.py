"""What a time model says of a network, and what anything that predicts networks offers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from profiler.network import Footprint, Layer, Network


@dataclass(frozen=True)
class LayerPrediction:
    """Predicted time and energy of one layer.

    `covered` is False where the model never measured the operator and fell back, `known` where there was nothing to fall back
    on, as with a custom operator or one that an accelerator leaves to the CPU, or where it is far beyond what was measured: its
    time is then here what it takes at least (0 where nothing is known) and null in JSON; `reason` says why, and `left` why it is
    left to the CPU. `energy_mj` is None where the device's energy is not known.
    """

    index: int
    op: str
    name: str
    macs: int
    predicted_ms: float
    low_ms: float
    high_ms: float
    covered: bool
    measured_ms: float | None = None
    energy_mj: float | None = None
    known: bool = True
    left: str = ""
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The object that stands in ``layers`` of ``predict --json``."""
        value = {key: part for key, part in vars(self).items() if key != "known"}
        return value if self.known else {**value, "predicted_ms": None, "low_ms": None, "high_ms": None}


@dataclass(frozen=True)
class NetworkPrediction:
    """Predicted time and energy of one network: the sum of its layers plus what the runtime adds.

    `coverage` is the share of `predicted_ms` that comes from operators that the model has measured; `uncovered` names the
    others. `low_ms` and `high_ms` bound 90% of networks; `high_ms` is null in JSON where the total is *at least* `predicted_ms`.
    `peak_memory_bytes` is the arena that holds the activations, `memory` all that the runtime takes; None where it is not known
    what lives at the same time. `energy_mj` is of one inference; None where the device's energy is not known. `at_least` is whether
    an operator without a known time (or energy) is left out of the total, or counts with the least it may take, or a loop is
    counted once whose turns are not known; `unknown` says which operators, and why, `unknown_loops` which loops. Where these are
    all that works, the network's time is not known at all (`whole` is False) and null in JSON.

    All times are as in calm. `calm_share` is how much of the time the device was calm when it was profiled, None where that is
    not known; `widened` is whether the bounds are wider because much was not met in calm.
    """

    network: str
    device: str
    dtype: str
    threads: int
    predicted_ms: float
    low_ms: float
    high_ms: float
    coverage: float
    uncovered: tuple[str, ...]
    peak_memory_bytes: int
    layers: tuple[LayerPrediction, ...]
    memory: Footprint | None = None
    energy_mj: float | None = None
    calm_share: float | None = None
    widened: bool = False
    at_least: bool = False
    unknown_loops: tuple[str, ...] = ()

    @property
    def unknown(self) -> dict[str, list[str]]:
        """Operators whose time is not known, by the reason."""
        found: dict[str, list[str]] = {}
        for layer in self.layers:
            names = found.setdefault(layer.reason, []) if layer.reason else []
            if layer.op not in names:
                names.append(layer.op)
        return found

    @property
    def why_unknown(self) -> str:
        """`unknown` in words; empty where all is known."""
        return in_words(self.unknown)

    @property
    def not_known(self) -> str:
        """What keeps the total from being whole, in words: operators with their reasons, and loops; empty where all is known."""
        named = {op for ops in self.unknown.values() for op in ops}
        others = dict.fromkeys(layer.op for layer in self.layers if not layer.known and layer.op not in named)
        left = [f"{', '.join(others)} (left to the CPU)"] if others else []
        loops = [f"how often {', '.join(self.unknown_loops)} turns"]
        found = [*filter(None, [self.why_unknown]), *left, *(loops if self.unknown_loops else [])]
        return "; ".join(found or ([", ".join(self.uncovered)] if self.at_least else []))

    @property
    def whole(self) -> bool:
        """Whether the time of any operator that works is known."""
        return not (self.at_least and self.layers) or any(
            layer.known and layer.predicted_ms > 0 for layer in self.layers
        )

    def to_dict(self, measurement: Any = None) -> dict[str, Any]:
        """The line that ``predict --json`` prints; `measurement` is a `profiler.measurement.Measurement` or None."""
        measured = dict(getattr(measurement, "layer_ms", None) or {})
        rows = [layer.to_dict() for layer in self.layers]
        for row in rows:
            row["measured_ms"] = measured.get(row["index"], row["measured_ms"])
        names = ("measured_ms", "measured_p90_ms", "load_ms", "first_ms")
        return {
            **{key: value for key, value in vars(self).items() if key not in ("layers", "unknown_loops")},
            **({"high_ms": None} if self.at_least else {}),
            **({} if self.whole else dict.fromkeys(("predicted_ms", "low_ms"))),
            "unknown": self.unknown,
            **{name: getattr(measurement, name, None) for name in names},
            "measured_calm_share": getattr(measurement, "calm_share", None),
            "uncovered": list(self.uncovered),
            "memory": self.memory.to_dict() if self.memory else None,
            "layers": rows,
        }


def in_words(unknown: Mapping[str, Sequence[str]]) -> str:
    """Operators by the reason why their time is not known, as ``NAME (reason)``."""
    return "; ".join(
        f"{', '.join(op.removeprefix('custom:').removeprefix('composite:') for op in ops)} ({reason})"
        for reason, ops in unknown.items()
    )


class NetworkPredictor(Protocol):
    """Anything that predicts networks on one device, such as a `timemodel.TimeModel`.

    `setting` is the name of one of its settings everywhere, by default its first. Where it has ``change_errors(setting)`` as
    well (see `TimeModel`), advice rests on how far predicted savings may be off; else its times are taken to be exact.
    """

    @property
    def device(self) -> str:
        """The device's name."""

    def setting(self, name: str | None = None) -> Any:
        """What predicts under one setting, with its ``key``, ``setting`` (in parts) and ``fingerprint``."""

    def only(self, setting: str) -> NetworkPredictor:
        """The same without its other settings."""

    def predict(self, network: Network, setting: str | None = None) -> NetworkPrediction:
        """Time of one inference, and its energy where that is known, with interval and coverage."""

    def predict_total_ms(self, network: Network, setting: str | None = None) -> float:
        """Time of one inference in ms."""

    def predict_layers_ms(self, layers: Sequence[Layer], setting: str | None = None) -> np.ndarray:
        """Times ``[n]`` in ms of `layers` on their own."""

    def predict_layers_mj(self, layers: Sequence[Layer], setting: str | None = None) -> np.ndarray | None:
        """Energies ``[n]`` in mJ of `layers` on their own; None where the device's energy is not known."""
