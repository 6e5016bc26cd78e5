"""Measuring a whole network on a target: its time, and the times of its operators."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from profiler.calm import WITHIN
from profiler.devices import Target
from profiler.errors import EdgetimeError, TargetError
from profiler.measurement.events import CONTROL, Event, layer_times_us
from profiler.network import Network
from profiler.probes import Probe, empty_probe
from profiler.progress import ProgressCallback, silent
from profiler.tflite import read_network

_LONGEST_EVENT_US = 3.6e9


@dataclass(frozen=True)
class Measurement:
    """Times of one network on one target.

    Parameters
    ----------
    network, setting
        Name of the file; runtime, kernels and threads.
    measured_ms, measured_p90_ms, min_ms
        Median, 90th percentile and minimum of repeated runs without profiling, in calm moments where there were any.
    met_p50_ms, met_p90_ms
        Median and 90th percentile of all runs, under whatever else the device did meanwhile.
    load_ms, first_ms
        Making the interpreter with its tensors; the first run.
    runs
        Number of runs that the median is of.
    calm_share
        Share of the time in which the device was calm.
    disturbed
        It was never calm, so that the times are too high.
    slowness
        How many times as long as in calm the canary took at its calmest: what `measured_ms` may be too high by.
    layer_ms
        By `Layer.index`; adds up to `measured_ms`. An operator that the runtime fused into another one has 0.
        Empty where `layer_note` says why.
    layer_source
        ``profiler``: shares from the runtime's own profiler. ``probes``: every operator was timed alone. Else
        empty.
    fingerprint
        The device and its runtime.
    """

    network: str
    setting: str
    threads: int
    measured_ms: float
    measured_p90_ms: float
    min_ms: float
    load_ms: float
    first_ms: float
    runs: int
    disturbed: bool
    met_p50_ms: float | None = None
    met_p90_ms: float | None = None
    calm_share: float = 1.0
    slowness: float = 1.0
    layer_ms: dict[int, float] = field(default_factory=dict)
    layer_source: str = ""
    layer_note: str = ""
    fingerprint: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values; the keys of ``layer_ms`` become text."""
        value = dict(self.__dict__)
        value["layer_ms"] = {str(index): time_ms for index, time_ms in self.layer_ms.items()}
        return value


def measure_network(
    source: str | os.PathLike[str] | bytes,
    target: Target,
    per_layer: bool = True,
    seconds: float = 2.0,
    input_shape: Any = None,
    progress: ProgressCallback = silent,
) -> Measurement:
    """Measure how long a network takes on `target`, in total and by operator.

    The total is the median of runs without profiling; the operators' shares come from runs with the runtime's
    profiler. Where that cannot profile this network, its operators are timed one by one as probes.

    Parameters
    ----------
    source
        A `.tflite` file or its bytes.
    target
        Where to run it; stays open.
    per_layer
        Whether to time the operators too.
    seconds
        How long to run it without profiling; at least 5 runs are made.
    input_shape
        As for `read_network`.

    Raises
    ------
    ModelFileError
        The file is missing or damaged.
    TargetError
        The device is gone, or its runtime cannot run this network; the message says why.
    """
    network = read_network(source, input_shape)
    content = source if isinstance(source, bytes) else Path(source).read_bytes()
    shapes = [network.tensors[index].shape for index in network.inputs]
    progress(0.0, f"running {network.name}")
    answer = target.measure_network(content, seconds, shapes)
    if "error" in answer:
        raise TargetError(f"{target.name} cannot run {network.name}: {str(answer['error'])[:300]}")
    times = {
        name: _number(target, answer, name)
        for name in ("median_us", "p90_us", "min_us", "load_ms", "first_ms")
    }
    layer_ms: dict[int, float] = {}
    layer_source = note = ""
    if per_layer:
        progress(0.6, f"profiling {network.name}")
        layer_ms, layer_source, note = _layers_ms(
            network, content, target, times["median_us"], min(1.0, seconds / 2), shapes
        )
    canaries_us = [_checked(target, value, "canary") for value in answer.get("canaries_us") or ()]
    calm_us = (target.calm_below_us or answer.get("calm_below_us") or math.inf) / WITHIN
    met_p50_ms, met_p90_ms = (
        _number(target, answer, name) / 1e3 if name in answer else None
        for name in ("met_p50_us", "met_p90_us")
    )
    slowness = max([1.0, *(canary / calm_us for canary in canaries_us)])
    return Measurement(
        network=network.name,
        setting=target.setting.key,
        threads=target.setting.threads,
        measured_ms=times["median_us"] / 1e3,
        measured_p90_ms=times["p90_us"] / 1e3,
        min_ms=times["min_us"] / 1e3,
        load_ms=times["load_ms"],
        first_ms=times["first_ms"],
        runs=int(answer.get("samples", 0)),
        disturbed=bool(answer.get("disturbed")) or slowness > WITHIN,
        met_p50_ms=met_p50_ms,
        met_p90_ms=met_p90_ms,
        calm_share=float(answer.get("calm_share", 1.0)),
        slowness=slowness,
        layer_ms=layer_ms,
        layer_source=layer_source,
        layer_note=note,
        fingerprint=target.hello(),
    )


def _layers_ms(
    network: Network,
    content: bytes,
    target: Target,
    total_us: float,
    seconds: float,
    shapes: Sequence[Sequence[int]],
) -> tuple[dict[int, float], str, str]:
    """Times of the operators, `Measurement.layer_source` and `Measurement.layer_note`."""
    answer = target.profile_layers(content, seconds, shapes)
    if "error" not in answer:
        events = read_events(answer.get("events", ()))
        times_us = layer_times_us(network, events, total_us)
        if any(times_us.values()):
            return {index: time_us / 1e3 for index, time_us in times_us.items()}, "profiler", ""
        answer = {"error": "the profiler recorded no operator"}
    # The agent names the kind of error, which is its own matter.
    reason = str(answer["error"]).removeprefix("AgentError: ")
    times_us, missing = time_alone_us(network, target)
    if not times_us:
        return {}, "", f"no times per operator: {reason}"
    known = sum(times_us.values())
    # What is missing takes the rest; only a sum that is complete, or too large, may be scaled.
    factor = total_us / known if known > 0 and (not missing or known > total_us) else 1.0
    note = f"operators were timed one by one ({reason})"
    if missing:
        note += f"; no times for {', '.join(sorted(set(missing)))}"
    return {index: time_us * factor / 1e3 for index, time_us in times_us.items()}, "probes", note


def read_events(rows: Sequence[Any]) -> list[Event]:
    """Check the events that a target answered with."""
    try:
        events = [
            Event(str(tag), int(kind), int(node), int(graph), float(us))
            for tag, kind, node, graph, us in rows
        ]
    except (TypeError, ValueError) as error:
        raise TargetError(f"The agent's list of events cannot be read ({error}).") from error
    if not all(0 <= event.time_us < _LONGEST_EVENT_US for event in events):
        raise TargetError("The agent's list of events holds impossible times.")
    return events


def time_alone_us(network: Network, target: Target) -> tuple[dict[int, float], list[str]]:
    """Time every operator of a network as a probe of its own.

    Returns
    -------
    times : dict
        Microseconds by `Layer.index`, all repetitions together, without what a call costs.
    missing : list
        Names of operators that there is no probe for, or that cannot run alone.
    """
    call_us = _alone_us(empty_probe(), target) or 0.0
    known: dict[str, float | None] = {}
    times: dict[int, float] = {}
    missing: list[str] = []
    for layer in network.layers:
        if layer.op in CONTROL:
            continue
        probe = Probe("layer", (layer,))
        if probe.key not in known:
            known[probe.key] = _alone_us(probe, target)
        time_us = known[probe.key]
        if time_us is None:
            missing.append(layer.op)
        else:
            times[layer.index] = times.get(layer.index, 0.0) + max(time_us - call_us, 0.0) * layer.repeat
    return times, missing


def _alone_us(probe: Probe, target: Target) -> float | None:
    try:
        content = probe.build()
    except EdgetimeError:
        return None
    answer = target.time_probe(content)
    return None if "error" in answer else _number(target, answer, "min_us")


def _number(target: Target, answer: Mapping[str, Any], name: str) -> float:
    return _checked(target, answer.get(name), name)


def _checked(target: Target, value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
        raise TargetError(f"The agent on {target.name} answered without a usable {name} ({value!r}).")
    return float(value)
