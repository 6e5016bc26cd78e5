"""From a profile to a time model."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from profiler.combine import ProbeTime
from profiler.errors import ProfileError
from profiler.layer import Layer
from profiler.probe import Probe
from profiler.progress import ProgressCallback, silent
from profiler.store import Profile
from timemodel.model import TimeModel
from timemodel.operator_model import MIN_PROBES, OperatorModel, conformal_bounds, fit_operator
from timemodel.runtime_terms import RuntimeTerms, WeightTraffic, find_pairs, fused_share
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
            key: (setting.to_dict(), profile.fingerprint_of(key), profile.measurements(key))
            for key, setting in profile.settings.items()
        }
    settings = {}
    for number, (key, (setting, fingerprint, times)) in enumerate(rows.items()):

        def part(fraction: float, note: str, number: int = number) -> None:
            progress((number + fraction) / len(rows), note)

        measured = usable(times)
        if not any(probe.kind == "layer" for probe, _ in measured):
            continue
        operators, terms = fit_setting(measured, part, seed)
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
    measured: Sequence[Measured], progress: ProgressCallback = silent, seed: int = 0
) -> tuple[dict[tuple[str, str], OperatorModel], RuntimeTerms]:
    """Trees of all operators, then what holds between them, from the probes of one setting."""
    groups: dict[tuple[str, str], list[tuple[Layer, float]]] = {}
    for probe, time in measured:
        if probe.kind == "layer":
            layer = probe.layers[0]
            groups.setdefault((layer.op, layer.dtype), []).append((layer, time))
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
    return operators, fit_terms(operators, measured)


def fit_terms(operators: dict[tuple[str, str], OperatorModel], measured: Sequence[Measured]) -> RuntimeTerms:
    """What the runtime adds: from empty, pair, chain and network probes, in this order, each knowing the one before."""
    by_kind: dict[str, list[Measured]] = {}
    for row in measured:
        by_kind.setdefault(row[0].kind, []).append(row)
    terms = RuntimeTerms()
    empty = [time for _, time in by_kind.get("empty", [])]
    if empty:
        terms.overhead_ms = float(np.median(empty))
    model = SettingModel("", {}, {}, operators, terms)
    pairs: dict[tuple[str, str], list[tuple[float, float, float]]] = {}
    for probe, time in by_kind.get("pair", []):
        alone = model.predict_layers_ms(probe.layers)
        for pattern, first, second in find_pairs(probe.network):
            times = (time - terms.overhead_ms, float(alone[first]), float(alone[second]))
            if times[0] > 0:
                pairs.setdefault((probe.layers[second].dtype, pattern), []).append(times)
    for (dtype, pattern), triples in pairs.items():
        pair, first_ms, second_ms = np.array(triples).T
        terms.remaining.setdefault(dtype, {})[pattern] = fused_share(pair, first_ms, second_ms)
    chains: dict[str, list[Measured]] = {}
    for row in by_kind.get("chain", []):
        chains.setdefault(row[0].layers[0].op, []).append(row)
    for op, rows in chains.items():
        terms.weights[op] = WeightTraffic.from_chains(
            [probe.layers[0].weight_bytes / 1e6 for probe, _ in rows],
            [len(probe.layers) for probe, _ in rows],
            [time for _, time in rows],
        )
    ratios: dict[str, list[float]] = {}
    for probe, time in by_kind.get("network", []):
        predicted = model.predict_total_ms(probe.network)
        if predicted > 0:
            ratios.setdefault(probe.network.dtype, []).append(time / predicted)
    for dtype, values in ratios.items():
        if len(values) >= MIN_PROBES:
            middle = float(np.median(values))
            terms.together[dtype] = middle
            terms.low[dtype], terms.high[dtype] = conformal_bounds(np.array(values) / middle)
    return terms
