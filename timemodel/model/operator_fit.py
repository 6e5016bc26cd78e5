"""An operator's model learned from measured layers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from scipy.optimize import nnls

from profiler.network import Layer
from timemodel.features import CACHE, Family, Geometry, family_of, geometry
from timemodel.model.operator_model import (
    OperatorError,
    OperatorModel,
    feature_matrix,
    find_sweeps,
    unfitted_tree,
)
from timemodel.model.slowest import Parts, fit_parts, parts_error
from timemodel.tree import TimeTreeRegressor, nonnegative

MIN_PROBES = 8
"""Fewer measured layers than this make no model: the operator then counts as not covered."""

FEWEST_PROBES = 4
"""Of operators that few networks have so many are enough, where they come from a profile; their interval is wide."""
FEW_PROBES = 20
"""Below this no tree is cut in two to be judged: each layer is predicted by what all others say."""

WELL_KNOWN = 0.02
"""Relative standard deviation of a time that is known well."""
ENOUGH_KNOWN = 40
"""So many times that are known well say more of a model's error and steps than all of them together."""

_OF_OVERHEAD = 0.9
_FEW_WIDER = 2.0
"""Over the number of layers: by what share the bounds of what few say are wider, beyond the extremes."""
_LEAST_NET = 0.05
"""Beyond a call a layer takes at least this share of its time, or of the call's."""
_MOST_COSTS, _WORTH_A_COST = 3, 0.97
"""Of few layers so many costs are believed, and each only where it lowers the error of layers left out to this share."""
_EXACT_LEAVES = 40
_MOST_TRIED = 400
_AS_GOOD = 1.03
"""Tiles whose error is within this factor of the least are as good; of those the smallest are taken."""


def find_tiles(family: Family, array: np.ndarray, times: np.ndarray) -> dict[str, int]:
    """The tile and cache sizes under which one linear model of costs fits best; of those as good, the smallest."""
    # Tiles first, with caches of middling size: what is cut into tiles shows whatever the caches are.
    tiles = {axis: sizes[len(sizes) // 2] for axis, sizes in family.tiles.items()}
    memories: tuple[str, ...] = (*CACHE, "inside")
    g = Geometry(array)
    if "inside" in tiles and (g.outside_in_bytes.any() or g.outside_out_bytes.any()):
        tiles["inside"] = 2  # what stays inside is known
        memories = tuple(CACHE)
    for axes in (
        [axis for axis in tiles if axis not in (*memories, "inside")],
        [axis for axis in tiles if axis in memories],
    ):
        if axes:
            tiles = _best_tiles(family, g, times, tiles, axes)
    return tiles


def _best_tiles(
    family: Family, g: Geometry, times: np.ndarray, tiles: Mapping[str, int], axes: Sequence[str]
) -> dict[str, int]:
    """`tiles` with the sizes along `axes` exchanged for those that fit best: all together, or one by one where they are many."""
    if math.prod(len(family.tiles[axis]) for axis in axes) <= _MOST_TRIED:
        return _best_of(family, g, times, tiles, axes)
    found = dict(tiles)
    for axis in [*axes, *axes]:
        found = _best_of(family, g, times, found, [axis])
    return found


def _best_of(
    family: Family, g: Geometry, times: np.ndarray, tiles: Mapping[str, int], axes: Sequence[str]
) -> dict[str, int]:
    tried: list[tuple[float, dict[str, int]]] = []
    for sizes in itertools.product(*(family.tiles[axis] for axis in axes)):
        chosen = {**tiles, **dict(zip(axes, sizes, strict=True))}
        costs = family.costs(g, chosen)
        if family.parts:
            tried.append((parts_error(costs, fit_parts(costs, family.parts, times), times), chosen))
            continue
        rows = np.column_stack([np.ones(len(times)), *costs.values()]) / times[:, None]
        norm = np.sqrt(np.mean(rows**2, axis=0))
        rows /= np.where(norm > 0, norm, 1.0)
        fitted = rows @ nonnegative.solve(rows.T @ rows, rows.sum(axis=0))
        tried.append((float(np.minimum(np.abs(fitted - 1.0), 0.5).mean()), chosen))
    least = min(error for error, _ in tried)
    as_good = 1.0 if family.parts else _AS_GOOD
    return next(found for error, found in tried if error <= least * as_good + 1e-12)


def fit_operator(
    op: str,
    dtype: str,
    layers: Sequence[Layer],
    times_ms: np.ndarray,
    seed: int = 0,
    overhead_ms: float = 0.0,
    uncertainty: np.ndarray | None = None,
    device: str = "",
    at_once: bool = True,
) -> OperatorModel:
    """Learn the times of `op` from at least `MIN_PROBES` measured `layers`; `overhead_ms`, of a call, is part of every time.

    `uncertainty` ``[n]`` is the relative standard deviation of each time. Tiles, steps and what the model is off by come from
    times that are known well, where there are enough of them. What an ``accelerator``
    (see `family_of`) takes is worked out and has no noise, so that small leaves can be believed. Of energy, parts are paid one
    after the other and not `at_once`.
    """
    if len(layers) < FEW_PROBES and not device:
        return _fit_few(op, dtype, layers, times_ms, seed, overhead_ms)
    family, exact = family_of(op, device), device == "accelerator"
    if not at_once:
        family = replace(family, parts={})
    array = geometry(layers)
    known = _known(uncertainty, len(layers))
    tiles = find_tiles(family, array[known], times_ms[known])
    parts = fit_parts(family.costs(Geometry(array[known]), tiles), family.parts, times_ms[known])
    matrix, costs, sizes = feature_matrix(family, array, tiles, parts)
    tree = unfitted_tree(
        costs,
        sizes,
        min_samples_leaf=min(12, max(5, len(layers) // 6)),
        max_leaves=_EXACT_LEAVES if exact else 20,
        random_state=seed,
        cv=min(4, len(layers) // 4),
        # Most of the overhead, not all: what remains of the smallest times is theirs and not noise.
        offset=_OF_OVERHEAD * overhead_ms,
    ).fit(matrix, times_ms, uncertainty)
    held_out = np.where(np.isfinite(tree.held_out_), tree.held_out_, tree.predict_rows(matrix))
    return describe(op, dtype, layers, times_ms, tree, tiles, held_out, device, known, parts)


def _fit_few(
    op: str, dtype: str, layers: Sequence[Layer], times_ms: np.ndarray, seed: int, overhead_ms: float
) -> OperatorModel:
    """`fit_operator` for few layers: one leaf over one to three costs, those by which each layer is predicted best from all others.

    Costs are the operator's own, or generic ones where these predict better. A leaf over all of them at once would follow every
    layer that it knows, and be far off at the next. That a layer without work takes a call and no more is believed where it helps.
    """
    array = geometry(layers)
    offset = _OF_OVERHEAD * overhead_ms
    net = np.maximum(times_ms - offset, _LEAST_NET * times_ms)
    nothing = _LEAST_NET * max(offset, _LEAST_NET * float(times_ms.min()))
    found = []
    for device in ("", "few"):
        family = family_of(op, device)
        tiles = find_tiles(family, array, times_ms)
        matrix, costs, sizes = feature_matrix(family, array, tiles)
        for more in ([], [nothing]):
            chosen, error = telling_costs(matrix[:, : len(costs)], net, *more)
            found.append((error, device, tiles, matrix, costs, sizes, chosen, more))
    _, device, tiles, matrix, costs, sizes, chosen, more = min(found, key=lambda row: row[0])
    told = matrix.copy()
    told[:, [i for i in range(len(costs)) if i not in chosen]] = 0.0

    def fitted(rows: np.ndarray) -> TimeTreeRegressor:
        tree = unfitted_tree(costs, sizes, max_leaves=1, cv=0, random_state=seed, offset=offset)
        without_work = np.zeros((len(more), told.shape[1]))
        return tree.fit(
            np.vstack([told[rows], without_work]), np.append(times_ms[rows], [one + offset for one in more])
        )

    every = np.arange(len(layers))
    others = [fitted(np.delete(every, i)).predict_rows(told[i : i + 1])[0] for i in every]
    held_out = np.maximum(others, 0.02 * times_ms)
    model = describe(op, dtype, layers, times_ms, fitted(every), tiles, held_out, device)
    wider = 1.0 + _FEW_WIDER / len(layers)
    return replace(model, low=min(model.low / wider, 1.0), high=max(model.high * wider, 1.0))


def telling_costs(costs: np.ndarray, times: np.ndarray, *nothing: float) -> tuple[list[int], float]:
    """Which columns of `costs` ``[n, p]`` say most of `times` ``[n]``, added one by one, and the mean error of their logarithm.

    The error is that of rows that are left out one after the other; `nothing` is the time of a layer without
    work, where it is known.
    """
    judged = len(times)
    costs = np.vstack([costs, np.zeros((len(nothing), costs.shape[1]))])
    times = np.append(times, nothing)
    chosen: list[int] = []
    least = np.inf
    while len(chosen) < _MOST_COSTS:
        tried = [
            (_left_out_error(costs[:, [*chosen, i]], times, judged), i)
            for i in range(costs.shape[1])
            if i not in chosen and costs[:, i].any()
        ]
        error, best = min(tried, default=(np.inf, -1))
        if error > _WORTH_A_COST * least or best < 0:
            break
        chosen.append(best)
        least = error
    return chosen, float(least)


def _left_out_error(costs: np.ndarray, times: np.ndarray, judged: int) -> float:
    """The mean error of the logarithm of the first `judged` times, each predicted by a sum of costs that fits the others."""
    rows = np.column_stack([np.ones(len(times)), costs / np.maximum(costs.max(axis=0), 1e-30)])
    relative = rows / times[:, None]
    errors = []
    for i in range(judged):
        others = np.delete(relative, i, axis=0)
        weight = np.ones(len(others))
        for _ in range(2):
            # By the mean of measured and predicted, as leaves are: relative to the measured alone too little is predicted.
            found = nnls(others * weight[:, None], weight)[0]
            weight = 1.0 / np.sqrt(np.clip(others @ found, 0.5, 2.0))
        errors.append(abs(np.log(max(float(relative[i] @ found), 0.02))))
    return float(np.mean(errors))


def _known(uncertainty: np.ndarray | None, count: int) -> np.ndarray:
    """Which rows are known well, as a mask; all of them where those are too few to judge by."""
    everything = np.ones(count, dtype=bool)
    if uncertainty is None:
        return everything
    known = uncertainty <= WELL_KNOWN
    return known if known.sum() >= ENOUGH_KNOWN else everything


def describe(
    op: str,
    dtype: str,
    layers: Sequence[Layer],
    times_ms: np.ndarray,
    tree: TimeTreeRegressor,
    tiles: Mapping[str, int],
    held_out: np.ndarray,
    device: str = "",
    known: np.ndarray | None = None,
    parts: Parts | None = None,
) -> OperatorModel:
    """`tree` with its error, interval and range; `held_out` is what trees that had not seen a row predicted for it.

    `known` marks the rows to judge by; None: all.
    """
    judged = np.ones(len(layers), dtype=bool) if known is None else known
    held_out = np.maximum(held_out, 0.02 * times_ms)
    off = (np.abs(held_out - times_ms) / times_ms)[judged]
    low, high = conformal_bounds((times_ms / held_out)[judged])
    family = family_of(op, device)
    matrix, names, _ = feature_matrix(family, geometry(layers), tiles, parts)
    costs = matrix[:, : len(names)]
    bounds = np.stack([costs.min(axis=0), costs.max(axis=0)])
    errors = float(off.mean()), float(np.median(off)), float(np.quantile(off, 0.9))
    error = OperatorError(op, dtype, len(layers), tree.n_leaves_, *errors)
    sweeps = find_sweeps([layer for layer, one in zip(layers, judged, strict=True) if one], times_ms[judged])
    return OperatorModel(op, dtype, dict(tiles), tree, low, high, bounds, error, sweeps, device, parts or {})


def conformal_bounds(ratios: np.ndarray, share: float = 0.9) -> tuple[float, float]:
    """Factors (low, high) between which `share` of unseen ratios lie, by split conformal prediction.

    Of few `ratios` of measured by predicted times, none of them learned from, the extremes are widened by a quarter.
    """
    ordered = np.sort(ratios)
    place = (1 - share) / 2 * (len(ordered) + 1) - 1
    if place < -1e-9:
        return float(ordered[0] / 1.25), float(ordered[-1] * 1.25)
    return _between(ordered, place), _between(ordered[::-1], place)


def _between(ordered: np.ndarray, place: float) -> float:
    """The value at a place that may lie between two, by factor."""
    at = max(int(place + 1e-9), 0)
    part = max(place - at, 0.0)
    return float(ordered[at] ** (1 - part) * ordered[min(at + 1, len(ordered) - 1)] ** part)
