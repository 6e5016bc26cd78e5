"""Rules of fusion, learned from the probes of one setting.

Where the runtime's profiler is there, it decides whether a pair runs as one. Times of the pair and of its two operators alone
say what the pair saves, and decide where there is no profiler.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from profiler.measurement import OPERATOR
from profiler.network import FusionMatch, Layer, pattern_name
from profiler.probes import Probe
from timemodel.runtime.fusion import (
    APART,
    EVERYTHING,
    FUSED,
    INSIDE,
    OUTSIDE,
    PARTLY,
    SPLIT,
    GraphRule,
    inside_pattern,
)

FUSED_BELOW, APART_ABOVE = 0.35, 0.65
"""Of the absorbed operator's time: below the first the rest is noise, above the second there is nothing to apply."""
_NOISE = 0.03
"""Relative error of one measured time, where one measurement is compared with others."""
_SURE = 2.0
_COSTS_MORE = 1.15
_CHEAPER = 0.9
_MOST_IN_PLACE = 10.0
_FEWEST = 3
_INSERTED = frozenset({"Static Reshape", "Static Expand Dims", "Copy"})
_MAY_RENAME = frozenset({"reshape", "concatenation", "transpose"})
"""Operators whose event does not say whether they copy anything: there, times decide."""

Events = Mapping[str, Sequence[tuple[str, int]] | None]
"""By probe key: see `profiler.measurement.store.Profile.events`."""


def learn_rules(
    measured: Sequence[tuple[Probe, float]],
    overhead_ms: float,
    alone_ms: Callable[[Sequence[Layer]], np.ndarray],
    events: Events | None = None,
) -> list[GraphRule]:
    """Rules from the probes of one setting and their times in ms, of which each holds a call's overhead.

    `alone_ms` predicts operators that were not measured alone, without overhead; `events` say what the runtime made of probes.
    """
    events = events or {}
    return [
        *_neighbours(measured, overhead_ms, alone_ms, events),
        *_splits(measured, overhead_ms, events),
        *_outside(events),
        *learn_inside(measured, overhead_ms),
    ]


def learn_inside(measured: Sequence[tuple[Probe, float]], overhead_ms: float) -> list[GraphRule]:
    """What operators between others cost, as a share of what they cost alone; from chains that hold some of one pattern."""
    alone = {probe.layers[0]: time - overhead_ms for probe, time in measured if len(probe.layers) == 1}
    shares: dict[tuple[str, str], list[float]] = {}
    for probe, time in measured:
        patterns = [inside_pattern(layer) for layer in probe.layers]
        names = {pattern for pattern in patterns if pattern}
        if probe.kind != "chain" or len(names) != 1 or not alone.keys() >= {*probe.layers}:
            continue
        times = [alone[layer] for layer in probe.layers]
        inside = sum(time_ms for time_ms, pattern in zip(times, patterns, strict=True) if pattern)
        if inside > 0:
            share = (time - overhead_ms - sum(times)) / inside + 1.0
            shares.setdefault((probe.layers[0].dtype, names.pop()), []).append(share)
    rules = []
    for (dtype, pattern), found in sorted(shares.items()):
        share = float(np.clip(np.median(found), 0.0, 1.0 if pattern == INSIDE else _MOST_IN_PLACE))
        share = 0.0 if share < FUSED_BELOW else 1.0 if APART_ABOVE < share < _COSTS_MORE else share
        rules.append(GraphRule(dtype, pattern, _happens(share), share, len(found)))
    return rules


def _neighbours(
    measured: Sequence[tuple[Probe, float]],
    overhead_ms: float,
    alone_ms: Callable[[Sequence[Layer]], np.ndarray],
    events: Events,
) -> list[GraphRule]:
    known = {probe.layers[0]: time for probe, time in measured if probe.kind == "layer"}
    rows: dict[tuple[str, str], list[tuple[float, float, float]]] = {}
    for probe, time in measured:
        pair = _only_pair(probe)
        if pair is None:
            continue
        key = probe.layers[pair.second].dtype, pair.pattern
        predicted = None
        times = []
        for position, layer in enumerate(probe.layers):
            if layer in known:
                times.append(known[layer] - overhead_ms)
                continue
            predicted = alone_ms(probe.layers) if predicted is None else predicted
            times.append(float(predicted[position]))
        absorbed = times[pair.absorbed]
        if time > overhead_ms and absorbed > 0:
            rows.setdefault(key, []).append((time - overhead_ms, absorbed, sum(times) - absorbed))
    seen = _seen(events)
    rules = []
    for dtype, pattern in sorted({*rows, *seen}):
        votes = seen.get((dtype, pattern))
        fused = None if votes is None else 2 * sum(votes) > len(votes)
        triples = rows.get((dtype, pattern), [])
        if triples:
            pair_ms, absorbed_ms, other_ms = np.array(triples).T
            share = remaining_share(pair_ms, absorbed_ms, other_ms, fused)
        else:  # not timed yet: what runs as one is most often free
            share = 0.0 if fused else 1.0
        other = other_share(pair_ms, other_ms) if triples and fused and share == 0 else 1.0
        happens = FUSED if fused else _happens(share)
        rules.append(GraphRule(dtype, pattern, happens, share, len(triples), fused is not None, other))
    return rules


def _happens(share: float) -> str:
    return FUSED if share == 0 else PARTLY if share < 1 else APART


def _seen(events: Events) -> dict[tuple[str, str], list[bool]]:
    """By dtype and pattern: whether the pairs that were looked at ran as one."""
    seen: dict[tuple[str, str], list[bool]] = {}
    for key, ran in events.items():
        probe = Probe.from_key(key)
        pair = _only_pair(probe) if ran else None
        as_one = ran_as_one(probe, ran) if ran and pair is not None else None
        if pair is not None and as_one is not None:
            seen.setdefault((probe.layers[pair.second].dtype, pair.pattern), []).append(as_one)
    return seen


def _only_pair(probe: Probe) -> FusionMatch | None:
    """The neighbours of a pair's probe; None where there are none or several."""
    found = probe.network.fusion_matches if probe.kind == "pair" else ()
    return found[0] if len(found) == 1 else None


def ran_as_one(probe: Probe, events: Sequence[tuple[str, int]]) -> bool | None:
    """Whether the two operators of a pair ran as one, by the operators that the runtime ran; None: these do not say."""
    if any(layer.op in _MAY_RENAME for layer in probe.layers):
        return None
    return len([name for name, _ in events if name not in _INSERTED]) < len(probe.layers)


def remaining_share(
    pair_ms: np.ndarray, absorbed_ms: np.ndarray, other_ms: np.ndarray, fused: bool | None = None
) -> float:
    """Share of the absorbed operator's time that remains beside the other one: 0 as one, 1 where noise leaves it open.

    Times ``[n]`` are those of the pair and of its two operators alone, by size; `fused` is what the runtime's profiler says.
    """
    if fused is False:
        return 1.0
    shares = (pair_ms - other_ms) / absorbed_ms
    noise = _NOISE * np.sqrt(pair_ms**2 + absorbed_ms**2 + other_ms**2) / absorbed_ms
    # Sizes at which the absorbed operator is hardly more than noise of the rest say nothing.
    clear = noise <= 2 * noise.min()
    share = float(np.median(shares[clear]))
    unsure = float(_SURE * np.median(noise[clear]) / np.sqrt(np.count_nonzero(clear)))
    if np.count_nonzero(clear) >= _FEWEST:
        # The sizes disagree more than measuring alone would make them.
        spread = float(np.median(np.abs(shares[clear] - share))) * 1.48
        unsure = max(unsure, _SURE * spread / np.sqrt(np.count_nonzero(clear)))
    if fused:
        if share >= 1:
            # Seen to run as one, yet timed as if not: believed only where the times leave no doubt.
            return 1.0 if share - unsure > APART_ABOVE else 0.0
        return share if share >= FUSED_BELOW and share - unsure > 0 else 0.0
    if len(shares) < _FEWEST or share + unsure >= 1 or share > APART_ABOVE:
        return 1.0
    return 0.0 if share < FUSED_BELOW else share


def other_share(pair_ms: np.ndarray, other_ms: np.ndarray) -> float:
    """Share of the other operator's time that the pair takes as one: less than 1 where the two together are a cheaper kernel."""
    if len(pair_ms) < _FEWEST:
        return 1.0
    # x * sigmoid(x) of 8 bit is a table of 256 values, and no longer a product.
    ratio = pair_ms / other_ms
    return float(np.median(ratio)) if float(np.quantile(ratio, 0.75)) < _CHEAPER else 1.0


def _splits(measured: Sequence[tuple[Probe, float]], overhead_ms: float, events: Events) -> list[GraphRule]:
    """Operators that take longer with an activation than without: the same layers, measured both ways."""
    layers = {probe.layers[0]: (probe, time) for probe, time in measured if probe.kind == "layer"}
    ratios: dict[tuple[str, str], list[float]] = {}
    seen: dict[tuple[str, str], list[bool]] = {}
    for layer, (probe, time) in layers.items():
        if layer.params.get("activation", "none") == "none":
            continue
        plain = Layer(layer.op, layer.inputs, layer.outputs, {**layer.params, "activation": "none"})
        if plain not in layers or layers[plain][1] <= overhead_ms:
            continue
        key = layer.dtype, pattern_name(layer)
        ratios.setdefault(key, []).append((time - overhead_ms) / (layers[plain][1] - overhead_ms))
        ran, ran_plain = events.get(probe.key), events.get(layers[plain][0].key)
        if ran is not None and ran_plain is not None:
            seen.setdefault(key, []).append(len(ran) > len(ran_plain))
    rules = []
    for (dtype, name), values in sorted(ratios.items()):
        ratio, by_events = float(np.median(values)), seen.get((dtype, name))
        above = float(np.mean(np.array(values) > 1.0))
        slower = len(values) >= _FEWEST and ratio > _COSTS_MORE and above >= 0.75
        if any(by_events) if by_events else slower:
            rules.append(GraphRule(dtype, name, SPLIT, max(ratio, 0.0), len(values), bool(by_events)))
    return rules


def _outside(events: Events) -> list[GraphRule]:
    """Operators that a delegate left to the runtime's own kernels; none where there is no delegate at all."""
    counts: dict[tuple[str, str], list[bool]] = {}
    for key, ran in events.items():
        probe = Probe.from_key(key)
        if ran and probe.kind == "layer":
            layer = probe.layers[0]
            counts.setdefault((layer.dtype, layer.op), []).append(any(kind == OPERATOR for _, kind in ran))
    if all(all(row) for row in counts.values()):
        return []
    for dtype in {dtype for dtype, _ in counts}:
        mine = [row for (kind, _), row in counts.items() if kind == dtype]
        if len(mine) >= _FEWEST and all(all(row) for row in mine):
            counts = {key: row for key, row in counts.items() if key[0] != dtype}
            counts[dtype, EVERYTHING] = [True] * sum(len(row) for row in mine)
    return [
        GraphRule(dtype, op, OUTSIDE, float(np.mean(row)), len(row), True)
        for (dtype, op), row in sorted(counts.items())
        if any(row)
    ]
