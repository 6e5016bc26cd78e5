"""From times of whole networks to a time model: prices of layers, written down as trees.

The splits are those of the price that all devices have in common, the leaves are each device's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from profiler.errors import DataError
from profiler.network import Layer
from profiler.progress import ProgressCallback, silent
from timemodel.features import Family, family_of, geometry
from timemodel.fitting.tables import table_model
from timemodel.fitting.totals.prices import fit_prices
from timemodel.fitting.totals.table import Totals
from timemodel.model import (
    FALLBACK,
    MIN_PROBES,
    OperatorModel,
    TimeModel,
    conformal_bounds,
    describe,
    feature_matrix,
    find_tiles,
    unfitted_tree,
)
from timemodel.runtime import RuntimeTerms
from timemodel.tree import TimeTreeRegressor, refit

MIN_NETWORKS = 12
"""Fewer networks than this say too little about their layers."""

FOLDS = 5
MAX_LEAVES = 20


@dataclass(frozen=True)
class _Structure:
    """The splits of one operator's tree, and its prices."""

    family: Family
    tiles: dict[str, int]
    tree: TimeTreeRegressor
    layers: list[Layer]
    prices_ms: np.ndarray  # [layers, devices]
    matrix: np.ndarray

    def on(self, device: int) -> TimeTreeRegressor:
        """The tree of one device."""
        return refit(self.tree, self.matrix, self.prices_ms[:, device], rounds=0)


@dataclass(frozen=True)
class TotalsModel:
    """What layers cost on each of several devices, as trees by operator and dtype."""

    structures: Mapping[tuple[str, str], _Structure]
    devices: int

    def networks_ms(self, networks: Sequence[Sequence[Layer]]) -> np.ndarray:
        """Times ``[len(networks), devices]`` in ms: the sums of the layers' prices."""
        flat = [layer for layers in networks for layer in layers]
        owner = np.repeat(np.arange(len(networks)), [len(layers) for layers in networks])
        result = np.zeros((len(networks), self.devices))
        groups: dict[tuple[str, str], list[int]] = {}
        for i, layer in enumerate(flat):
            groups.setdefault((layer.op, layer.dtype), []).append(i)
        for (op, dtype), members in groups.items():
            structure = self.structures.get((op, dtype)) or self.structures[FALLBACK, dtype]
            rows = feature_matrix(structure.family, geometry([flat[i] for i in members]), structure.tiles)[0]
            repeat = np.array([flat[i].repeat for i in members], dtype=np.float64)
            for device in range(self.devices):
                np.add.at(result[:, device], owner[members], structure.on(device).predict_rows(rows) * repeat)
        return result

    def operators(self, device: int) -> dict[tuple[str, str], OperatorModel]:
        """The trees of one device."""
        models = {}
        for (op, dtype), structure in self.structures.items():
            prices, tree = structure.prices_ms[:, device], structure.on(device)
            # As far as trees that had not seen a layer were off from what all devices share, so far this one's may be.
            unseen, seen = structure.tree.held_out_, structure.tree.predict_rows(structure.matrix)
            drift = np.where(np.isfinite(unseen) & (seen > 0), unseen / np.where(seen > 0, seen, 1.0), 1.0)
            fitted = np.maximum(tree.predict_rows(structure.matrix) * drift, 0.0)
            models[op, dtype] = describe(op, dtype, structure.layers, prices, tree, structure.tiles, fitted)
        return models


def fit_totals(networks: Sequence[Sequence[Layer]], times_ms: np.ndarray) -> TotalsModel:
    """Learn what layers cost from networks' times ``[networks, devices]`` in ms, NaN where one was not run."""
    prices = fit_prices(networks, times_ms)
    layers = list(dict.fromkeys(layer for network in networks for layer in network))
    each = prices.layers_ms(layers)
    level = float(np.exp(np.mean(np.log(prices.scale))))
    common = np.exp(np.mean(np.log(each / prices.scale), axis=1)) * level
    groups: dict[tuple[str, str], list[int]] = {}
    for i, layer in enumerate(layers):
        groups.setdefault((layer.op, layer.dtype), []).append(i)
        groups.setdefault((FALLBACK, layer.dtype), []).append(i)
    structures = {}
    for (op, dtype), members in groups.items():
        chosen = [layers[i] for i in members]
        family, array = family_of(op), geometry(chosen)
        tiles = find_tiles(family, array, common[members])
        matrix, costs, sizes = feature_matrix(family, array, tiles)
        few = len(members) < 2 * MIN_PROBES
        tree = unfitted_tree(
            costs,
            sizes,
            max_leaves=1 if few else MAX_LEAVES,
            min_samples_leaf=min(12, max(5, len(members) // 6)),
            cv=0 if few else 4,
        )
        copies = 1 if len(members) > 1 else 2
        tree.fit(np.repeat(matrix, copies, axis=0), np.repeat(common[members], copies))
        structures[op, dtype] = _Structure(family, tiles, tree, chosen, each[members], matrix)
    return TotalsModel(structures, times_ms.shape[1])


@dataclass(frozen=True)
class TotalsFit:
    """A device's time model from totals, and how far it is off on networks that it did not learn from."""

    model: TimeModel
    networks: int
    mean_error: float
    within_10: float


def fit_totals_table(
    totals: Totals,
    devices: Sequence[str],
    source: str,
    progress: ProgressCallback = silent,
) -> dict[str, TotalsFit]:
    """Learn the time models of `devices`, all columns of `totals` helping, with intervals from networks held back."""
    for device in devices:
        known = int(np.isfinite(totals.times_ms[:, totals.devices.index(device)]).sum())
        if known < MIN_NETWORKS:
            raise DataError(
                f"{source} has {known} networks of {device}, at least {MIN_NETWORKS} are needed: measure more."
            )
    # Networks that no device ran say nothing.
    seen = np.flatnonzero(np.isfinite(totals.times_ms).any(axis=1))
    networks, times = [totals.networks[i] for i in seen], totals.times_ms[seen]
    folds = np.random.default_rng(0).permutation(len(seen)) % FOLDS
    held_out = np.empty_like(times)
    for fold in range(FOLDS):
        progress(fold / (FOLDS + 1), f"networks held back, {fold + 1} of {FOLDS}")
        inside = folds != fold
        part = fit_totals([n for n, i in zip(networks, inside, strict=True) if i], times[inside])
        held_out[~inside] = part.networks_ms([n for n, i in zip(networks, inside, strict=True) if not i])
    progress(FOLDS / (FOLDS + 1), "all networks")
    whole = fit_totals(networks, times)
    fits = {}
    for device in devices:
        number = totals.devices.index(device)
        known_rows = np.isfinite(times[:, number])
        ratio = times[known_rows, number] / held_out[known_rows, number]
        low, high = conformal_bounds(ratio)
        dtypes = sorted({dtype for _, dtype in whole.structures})
        terms = RuntimeTerms(low=dict.fromkeys(dtypes, low), high=dict.fromkeys(dtypes, high))
        off = np.abs(1.0 / ratio - 1.0)
        fits[device] = TotalsFit(
            table_model(device, source, whole.operators(number), terms),
            len(off),
            float(off.mean()),
            float(np.mean(off <= 0.1)),
        )
    return fits
