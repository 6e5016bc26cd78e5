"""Predicting networks, and measuring them beside it: what ``edgetime predict`` and the demo do."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgetime import networks
from profiler.calm import WITHIN
from profiler.devices import Target, default_target, open_target
from profiler.errors import UsageError

if TYPE_CHECKING:
    from profiler.network import Network
    from timemodel.model import NetworkPrediction, SettingModel, TimeModel

_NAMES = {
    "machine": "architecture",
    "cpu": "processor",
    "cores": "number of cores",
    "usable_cores": "number of usable cores",
    "governor": "frequency governor",
    "min_mhz": "lowest frequency (MHz)",
    "max_mhz": "highest frequency (MHz)",
    "memory_bytes": "memory (bytes)",
    "system": "system",
    "kernel": "kernel",
    "runtime": "runtime",
    "version": "runtime's version",
    "kernels": "kind of kernels",
    "threads": "number of threads",
}
"""What can change execution times; the agent's Python and numpy do not."""

_SAME_MEMORY = 0.05
"""Systems report a little more or less memory from start to start."""


_LEAST_LIMIT_S = 20.0
_MOST_RUNS = 100
_UNKNOWN_LIMIT_S = 300.0
"""By default measuring may take this, and so many times as long as one run is predicted to."""


class Predictor:
    """A time model and, where wanted, a target to measure on. A context manager: it closes the target.

    `target` says which of the model's settings to predict and where to measure (None: the first setting, this machine),
    `setting` names the setting whatever the target, `measure` runs each network as well, `load`
    says how long it takes under the load that the profile met. `turns` is how often loops turn whose number no file tells.
    Measuring a network is given up after `time_limit_s`; by default that is 20 s, more where it is predicted to be slow.
    UsageError where there is no such setting.
    """

    def __init__(
        self,
        time_model: TimeModel,
        target: str | None = None,
        measure: bool = False,
        setting: str | None = None,
        load: bool = False,
        *,
        turns: int | None = None,
        time_limit_s: float | None = None,
    ) -> None:
        self._turns, self._time_limit_s = turns, time_limit_s
        self.time_model = time_model
        self.setting = time_model.setting(setting)
        self._target: Target | None = None
        if target is not None:
            self._target = open_target(target)
            if setting is None:
                self.setting = _matching(time_model, self._target)
        elif measure:
            self._target = open_target(default_target(self.setting))
        self._measure = measure
        self._load = load
        self._reported: set[str] = set()

    def __enter__(self) -> Predictor:
        return self

    def __exit__(self, *error: object) -> None:
        if self._target is not None:
            self._target.close()

    def predict(
        self,
        path: str | os.PathLike[str],
        input_shape: networks.InputShape | None = None,
        signature: str | None = None,
    ) -> tuple[dict[str, Any], list[str]]:
        """What ``edgetime predict --json`` prints of the network in `path`, and new warnings to read before trusting it.

        `signature` says which network is meant, where the file has several.

        Raises EdgetimeError where the file cannot be read, or cannot be run where it is to be measured.
        """
        from profiler.measurement import measure_network

        read = networks.read(path, input_shape, signature, self._turns)
        prediction = self.time_model.predict(read.network, setting=self.setting.key)
        warnings = []
        if read.network.assumed_batch:
            warnings.append("Networks that leave the batch open are taken at batch 1.")
        warnings += _assumed(read.network)
        measurement = None
        if self._measure and self._target is not None:
            conditions = self.setting.conditions
            if conditions is not None:
                self._target.calm_below_us = WITHIN * conditions.canary_us
            self._target.time_limit_s = self._time_limit_s or _default_limit_s(prediction)
            measurement = measure_network(read.tflite, self._target, input_shape=input_shape)
            then = {**self.setting.fingerprint, **self.setting.setting}
            kernels = self._target.setting.kernels
            now = {**measurement.fingerprint, "threads": measurement.threads, "kernels": kernels}
            for difference in differences(then, now):
                warnings.append(f"Not as when this device was profiled: {difference}.")
            if measurement.disturbed:
                warnings.append(
                    f"The device was never calm while {Path(path).name} was measured, but {measurement.slowness:.2f}x as slow "
                    "as then at best: measure again."
                )
            if measurement.layer_note:
                warnings.append(f"{Path(path).name}: {measurement.layer_note}.")
        new = [warning for warning in warnings if warning not in self._reported]
        self._reported.update(new)
        result = {**prediction.to_dict(measurement), "setting": self.setting.key, "signature": signature}
        if self._load and result["predicted_ms"] is not None:
            result |= self._met(result["predicted_ms"])
        result["measured_in"] = {
            op: sorted(dtype for name, dtype in self.setting.operators if name == op)
            for op in prediction.uncovered
        }
        return result, new

    def _met(self, predicted_ms: float) -> dict[str, float]:
        """How long it takes under the load that the profile met."""
        met = self.setting.conditions.met_ms(predicted_ms) if self.setting.conditions else None
        if met is None:
            raise UsageError(
                "This time model knows of no load (it comes from a table, or from a very short profile): leave --load out."
            )
        return {"met_p50_ms": met[0], "met_p90_ms": met[1]}


def _default_limit_s(prediction: NetworkPrediction) -> float:
    """After how long to give the measuring of a network up; `at_least` says nothing of how long it takes."""
    known_s = _LEAST_LIMIT_S + _MOST_RUNS * prediction.predicted_ms / 1e3
    return max(known_s, _UNKNOWN_LIMIT_S) if prediction.at_least else known_s


def _assumed(network: Network) -> list[str]:
    """What was taken for granted of a file that does not say it."""
    found = []
    if network.unknown_loops:
        found.append(
            f"{network.name}: how often {', '.join(network.unknown_loops)} turns depends on the data, and one turn is counted: "
            "say it with --loop-turns."
        )
    if "shapes" in network.metadata:
        found.append(f"{network.name}: {network.metadata['shapes']}.")
    return found


def _matching(time_model: TimeModel, target: Target) -> SettingModel:
    """The model's setting that is `target`'s, by threads and kernels, and by runtime where that leaves a choice.

    Only then, or where the target is another Python, is the device asked.
    """
    wanted: dict[str, Any] = {key: getattr(target, key, None) for key in ("threads", "kernels")}
    if any(setting.simulated for setting in time_model.settings.values()):
        wanted = {key: getattr(target.setting, key) for key in ("runtime", "kernels")}
    found = _alike(time_model.settings.values(), wanted)
    if len(found) > 1 or (found and getattr(target, "python", sys.executable) != sys.executable):
        here = target.setting.to_dict()
        # Another version of the same runtime will do: what differs is reported when something is measured.
        for keys in (("runtime", "version"), ("runtime",)):
            same = _alike(found, {key: here[key] for key in keys})
            if same:
                return same[0]
        found = []
        wanted |= {key: here[key] for key in ("runtime", "version")}
    if found:
        return found[0]
    known = "; ".join(time_model.settings)
    asked = ", ".join(f"{key}={value}" for key, value in wanted.items())
    raise UsageError(
        f"The time model knows no setting with {asked} (only {known}): profile it into the same file, "
        "then run 'edgetime fit' again."
    )


def _alike(settings: Iterable[SettingModel], wanted: Mapping[str, Any]) -> list[SettingModel]:
    return [
        setting
        for setting in settings
        if all(setting.setting.get(key, value) == value for key, value in wanted.items())
    ]


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Every difference that can change execution times, in words; what only one of the two knows is none."""
    found = []
    for key, name in _NAMES.items():
        before, after = then.get(key), now.get(key)
        if before is None or after is None or before == after:
            continue
        if key == "memory_bytes" and abs(before - after) <= _SAME_MEMORY * max(before, after):
            continue
        found.append(f"{name} was {before}, is {after}")
    return found
