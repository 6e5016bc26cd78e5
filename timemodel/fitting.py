"""From a profile to a time model."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from profiler.combine import ProbeTime
from profiler.errors import ProfileError
from profiler.layer import Layer
from profiler.network import Network
from profiler.probe import Probe
from profiler.progress import ProgressCallback, silent
from profiler.store import Profile
from timemodel.graph_rules import Events, learn_rules, remaining
from timemodel.kernels import kernel_of
from timemodel.model import TimeModel
from timemodel.operator_model import MIN_PROBES, OperatorModel, conformal_bounds, fit_operator
from timemodel.runtime_terms import RuntimeTerms, WeightTraffic
from timemodel.setting_model import FALLBACK, SettingModel

Measured = tuple[Probe, float]
"""A probe and its time in ms."""


def fit_profile(
    path: str | os.PathLike[str], progress: ProgressCallback = silent, seed: int = 0
) -> TimeModel:
    """Learn the time model of the device that the profile at `path` was measured on.

    Raises
    ------
    ProfileError
        The profile is damaged, of another version, empty, or holds too little to learn from.
    """
    with Profile.open(path) as profile:
        device = profile.device
        rows = {
            key: (
                setting.to_dict(),
                profile.fingerprint_of(key),
                profile.measurements(key),
                profile.events(key),
            )
            for key, setting in profile.settings.items()
        }
    settings = {}
    for number, (key, (setting, fingerprint, times, events)) in enumerate(rows.items()):

        def part(fraction: float, note: str, number: int = number) -> None:
            progress((number + fraction) / len(rows), note)

        measured = usable(times)
        if not any(probe.kind == "layer" for probe, _ in measured):
            continue
        operators, terms = fit_setting(measured, part, seed, events)
        if operators:
            settings[key] = SettingModel(key, setting, fingerprint, operators, terms)
    if not settings:
        raise ProfileError(
            f"{path} holds too few measurements to learn from: run 'edgetime profile' on it again to go on measuring."
        )
    return TimeModel(device, settings)


def usable(times: Sequence[ProbeTime]) -> list[Measured]:
    """Probes that the runtime could run, with their times in ms."""
    return [(row.probe, row.time_us / 1e3) for row in times if row.time_us is not None and row.time_us > 0]


def fit_setting(
    measured: Sequence[Measured],
    progress: ProgressCallback = silent,
    seed: int = 0,
    events: Events | None = None,
) -> tuple[dict[tuple[str, str], OperatorModel], RuntimeTerms]:
    """Trees of all operators, then what holds between them, from the probes of one setting."""
    groups: dict[tuple[str, str], list[tuple[Layer, float]]] = {}
    for probe, time in measured:
        if probe.kind == "layer":
            layer = probe.layers[0]
            groups.setdefault((kernel_of(layer), layer.dtype), []).append((layer, time))
    for dtype in {dtype for _, dtype in groups}:
        rows = [row for (_, kind), group in groups.items() if kind == dtype for row in group]
        groups[FALLBACK, dtype] = rows
    operators = {}
    weight = sum(len(group) for group in groups.values())
    done = 0
    for (op, dtype), group in groups.items():
        progress(done / weight, f"{'all operators' if op == FALLBACK else op} {dtype}")
        done += len(group)
        if len(group) >= MIN_PROBES:
            layers, times = [layer for layer, _ in group], np.array([time for _, time in group])
            operators[op, dtype] = fit_operator(op, dtype, layers, times, seed)
    progress(1.0, "runtime")
    return operators, fit_terms(operators, measured, events)


def fit_terms(
    operators: dict[tuple[str, str], OperatorModel],
    measured: Sequence[Measured],
    events: Events | None = None,
) -> RuntimeTerms:
    """What the runtime adds: from empty, pair, chain and network probes, in this order, each knowing the one before."""
    by_kind: dict[str, list[Measured]] = {}
    for row in measured:
        by_kind.setdefault(row[0].kind, []).append(row)
    terms = RuntimeTerms()
    empty = [time for _, time in by_kind.get("empty", [])]
    if empty:
        terms.overhead_ms = float(np.median(empty))
    model = SettingModel("", {}, {}, operators, terms)
    terms.graph_rules = learn_rules(measured, terms.overhead_ms, model.predict_layers_ms, events)
    terms.remaining = remaining(terms.graph_rules)
    chains: dict[str, dict[Layer, list[tuple[float, int, float]]]] = {}
    for probe, time in by_kind.get("chain", []):
        layer = probe.layers[0]
        megabytes = sum(one.weight_bytes for one in probe.layers) / 1e6
        chains.setdefault(layer.op, {}).setdefault(layer, []).append((megabytes, len(probe.layers), time))
    for op, kinds in chains.items():
        terms.weights[op] = WeightTraffic.from_chains(list(kinds.values()))
    calibrate(model, [(probe.network, time) for probe, time in by_kind.get("network", [])])
    return terms


WEIGHT_SCALES = np.linspace(0.0, 1.5, 16)


def calibrate(model: SettingModel, networks: Sequence[tuple[Network, float]]) -> None:
    """Fit what layers cost together, and the network's interval, to whole networks that no tree has learned from.

    Chains walk through their weights with next to no work in between; networks hide some of that. So the price of
    weights is scaled first, to what leaves the least error over the networks, and then the sum as a whole, per dtype.
    """
    terms, chains = model.terms, model.terms.weights
    by_dtype: dict[str, list[tuple[Network, float]]] = {}
    for network, time in networks:
        by_dtype.setdefault(network.dtype, []).append((network, time))
    parts = {}
    for dtype, rows in by_dtype.items():
        if len(rows) >= MIN_PROBES:
            cold = np.array([model.cold_ms(network).sum() for network, _ in rows])
            rest = np.array([model.predict_total_ms(network) for network, _ in rows]) - cold
            parts[dtype] = np.array([time for _, time in rows]), rest, cold
    if not parts:
        return

    def logs(scale: float) -> dict[str, np.ndarray]:
        return {dtype: np.log(time / (rest + scale * cold)) for dtype, (time, rest, cold) in parts.items()}

    def error(scale: float) -> float:
        return float(np.mean(np.concatenate([np.abs(row - np.median(row)) for row in logs(scale).values()])))

    scale = float(min(WEIGHT_SCALES, key=error))
    terms.weights = {op: traffic.scaled(scale) for op, traffic in chains.items()}
    for dtype, row in logs(scale).items():
        terms.together[dtype] = float(np.exp(np.median(row)))
        terms.low[dtype], terms.high[dtype] = conformal_bounds(np.exp(row - np.median(row)))
