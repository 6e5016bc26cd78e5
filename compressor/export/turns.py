"""Running the files that were written: their score on rows, their time on a device in turns."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from compressor.data import Rows, joined, row_count, take
from compressor.export.running import TfliteRunner
from compressor.training import Task
from profiler.devices import Target, default_target, device_name, open_target
from profiler.errors import TargetError
from profiler.measurement import measure_network
from profiler.progress import ProgressCallback, silent

ROUNDS = 6
SECONDS_A_TURN = 0.4
_LEAST_TURN_S = 0.1
_OF_TIME_LEFT = 0.6
_ROWS = 8192
"""That are read from their file at once."""


def file_outputs(task: Task, file: Path | bytes, x: Rows) -> Rows:
    """What a `.tflite` file, or its content, gives for rows [rows, ...], by name where it has several outputs."""
    runner, parts = TfliteRunner(file), []
    for first in range(0, max(1, row_count(x)), _ROWS):
        outputs = runner.predict(take(x, slice(first, first + _ROWS)))
        several = isinstance(outputs, list)
        parts.append(dict(zip(task.heads, outputs, strict=True)) if several else np.asarray(outputs))
    return joined(parts)


def file_score(task: Task, path: Path, x: Rows, y: Rows) -> float:
    """The score of a `.tflite` file on rows."""
    return task.score(file_outputs(task, path, x), x, y)


@dataclass(frozen=True)
class Turns:
    """Times of several networks that took turns, by name, one for each round [rounds]."""

    measured_ms: Mapping[str, Sequence[float]]
    measured_p90_ms: Mapping[str, Sequence[float]]
    disturbed: bool = False

    def median_ms(self, name: str) -> float:
        """Median over rounds."""
        return float(np.median(self.measured_ms[name]))

    def median_p90_ms(self, name: str) -> float:
        """Median over rounds of the 90th percentile."""
        return float(np.median(self.measured_p90_ms[name]))

    def ratio(self, slow: str, fast: str) -> tuple[float, float, float]:
        """Ratio of the medians, and the least and largest ratio of any round."""
        rounds = np.asarray(self.measured_ms[slow]) / np.asarray(self.measured_ms[fast])
        return self.median_ms(slow) / self.median_ms(fast), float(rounds.min()), float(rounds.max())


def measure_in_turns(
    files: Mapping[str, Path],
    target: Target,
    rounds: int = ROUNDS,
    seconds: float = SECONDS_A_TURN,
    progress: ProgressCallback = silent,
) -> Turns:
    """Measure networks A B C A B C …, so that a machine whose speed drifts slows all of them alike."""
    times: dict[str, list[float]] = {name: [] for name in files}
    tails: dict[str, list[float]] = {name: [] for name in files}
    disturbed = 0
    for turn in range(rounds):
        for position, (name, path) in enumerate(files.items()):
            progress((turn * len(files) + position) / (rounds * len(files)), f"measuring {path.name}")
            found = measure_network(path, target, per_layer=False, seconds=seconds)
            times[name].append(found.measured_ms)
            tails[name].append(found.measured_p90_ms)
            disturbed += found.disturbed
    return Turns(times, tails, disturbed * 2 > rounds * len(files))


def seconds_a_turn(networks: int, left_s: float) -> float:
    """How long a network runs each time so that all turns fit in what time is left; never so short as to say nothing."""
    return float(np.clip(_OF_TIME_LEFT * left_s / (ROUNDS * max(1, networks)), _LEAST_TURN_S, SECONDS_A_TURN))


def layers_ms(files: Mapping[str, Path], target: Target, seconds: float = 1.0) -> dict[str, dict[int, float]]:
    """Measured time of each layer of each network in ms, by `Layer.index`; nothing where the target cannot say."""
    found: dict[str, dict[int, float]] = {}
    for name, path in files.items():
        with contextlib.suppress(TargetError):
            found[name] = measure_network(path, target, per_layer=True, seconds=seconds).layer_ms
    return found


def target_of(time_model: Any, named: str | Target | None) -> tuple[Target | None, str]:
    """Where to measure, and why not where nothing can be measured.

    By default this machine under the setting of the time model, if it is the model's device and has its runtime.
    """
    if isinstance(named, Target):
        return named, ""
    if named is not None:
        return open_target(named), ""
    setting = time_model.setting()
    target = open_target(default_target(setting))
    fingerprint = target.hello()
    here = device_name(fingerprint)
    if here != time_model.device:
        target.close()
        return None, (
            f"Nothing was measured: the time model is of {time_model.device}, this is {here}; "
            "name the device with --target."
        )
    runtime = (setting.setting or {}).get("runtime", fingerprint["runtime"])
    if runtime != fingerprint["runtime"]:
        target.close()
        return None, (
            f"Nothing was measured: the time model is of {runtime}, this Python has {fingerprint['runtime']}; "
            "name a Python that has it with --target local:python=PATH."
        )
    return target, ""


def check_target(setting: Any, named: str | Target | None) -> None:
    """See before any work that `target_of` will take what is named, or the default of a setting; UsageError if not."""
    if not isinstance(named, Target):
        open_target(default_target(setting) if named is None else named)
