"""What to measure next, and whether it is enough: of the operators in which networks spend time and whose trees are wrong.

The next layers lie in leaves with a large error on unseen layers, and around suspected steps of the staircase.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from profiler.measurement import INTERVAL_PER_ERROR, Events, NextProbes, ProbeTime
from profiler.network import Layer
from profiler.operators import MAX_ELEMENTS, MAX_MACS, MAX_WEIGHTS, Rng, draw_layer, drawn_operators, operator
from profiler.probes import Probe
from profiler.progress import ProgressCallback, silent
from timemodel.features import geometry, kernel_of, kind_of
from timemodel.fitting.profile import Measured, by_operator, fit_setting, fit_terms, usable
from timemodel.model import FALLBACK, MIN_PROBES, OperatorModel, SettingModel
from timemodel.staircases import around_steps, suspected_steps

Kind = tuple[str, str]
"""Operator, as `kernel_of` names it, and number type."""

COUNT = 400
"""Layers that one advice asks for: some seconds of measuring."""
AROUND_STEPS = 0.4
"""Share of them that lie around suspected steps, for operators that have a width."""
FOLDS = 4
_OFFERED = 6
"""Layers drawn per layer wanted."""
_SHARE = 0.9


def advise_probes(
    times: Sequence[ProbeTime],
    events: Events | None = None,
    progress: ProgressCallback = silent,
    *,
    goal: float,
    seed: int = 0,
    count: int = COUNT,
) -> NextProbes:
    """About `count` layers to measure next under one setting, or that a mean relative error of `goal` is reached.

    The small networks among the probes stand for the networks that people run. No tree learns from them, and what they
    take beyond their layers is learned from other ones than those that it is judged by (`FOLDS`). The worst number type
    counts. Where there are no networks, as with a choice of operators, layers that the trees did not learn from count.
    """
    measured = usable(times)
    networks = [row for row in measured if row[0].kind == "network"]
    wanted = {kind_of(layer) for probe, _ in networks for layer in probe.layers}
    if wanted:
        measured = [row for row in measured if row[0].kind != "layer" or kind_of(row[0].layers[0]) in wanted]
    operators, terms = fit_setting(measured, progress, seed, events)
    if not any(op != FALLBACK for op, _ in operators):
        return NextProbes(False, 1.0, 1.0)
    progress(1.0, "networks")
    model = SettingModel("", {}, {}, operators, terms)
    shares = time_shares(model, [probe for probe, _ in networks])
    errors = {kind: operators[kind].error.mean_error for kind in shares}
    judged = _judge_networks(operators, measured, networks, events, seed)
    error, interval = judged or _judge_layers(operators, shares)
    if error <= goal and interval <= INTERVAL_PER_ERROR * goal:
        return NextProbes(True, error, interval, of="networks" if judged else "layers")
    rng = np.random.default_rng([seed, len(times)])
    chosen: list[Layer] = []
    rows = by_operator(measured)
    known = {layer for row in times if row.kind == "layer" for layer in row.probe.layers}
    for kind, number in allot(shares, errors, count).items():
        progress(1.0, f"drawing {kind[0]} {kind[1]}")
        found = choose_layers(operators[kind], rows[kind], known, number, rng)
        known.update(found)
        chosen += found
    # Shuffled, so that measuring may end anywhere.
    probes = tuple(Probe("layer", (chosen[i],)) for i in rng.permutation(len(chosen)))
    most = max(shares, key=lambda kind: shares[kind] * errors[kind])
    note = f"most to {most[0]} {most[1]}, {errors[most]:.1%} off on unseen layers"
    return NextProbes(False, error, interval, probes, note, "networks" if judged else "layers")


def time_shares(model: SettingModel, networks: Sequence[Probe]) -> dict[Kind, float]:
    """In which operators networks spend their time: shares of it that add up to 1, each network counting as one.

    Without networks, the catalogue's numbers of probes stand in: what networks spend their time in has most.
    """
    shares: dict[Kind, float] = {}
    for probe in networks:
        times = model.in_network_ms(probe.network).predicted_ms
        for kind, time in zip(map(kind_of, probe.layers), times, strict=True):
            if kind in model.operators and times.sum() > 0:
                shares[kind] = shares.get(kind, 0.0) + float(time / times.sum())
    if not networks:
        counts = {(op, dtype): operator(op).draws.get(dtype) for op, dtype in model.operators}
        shares = {kind: float(draws.count) for kind, draws in counts.items() if draws is not None}
    total = sum(shares.values())
    return {kind: share / total for kind, share in shares.items() if share > 0}


def allot(shares: Mapping[Kind, float], errors: Mapping[Kind, float], count: int) -> dict[Kind, int]:
    """How many of `count` layers each operator gets: in proportion to its share of the time and its error (Neyman's way)."""
    weights = {kind: share * errors[kind] for kind, share in shares.items()}
    total = sum(weights.values()) or 1.0
    numbers = {kind: round(count * weight / total) for kind, weight in weights.items()}
    return {kind: number for kind, number in numbers.items() if number > 0}


def choose_layers(
    model: OperatorModel, rows: Sequence[tuple[Layer, float]], known: set[Layer], count: int, rng: Rng
) -> list[Layer]:
    """Up to `count` layers beyond the `known` ones, where the model, which learned from `rows` in this order, is least sure."""
    drawn = _draw(model, _OFFERED * count, rng)
    if not drawn:
        return []
    steps = suspected_steps(model)
    stepped = [layer for one in drawn for layer in around_steps(one, steps, rng)]
    stepped = [layer for layer in stepped if _fits(layer) and kernel_of(layer) == model.op]
    taken = set(known)
    found: list[Layer] = []
    for offered, wanted in ((stepped, round(AROUND_STEPS * count)), (drawn, count)):
        fresh = [layer for layer in dict.fromkeys(offered) if layer not in taken]
        number = min(wanted - len(found), len(fresh))
        if number > 0:
            doubt = _doubt(model, rows, fresh)
            picks = rng.choice(len(fresh), size=number, replace=False, p=doubt / doubt.sum())
            found += [fresh[i] for i in sorted(picks)]
            taken.update(found)
    return found


def _draw(model: OperatorModel, count: int, rng: Rng) -> list[Layer]:
    """Layers of the operator as networks have them."""
    offered = drawn_operators(model.dtype)
    name = model.op if model.op in offered else model.op.partition(":")[0]
    if name not in offered:
        return []
    drawn = (draw_layer(name, model.dtype, rng) for _ in range(count))
    return [layer for layer in drawn if kind_of(layer) == (model.op, model.dtype)]


def _doubt(model: OperatorModel, rows: Sequence[tuple[Layer, float]], layers: Sequence[Layer]) -> np.ndarray:
    """How wrong the tree is on unseen layers of the leaf that each of `layers` falls into, ``[len(layers)]``, above 0."""
    usual = max(model.error.mean_error, 1e-6)
    held_out = getattr(model.tree, "held_out_", None)
    if held_out is None or len(held_out) != len(rows):
        return np.full(len(layers), usual)
    times = np.array([time for _, time in rows])
    errors = np.minimum(np.abs(held_out - times) / times, 0.5)
    leaves = model.tree.apply_rows(model.matrix(geometry([layer for layer, _ in rows])))
    # A leaf's few layers say little: its error is pulled towards the operator's by as many as three of them.
    doubt = {
        leaf: (np.nansum(errors[leaves == leaf]) + 3 * usual) / (np.sum(leaves == leaf) + 3)
        for leaf in np.unique(leaves)
    }
    where = model.tree.apply_rows(model.matrix(geometry(layers)))
    return np.array([doubt.get(leaf, usual) for leaf in where])


def _judge_networks(
    operators: Mapping[Kind, OperatorModel],
    measured: Sequence[Measured],
    networks: Sequence[Measured],
    events: Events | None,
    seed: int,
) -> tuple[float, float] | None:
    """Mean error and interval on networks that nothing was learned from, of the worst number type; None: too few."""
    rest = [row for row in measured if row[0].kind != "network"]
    folds = np.random.default_rng(seed).permutation(len(networks)) % FOLDS
    errors: dict[str, list[float]] = {}
    for fold in range(FOLDS if len(networks) >= MIN_PROBES else 0):
        others = [row for row, number in zip(networks, folds, strict=True) if number != fold]
        terms = fit_terms(operators, [*rest, *others], events)
        model = SettingModel("", {}, {}, operators, terms)
        for (probe, time), number in zip(networks, folds, strict=True):
            if number == fold:
                predicted = model.predict_total_ms(probe.network)
                errors.setdefault(probe.network.dtype, []).append(abs(predicted - time) / time)
    judged = [np.array(row) for row in errors.values() if len(row) >= MIN_PROBES]
    if not judged:
        return None
    return max(float(row.mean()) for row in judged), max(_within(row) for row in judged)


def _within(errors: np.ndarray) -> float:
    """Within what error 90% of unseen networks are, as split conformal prediction says it."""
    ordered = np.sort(errors)
    at = int(np.ceil(_SHARE * (len(ordered) + 1))) - 1
    return float(ordered[at]) if at < len(ordered) else 1.25 * float(ordered[-1])


def _judge_layers(
    operators: Mapping[Kind, OperatorModel], shares: Mapping[Kind, float]
) -> tuple[float, float]:
    """Mean error and interval on layers that the trees did not learn from, weighed by their operators' shares."""
    models = [(operators[kind], share) for kind, share in shares.items()]
    if not models:
        return 1.0, 1.0
    error = sum(share * model.error.mean_error for model, share in models)
    return error, sum(share * max(1 - model.low, model.high - 1) for model, share in models)


def _fits(layer: Layer) -> bool:
    """Whether `layer` is small enough to be measured, as drawn ones are."""
    largest = max(tensor.size for tensor in (*layer.activations, *layer.outputs))
    return largest <= MAX_ELEMENTS and layer.macs <= MAX_MACS and layer.parameters <= MAX_WEIGHTS
