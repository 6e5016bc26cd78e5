"""From what a simulator says of probes to trees: of layers as they ran in company, where it tells them apart.

There is no noise and no call to pay for; what layers share is seen from the times of each of them in whole networks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qs

import numpy as np
from threadpoolctl import threadpool_limits

from profiler.devices import Setting
from profiler.measurement import ProbeTime
from profiler.network import Layer
from profiler.probes import Probe
from profiler.progress import ProgressCallback, silent
from timemodel.features import AT_INPUT, READS_INPUT, family_of, kind_of
from timemodel.fitting.calibration import Measured, calibrated
from timemodel.model import MIN_PROBES, OperatorModel, SettingModel, TimeModel, fit_operator
from timemodel.runtime import (
    APART,
    FUSED,
    INSIDE,
    RENAMES,
    GraphRule,
    LeftRule,
    RuntimeTerms,
    learn_left,
    placed,
)

Kind = tuple[str, str]

_JUDGES = 4
"""One of so many networks teaches nothing, so that the interval can be told from it."""
_USUALLY = 0.9
"""Share of the cases in which a layer must take nothing to be said to be part of its neighbour."""
_FEWEST = 3
_FEW_ENOUGH = 6
"""Layers that make a model: without noise fewer do than elsewhere."""


@dataclass
class Rows:
    """What probes say: times in ms of layers by kind, how often which neighbours (or operators) took nothing, and what is left.

    `patterns` are of the neighbour that usually costs less, `others` of the other one.
    """

    times: dict[Kind, dict[Layer, float]] = field(default_factory=dict)
    patterns: dict[tuple[str, str], list[bool]] = field(default_factory=dict)
    others: dict[tuple[str, str], list[bool]] = field(default_factory=dict)
    left: set[Kind] = field(default_factory=set)
    left_rules: tuple[LeftRule, ...] = ()
    judges: list[Measured] = field(default_factory=list)
    company: bool = False
    fast_bytes: float | None = None


def read_rows(times: Sequence[ProbeTime], fast_bytes: float | None = None) -> Rows:
    """Take in all probes of a setting that the simulator knows; activations share `fast_bytes` (None: all have room)."""
    known = [time for time in times if time.time_us is not None and time.layers_us is not None]
    left, left_rules = _left_out(known)
    rows = Rows(
        left=left,
        left_rules=left_rules,
        company=any(time.kind in ("company", "start") for time in known),
        fast_bytes=fast_bytes,
    )
    networks = 0
    for time in known:
        if time.kind == "network":
            networks += 1
            if networks % _JUDGES == 0:
                rows.judges.append((time.probe, (time.time_us or 0.0) / 1e3))
                continue
        _take(rows, time.probe, time.layers_us or ())
    return rows


def _left_out(known: Sequence[ProbeTime]) -> tuple[set[Kind], tuple[LeftRule, ...]]:
    """Kinds of layers that are left to the CPU, and rules for those of which it is a matter of size."""
    refused: dict[Kind, dict[Layer, None]] = {}
    run: dict[Kind, dict[Layer, None]] = {}
    for time in known:
        for layer, time_us in zip(time.probe.layers, time.layers_us or (), strict=False):
            (refused if time_us is None else run).setdefault(kind_of(layer), {})[layer] = None
    rules = [
        rule
        for (op, dtype), layers in sorted(refused.items())
        for rule in learn_left(op, dtype, list(layers), list(run.get((op, dtype), ())))
    ]
    return set(refused) - set(run), tuple(rules)


def _take(rows: Rows, probe: Probe, layers_us: Sequence[float | None]) -> None:
    known = rows.left, rows.left_rules, rows.fast_bytes
    layers = placed(probe.network, *known) if rows.company else probe.layers
    first = sum(min(sources, default=0) < 0 for sources in probe.sources) if probe.kind == "company" else 0
    for position in range(first, len(layers) - (probe.kind in ("company", "start"))):
        time_us = layers_us[position] if position < len(layers_us) else 0.0
        if time_us is None:
            continue
        layer = layers[position]
        if time_us > 0:
            rows.times.setdefault(kind_of(layer), {})[layer] = time_us / 1e3
        if probe.kind != "layer" and READS_INPUT not in layer.params:
            name = INSIDE if layer.op in RENAMES else f"{layer.op} inside"
            rows.patterns.setdefault((layer.dtype, name), []).append(time_us == 0)
    if probe.kind in ("network", "company", "start"):
        for match in probe.network.fusion_matches:
            pattern = probe.layers[match.second].dtype, match.pattern
            other = match.first + match.second - match.absorbed
            for found, at in ((rows.patterns, match.absorbed), (rows.others, other)):
                taken = layers_us[at] if at < len(layers_us) else 0.0
                if taken is not None:
                    found.setdefault(pattern, []).append(taken == 0)


def rules_of(rows: Rows) -> Iterator[GraphRule]:
    """What runs inside a neighbour, or takes nothing wherever it stands between others."""
    for (dtype, pattern), nothing in sorted(rows.patterns.items()):
        others = rows.others.get((dtype, pattern), [])
        if _usually(nothing):
            yield GraphRule(dtype, pattern, FUSED, 0.0, len(nothing), True)
        elif _usually(others):
            yield GraphRule(dtype, pattern, APART, 1.0, len(others), True, other=0.0)


def _usually(nothing: Sequence[bool]) -> bool:
    """Whether layers take nothing wherever they stand like that."""
    return len(nothing) >= _FEWEST and bool(np.mean(nothing) >= _USUALLY)


def layer_energies(times: Sequence[ProbeTime]) -> dict[Kind, dict[Layer, float]]:
    """Energies in mJ of layers on their own, by kind, where they are known."""
    found: dict[Kind, dict[Layer, float]] = {}
    for time in times:
        if time.kind == "layer" and time.energy_mj:
            layer = time.probe.layers[0]
            found.setdefault(kind_of(layer), {})[layer] = time.energy_mj
    return found


def fit_simulated(
    setting: Setting,
    fingerprint: Mapping[str, object],
    times: Sequence[ProbeTime],
    progress: ProgressCallback = silent,
    seed: int = 0,
) -> SettingModel | None:
    """The model of one setting of a simulator, with its energy where that is known; None where there is too little."""
    fast = fingerprint.get("fast_bytes")
    rows = read_rows(times, float(fast) if isinstance(fast, (int, float)) and fast > 0 else None)
    energies = layer_energies(times)
    operators = _trees(rows.times, progress, seed)
    if not operators:
        return None
    terms = RuntimeTerms(
        graph_rules=tuple(rules_of(rows)),
        company=rows.company,
        left=tuple(sorted(rows.left)),
        left_rules=rows.left_rules,
        fast_bytes=rows.fast_bytes,
    )
    key, known = setting.key, setting.to_dict()
    energy = None
    if energies:
        energy_terms = RuntimeTerms(left=terms.left)
        energy = SettingModel(
            "energy", known, {}, _trees(energies, silent, seed, at_once=False), energy_terms
        )
    cpu = cpu_model(setting)
    model = SettingModel(key, known, fingerprint, operators, terms, None, energy)
    model = calibrated(model, [row for row in rows.judges if model.predict_total_ms(row[0].network) > 0])
    terms = model.terms
    return SettingModel(key, known, fingerprint, operators, terms, None, energy, cpu)


def _trees(
    groups: Mapping[Kind, Mapping[Layer, float]],
    progress: ProgressCallback,
    seed: int,
    at_once: bool = True,
) -> dict[Kind, OperatorModel]:
    """A tree for each kind of which enough is known; layers at the input join the others where they are too few.

    Time is paid for several parts `at_once`, energy for one after the other.
    """
    counts = Counter({kind: len(group) for kind, group in groups.items()})
    merged: dict[Kind, dict[Layer, float]] = {}
    for (op, dtype), group in groups.items():
        base = op.removesuffix(AT_INPUT)
        enough = counts[op, dtype] >= _FEW_ENOUGH
        alone = counts[base, dtype] < _FEW_ENOUGH
        merged.setdefault((base if alone or not enough else op, dtype), {}).update(group)
    found: dict[Kind, OperatorModel] = {}
    done = 0
    alike: dict[str, dict[Layer, float]] = {}
    for (op, dtype), group in merged.items():
        if family_of(op).name == "unary":
            alike.setdefault(dtype, {}).update(group)
    with threadpool_limits(1):
        for (op, dtype), group in sorted(merged.items()):
            progress(done / max(1, sum(map(len, merged.values()))), f"{op} {dtype}")
            done += len(group)
            if family_of(op).name == "unary" and len(group) < MIN_PROBES:
                group = alike[dtype]  # all are looked up in the same way
            if len(group) >= _FEW_ENOUGH:
                values = np.array(list(group.values()))
                found[op, dtype] = fit_operator(
                    op, dtype, list(group), values, seed, device="accelerator", at_once=at_once
                )
    return found


def cpu_model(setting: Setting) -> SettingModel | None:
    """The time model of the CPU beside the accelerator, where its specification names one."""
    named = parse_qs(setting.target.partition("?")[2]).get("cpu")
    return TimeModel.load(named[0]).setting() if named else None
