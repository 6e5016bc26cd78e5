"""A device that exists on paper, with states: what its operators take in calm and beside a neighbour is known exactly."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from profiler.devices import Setting, Target
from profiler.devices.agent import summarise_us, unsettled
from profiler.errors import EdgetimeError, UsageError
from profiler.measurement import kind_of_work
from profiler.probes import Probe
from profiler.tflite import read_network

STEP_S = 0.25e-3
"""Step of an array of slowness, that of a recorded trace."""
CANARY_US = 14.0
POWERS: Mapping[str, float] = {"arithmetic": 1.3, "cache": 0.9, "memory": 0.5}
"""What bounds an operator decides how much it suffers where the canary takes r times as long: r to this power."""
_OWN_POWER = 0.1
"""Standard deviation of what one probe suffers more or less than its kind."""
_NOISE = 0.004
_SAMPLE_S, _SAMPLES = 40e-6, (7, 100)
_WINDOW_S, _NETWORK_WINDOW_S = 2e-3, 10e-3
_BETWEEN_S = 5e-3
"""Sending a probe and making it ready."""
_EPOCH = 1.7e9

IDLE_W, BASE_W, MJ_PER_GMAC, MJ_PER_GB = 2.0, 1.0, 20.0, 50.0
"""What the device draws at rest, what anything adds that runs, and what multiplications and bytes add to that."""
_OTHERS_W = 1.5
"""What a neighbour draws beside a busy canary."""

Slowness = Callable[[np.ndarray], np.ndarray]
"""Times in seconds to how many times as long as in calm the canary takes then."""


def time_us(probe: Probe) -> float:
    """What the device takes for a probe in calm: a call, multiplications in tiles of 16 channels, and bytes."""
    total = 1.5
    for layer in probe.layers:
        width = (layer.outputs[0].shape or (1,))[-1] if layer.outputs else 1
        tiles = 16 * math.ceil(max(width, 1) / 16) / max(width, 1)
        moved = layer.input_bytes + layer.output_bytes + layer.weight_bytes
        total += layer.repeat * (0.3 + 2e-5 * layer.macs * tiles + 1e-4 * moved)
    return total


def energy_mj(probe: Probe) -> float:
    """What the device takes for a probe in calm beyond rest, in mJ."""
    macs = sum(layer.macs * layer.repeat for layer in probe.layers)
    moved = sum((x.input_bytes + x.output_bytes + x.weight_bytes) * x.repeat for x in probe.layers)
    return BASE_W * time_us(probe) / 1e3 + (MJ_PER_GMAC * macs + MJ_PER_GB * moved) / 1e9


def power_of(kind: str) -> float:
    """How sensitive a kind of work is, see `profiler.measurement.kind_of_work`; int8 is more so."""
    bound, _, dtype = kind.partition(" ")
    return POWERS[bound] + (0.3 if dtype == "int8" else 0.0)


class SimulatedTarget(Target):
    """Answers from what is known, by a clock of its own.

    Parameters
    ----------
    slowness
        A function of the time, or its values in steps of 0.25 ms, which then repeat.
    seed
        Draws the noise of samples.
    start_s
        Where in `slowness` the clock begins.
    wall_s
        What a clock on the wall shows at a time of the device; the device's own time, if None.
    sensor
        Whether it has a sensor of power.

    Attributes
    ----------
    now_s : float
        The device's time: it goes on by what a measurement would take.
    """

    name = "simulated"

    def __init__(
        self,
        slowness: Slowness | np.ndarray,
        seed: int = 0,
        start_s: float = 0.0,
        wall_s: Callable[[float], float] | None = None,
        sensor: bool = False,
    ) -> None:
        self._slowness = slowness if callable(slowness) else _repeated(slowness)
        self._random = np.random.default_rng(seed)
        self._wall_s = wall_s or (lambda now_s: _EPOCH + now_s)
        self.now_s = start_s
        self.measured = 0
        self.sensor = sensor

    @property
    def setting(self) -> Setting:
        """A made-up runtime."""
        return Setting("simulated", "1")

    def hello(self) -> dict[str, Any]:
        """Return the fingerprint of a made-up processor."""
        names = {"machine": "simulated", "cpu": "Simulated", "cores": 2}
        return {**names, "runtime": "simulated", "version": "1"}

    def monotonic(self) -> float:
        """The device's time, as `time.monotonic` would give it."""
        return self.now_s

    def time_probe(self, content: bytes) -> dict[str, Any]:
        """Time one small network as an agent does: in a window between canaries, in another one if that was not calm."""
        try:
            calm_us, power = _known(content)
        except EdgetimeError as error:
            return {"error": str(error)}
        self.measured += 1
        self.now_s += _BETWEEN_S + 2e-6 * calm_us
        windows = []
        before = self._canary_us()
        for attempt in range(2):
            samples = self._samples_us(calm_us, power, _WINDOW_S)
            after = self._canary_us()
            result = {**summarise_us(samples), "canaries_us": [before, after], "waited": 0.0}
            result["disturbed"] = unsettled(samples) > 0.06
            windows.append((result["disturbed"], max(before, after), attempt, result))
            if not result["disturbed"] and max(before, after) <= (self.calm_below_us or math.inf):
                break
            before = after
        return {**min(windows, key=lambda window: window[:3])[-1], "at": self._wall_s(self.now_s)}

    def measure_network(
        self, content: bytes, seconds: float = 2.0, shapes: Sequence[Sequence[int]] = ()
    ) -> dict[str, Any]:
        """Measure a whole network in windows of 10 ms between canaries; runs in calm windows count, as in the agent."""
        if not (math.isfinite(seconds) and seconds > 0):
            raise UsageError(f"seconds must be above 0, not {seconds}.")
        try:
            calm_us, power = _known(content)
        except EdgetimeError as error:
            return {"error": str(error)}
        self.measured += 1
        self.now_s += _BETWEEN_S
        limit_us = self.calm_below_us or math.inf
        windows: list[tuple[float, int, list[float], list[float]]] = []
        before = self._canary_us()
        begin = since = self.now_s
        calm_s = 0.0
        while self.now_s < begin + seconds or not windows:
            runs = self._samples_us(calm_us, power, _NETWORK_WINDOW_S)
            after = self._canary_us()
            windows.append((max(before, after), len(windows), runs, [before, after]))
            calm_s += (self.now_s - since) * (max(before, after) <= limit_us)
            before, since = after, self.now_s
        calm = sum(window[0] <= limit_us for window in windows)
        kept = sorted(windows)[: calm or max(1, len(windows) // 4)]
        pairs = [window[3] for window in kept]
        met = np.concatenate([window[2] for window in windows])
        return {
            **summarise_us([run for window in kept for run in window[2]]),
            "canaries_us": np.max(pairs if calm else [np.median(pairs, 0)], 0).tolist(),
            "calm_below_us": self.calm_below_us,
            "calm_share": calm_s / (since - begin),
            "disturbed": False,
            "waited": 0.0,
            "met_p50_us": float(np.quantile(met, 0.5)),
            "met_p90_us": float(np.quantile(met, 0.9)),
            "load_ms": 1.0,
            "first_ms": 2e-3 * calm_us,
        }

    def open_power(self) -> dict[str, Any] | None:
        """A sensor that says something new every 10 ms."""
        if not self.sensor:
            return None
        return {"source": "made-up", "where": "all of it", "unit": "W", "period_s": 0.01, "least_s": 0.1}

    def measure_power(self, content: bytes | None, seconds: float) -> dict[str, Any]:
        """What it draws over a window that began and ended with a canary."""
        if not self.sensor:
            return super().measure_power(content, seconds)
        before = self._canary_us()
        slow = self._slow(self.now_s, max(1, int(seconds / STEP_S)))
        self.now_s += seconds
        after = self._canary_us()
        probe = None if content is None else Probe("network", read_network(content).layers)
        beyond_w = 0.0 if probe is None else 1e3 * energy_mj(probe) / time_us(probe)
        others = float((slow > 1.05).mean())
        watts = (IDLE_W + beyond_w + _OTHERS_W * others) * float(self._noise(1)[0])
        runs = 0 if probe is None else int(1e6 * seconds / time_us(probe))
        told = {
            "power_w": watts,
            "spread_w": 0.0,
            "readings": int(seconds / 0.01),
            "runs": runs,
            "seconds": seconds,
        }
        at = {"canaries_us": [before, after], "disturbed": others > 0.05, "at": self._wall_s(self.now_s)}
        return {**told, **at, "others": others}

    def _canary_us(self) -> float:
        """The canary's time now, which takes 0.1 ms."""
        self.now_s += 1e-4
        return CANARY_US * float(self._slow(self.now_s, 1)[0]) * self._noise(1)[0]

    def _samples_us(self, calm_us: float, power: float, window_s: float) -> list[float]:
        """Samples over a window: the slowness of a time or, of what takes longer, its mean over it."""
        each_s = max(_SAMPLE_S, calm_us * 1e-6)
        count = int(np.clip(window_s / each_s, *_SAMPLES)) if each_s < 1e-3 else 5 if each_s < 1e-2 else 3
        steps = max(1, round(each_s / STEP_S))
        spacing_s = max(each_s, window_s / count)
        starts = self.now_s + spacing_s * np.arange(count)
        slow = self._slowness((starts[:, None] + STEP_S * np.arange(steps)).ravel()) ** power
        factors = slow.reshape(count, steps).mean(1)
        self.now_s += spacing_s * float(factors.sum())
        return (calm_us * factors * self._noise(count)).tolist()

    def _slow(self, at_s: float, count: int) -> np.ndarray:
        return self._slowness(at_s + STEP_S * np.arange(count))

    def _noise(self, count: int) -> np.ndarray:
        """Others only take time: no sample is quicker than it should be."""
        return 1.0 + self._random.exponential(_NOISE, count)


def _repeated(values: np.ndarray) -> Slowness:
    return lambda at_s: values[(at_s / STEP_S).astype(int) % len(values)]


@lru_cache(maxsize=4096)
def _known(content: bytes) -> tuple[float, float]:
    """What a file takes in calm, in microseconds, and its power."""
    probe = Probe("network", read_network(content).layers)
    return time_us(probe), own_power(content, kind_of_work(probe))


def own_power(content: bytes, kind: str) -> float:
    """The power of one probe: that of its kind, and a little of its own."""
    random = np.random.default_rng(zlib.crc32(content))
    return max(0.0, power_of(kind) + _OWN_POWER * random.standard_normal())
