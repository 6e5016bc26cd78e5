"""From a profile to a time model."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from threadpoolctl import threadpool_limits

from profiler.errors import ProfileError
from profiler.measurement import ProbeTime, Profile, Reading, Timing, combine
from profiler.network import Layer
from profiler.probes import Probe
from profiler.progress import ProgressCallback, silent, sub_progress
from timemodel.features import kind_of
from timemodel.fitting.calibration import Measured, calibrated
from timemodel.fitting.checks import check_one_device
from timemodel.fitting.energy import fit_power
from timemodel.fitting.simulated import fit_simulated
from timemodel.model import (
    FALLBACK,
    FEWEST_PROBES,
    MIN_PROBES,
    Conditions,
    Load,
    OperatorModel,
    SettingModel,
    TimeModel,
    fit_operator,
)
from timemodel.runtime import CacheTraffic, Dispatch, Events, RuntimeTerms, learn_rules

_NEXT_TO_NO_BYTES = 64
_LITTLE_BYTES, _LITTLE_MACS = 1024, 4096
_WINDOW_MS = 2.0
"""A probe is sampled for about so long."""
_MOST_WAITED = 0.95
_LEAST_WINDOWS = 20


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
        check_one_device(path, profile)
        device = profile.device
        rows = [
            (
                setting,
                profile.fingerprint_of(key),
                timings,
                profile.events(key),
                profile.with_power(key, combine(timings)),
            )
            for key, setting in profile.settings.items()
            for timings in [profile.raw(key)]
        ]
    settings: dict[str, SettingModel] = {}
    for number, (setting, fingerprint, timings, events, reading) in enumerate(rows):
        part = sub_progress(progress, number / len(rows), (number + 1) / len(rows))
        if setting.simulated:
            simulated = fit_simulated(setting, fingerprint, reading.times, part, seed)
            settings |= {setting.key: simulated} if simulated else {}
            continue
        measured = usable(reading.times)
        if not any(probe.kind == "layer" for probe, _ in measured):
            continue
        operators, terms = fit_setting(measured, part, seed, events, uncertainties(reading.times))
        if operators:
            conditions = conditions_of(timings, reading)
            known = setting.key, setting.to_dict(), fingerprint
            settings[setting.key] = SettingModel(*known, operators, terms, conditions, fit_power(reading))
    if not settings:
        raise ProfileError(
            f"{path} holds too few measurements to learn from: run 'edgetime profile' on it again to go on measuring."
        )
    return TimeModel(device, settings)


def usable(times: Sequence[ProbeTime]) -> list[Measured]:
    """Probes that the runtime could run, with their times in ms.

    What a network took decides over small differences: it was met in calm or is left out, as long as `MIN_PROBES` were. Chains
    are used as they are: the long ones meet calm least, and without them the price of traffic hangs on the few that are left.
    """
    rows = [row for row in times if row.time_us is not None and row.time_us > 0]
    calm_networks = sum(row.calm and row.kind == "network" for row in rows)
    return [
        (row.probe, (row.time_us or 0.0) / 1e3)
        for row in rows
        if row.calm or row.kind != "network" or calm_networks < MIN_PROBES
    ]


def uncertainties(times: Sequence[ProbeTime]) -> dict[Layer, float]:
    """Relative standard deviation of the times of layers that were measured alone."""
    return {row.probe.layers[0]: row.uncertainty for row in times if row.kind == "layer"}


def conditions_of(timings: Sequence[Timing], reading: Reading) -> Conditions | None:
    """Under what conditions a setting was profiled; None where there was no canary to tell."""
    calm = reading.calm
    if not np.isfinite(calm.calm_us):
        return None
    ran = sum(time.time_us is not None for time in reading.times)
    powers = {kind: found.power for kind, found in reading.sensitivities.items() if found.points}
    return Conditions(
        calm_share=calm.share,
        canary_us=calm.calm_us,
        states=calm.states,
        canary_repeats=calm.repeats,
        probes=ran,
        calm_probes=reading.calm_probes,
        powers=powers,
        loads=tuple(loads_met(timings, reading)),
    )


def loads_met(timings: Sequence[Timing], reading: Reading) -> list[Load]:
    """How much longer things took than in calm, as they were met: in windows of a few ms, and in longer and longer rows of these.

    What is longer than others' time slices meets their mean, what is shorter is spared or hit.
    """
    known = {time.probe_key: time.time_us for time in reading.times if time.calm and time.time_us}
    factors = [
        max(row.median_us / (1.0 - min(row.waited or 0.0, _MOST_WAITED)) / known[row.probe_key], 1.0)
        for row in timings
        if row.median_us and row.probe_key in known
    ]
    found = []
    length = 1
    while len(factors) >= _LEAST_WINDOWS * length:
        windows = np.array(factors[: len(factors) // length * length]).reshape(-1, length).mean(axis=1)
        p50, p90 = np.quantile(windows, [0.5, 0.9])
        found.append(Load(_WINDOW_MS * length, float(p50), float(p90)))
        length *= 4
    return found


def by_operator(measured: Sequence[Measured]) -> dict[tuple[str, str], list[tuple[Layer, float]]]:
    """Layers that were measured alone, and their times, by operator and dtype."""
    groups: dict[tuple[str, str], list[tuple[Layer, float]]] = {}
    for probe, time in measured:
        if probe.kind == "layer":
            layer = probe.layers[0]
            groups.setdefault(kind_of(layer), []).append((layer, time))
    return groups


def fit_setting(
    measured: Sequence[Measured],
    progress: ProgressCallback = silent,
    seed: int = 0,
    events: Events | None = None,
    uncertainty: Mapping[Layer, float] | None = None,
) -> tuple[dict[tuple[str, str], OperatorModel], RuntimeTerms]:
    """Trees of all operators, then what holds between them, from the probes of one setting.

    `uncertainty` is the relative standard deviation of each layer's time, see `uncertainties`.
    """
    overhead = call_ms(measured)
    groups = by_operator(measured)
    for (_, dtype), group in list(groups.items()):
        groups.setdefault((FALLBACK, dtype), []).extend(group)
    operators = {}
    weight, done = sum(map(len, groups.values())), 0
    # Many small solves: threads of the linear algebra library would wait for each other more than they help.
    with threadpool_limits(1):
        for (op, dtype), group in groups.items():
            progress(done / weight, f"{'all operators' if op == FALLBACK else op} {dtype}")
            done += len(group)
            if len(group) >= (MIN_PROBES if op == FALLBACK else FEWEST_PROBES):
                layers, times = zip(*group, strict=True)
                spread = np.array([(uncertainty or {}).get(layer, 0.0) for layer in layers])
                operators[op, dtype] = fit_operator(
                    op, dtype, layers, np.array(times), seed, overhead, spread
                )
        progress(1.0, "runtime")
        return operators, fit_terms(operators, measured, events)


def fit_terms(
    operators: Mapping[tuple[str, str], OperatorModel],
    measured: Sequence[Measured],
    events: Events | None = None,
) -> RuntimeTerms:
    """What the runtime adds: from empty, pair, chain and network probes, in this order, each knowing the one before."""
    by_kind: dict[str, list[Measured]] = {}
    for row in measured:
        by_kind.setdefault(row[0].kind, []).append(row)
    model = SettingModel("", {}, {}, operators, RuntimeTerms(call_ms(measured)))
    rules = learn_rules(measured, model.terms.overhead_ms, model.predict_layers_ms, events)
    model = model.with_terms(replace(model.terms, graph_rules=tuple(rules)))
    chains = by_kind.get("chain", [])
    alone = [*by_kind.get("layer", []), *by_kind.get("part", [])]
    model = model.with_terms(replace(model.terms, dispatch=learn_dispatch(model.terms, chains, alone)))
    whole = [row for row in chains if not is_unlike(row[0])] + by_kind.get("network", [])
    traffic = learn_cache_traffic(model.terms, whole, alone)
    model = model.with_terms(replace(model.terms, cache_traffic=traffic))
    return calibrated(model, by_kind.get("network", [])).terms


def call_ms(measured: Sequence[Measured]) -> float:
    """What a call costs beside the operators that it runs; 0 where it was not measured."""
    empty = [time for probe, time in measured if probe.kind == "empty"]
    if not empty:
        return 0.0
    chains = [(probe, time) for probe, time in measured if probe.kind == "chain"]
    # A network that does next to nothing still runs one operator, and every layer measured alone pays for its own.
    return max(0.0, float(np.median(empty)) - one_more_operator_ms(chains))


def one_more_operator_ms(chains: Sequence[Measured]) -> float:
    """What one more operator costs that has next to no work: the slope over rows of such ones; 0 where there are none."""
    rows = [
        (len(probe.layers), time)
        for probe, time in chains
        if not probe.wiring
        and all(layer.macs == 0 and layer.output_bytes <= _NEXT_TO_NO_BYTES for layer in probe.layers)
    ]
    if len({count for count, _ in rows}) < 2:
        return 0.0
    counts, times = np.array(rows).T
    return max(0.0, float(np.polyfit(counts, times, 1, w=1.0 / times)[0]))


def is_unlike(probe: Probe) -> bool:
    """Whether a chain is a row of unlike operators with little work: see `profiler.probes.context.rows_of_unlike`."""
    little = all(layer.output_bytes <= _LITTLE_BYTES and layer.macs <= _LITTLE_MACS for layer in probe.layers)
    return little and len({layer.op for layer in probe.layers}) > 2


def learn_dispatch(
    terms: RuntimeTerms, chains: Sequence[Measured], alone: Sequence[Measured]
) -> dict[str, Dispatch]:
    """By number type, what operators cost in rows of unlike ones, beyond what each took `alone`."""
    known = {probe.layers[0]: max(time - terms.overhead_ms, 0.0) for probe, time in alone}
    rows: dict[str, list[tuple[int, float]]] = {}
    for probe, time in chains:
        if is_unlike(probe) and all(layer in known for layer in probe.layers):
            beyond = time - terms.overhead_ms - sum(known[layer] for layer in probe.layers)
            count = len(probe.layers)
            rows.setdefault(probe.layers[0].dtype, []).append((count, beyond / count))
    return {dtype: Dispatch.fit(*zip(*mine, strict=True)) for dtype, mine in rows.items()}


def learn_cache_traffic(
    terms: RuntimeTerms, whole: Sequence[Measured], alone: Sequence[Measured]
) -> CacheTraffic:
    """What bytes that left the cache cost: from chains and networks, and from what each of their layers took `alone`."""
    known = {probe.layers[0]: max(time - terms.overhead_ms, 0.0) for probe, time in alone}
    # Only what was measured to the last layer counts: a few percent that a tree is off would be taken for traffic.
    measured = [(probe, time) for probe, time in whole if all(layer in known for layer in probe.layers)]
    if not measured:
        return CacheTraffic.free()
    networks = [probe.network for probe, _ in measured]
    layers_ms = [
        np.array([known[layer] for layer in network.layers]) * terms.fusion_shares.factors(network)
        for network in networks
    ]
    return CacheTraffic.fit(networks, layers_ms, np.array([time for _, time in measured]), terms.overhead_ms)
