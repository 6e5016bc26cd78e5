"""From tables of layer measurements to a time model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from profiler.errors import DataError
from profiler.network import Layer
from profiler.progress import ProgressCallback, silent, sub_progress
from timemodel.features import Family, family_of, geometry, kind_of, parallel_family
from timemodel.fitting.tables.table import LayerTable
from timemodel.model import (
    FALLBACK,
    MIN_PROBES,
    OperatorModel,
    PowerModel,
    SettingModel,
    TimeModel,
    describe,
    feature_matrix,
    find_tiles,
    fit_operator,
    unfitted_tree,
)
from timemodel.runtime import RuntimeTerms
from timemodel.tree import TimeTreeRegressor, refit

MAX_LEAVES = 40
FOLDS = 4
_SAMPLE = 1500
"""Rows that tiles are looked for with, and that the model of unknown operators learns from."""
_FEW = 1500
"""Of fewer rows cross-validation chooses how many leaves to keep."""


def fit_tables(
    tables: Sequence[LayerTable],
    device: str,
    progress: ProgressCallback = silent,
    structure: SettingModel | None = None,
) -> tuple[TimeModel, list[str]]:
    """Learn the time model of `device` from tables of its layers, with notes for the user on what was left out.

    Operators that `structure`, another device's model, knows keep its splits and tiles; only leaves are fitted. Energy is learned
    as time is where every layer has one; where some have, what they draw is (see `PowerModel`).
    """
    distinct = [table.distinct() for table in tables]
    layers = [layer for own, *_ in distinct for layer in own]
    times_ms = np.concatenate([own_ms for _, own_ms, _, _ in distinct])
    energies_mj = np.concatenate([own_mj for _, _, own_mj, _ in distinct])
    notes = [note for *_, own_notes in distinct for note in own_notes]
    measured = np.isfinite(energies_mj)
    share = 1.0 if not measured.any() else 0.5
    operators, few = fit_layers(layers, times_ms, sub_progress(progress, 0.0, share), structure)
    if not operators:
        raise DataError(
            f"{tables[0].path} holds fewer than {MIN_PROBES} layers of any operator: add measurements."
        )
    energy: SettingModel | PowerModel | None = None
    names = ", ".join(table.path.name for table in tables)
    if measured.all():
        trees, _ = fit_layers(layers, energies_mj, sub_progress(progress, share, 1.0))
        energy = SettingModel("energy", {"threads": 1}, {}, trees, RuntimeTerms())
    elif measured.any():
        known = [layer for layer, one in zip(layers, measured, strict=True) if one]
        power_w = energies_mj[measured] / times_ms[measured]
        energy = PowerModel.fit(f"table {names}", known, times_ms[measured], power_w)
        notes.append(
            f"{len(known)} of {len(layers)} layers have an energy: that of the others is their time times power."
        )
    return table_model(device, f"table {names}", operators, energy=energy), [*notes, *few]


def fit_layers(
    layers: Sequence[Layer],
    values: np.ndarray,
    progress: ProgressCallback = silent,
    structure: SettingModel | None = None,
) -> tuple[dict[tuple[str, str], OperatorModel], list[str]]:
    """Trees of the times in ms (or energies in mJ) ``[n]`` of different `layers`, and notes on operators with too few."""
    groups: dict[tuple[str, str], list[int]] = {}
    for i, layer in enumerate(layers):
        groups.setdefault(kind_of(layer), []).append(i)
    operators: dict[tuple[str, str], OperatorModel] = {}
    notes = []
    done = 0
    for (op, dtype), members in groups.items():
        progress(done / len(layers), f"{op} {dtype}")
        done += len(members)
        if len(members) < MIN_PROBES:
            notes.append(
                f"{op} {dtype} has {len(members)} layers, at least {MIN_PROBES} are needed: it counts as not measured."
            )
            continue
        rows = [layers[i] for i in members], values[members]
        known = structure.operators.get((op, dtype)) if structure is not None else None
        operators[op, dtype] = fit_leaves(known, *rows) if known else fit_table_operator(op, dtype, *rows)
    rng = np.random.default_rng(0)
    for dtype in sorted({dtype for _, dtype in operators}):
        all_of_it = np.array([i for (_, kind), members in groups.items() if kind == dtype for i in members])
        sample = np.sort(rng.permutation(all_of_it)[:_SAMPLE])
        rows = [layers[i] for i in sample], values[sample]
        operators[FALLBACK, dtype] = fit_operator(FALLBACK, dtype, *rows)
    for (op, dtype), members in groups.items():
        if len(members) < MIN_PROBES and (FALLBACK, dtype) in operators:
            few = [layers[i] for i in members], values[members]
            operators[FALLBACK + op, dtype] = scaled_to(operators[FALLBACK, dtype], op, *few)
    return operators, notes


def scaled_to(general: OperatorModel, op: str, layers: Sequence[Layer], values: np.ndarray) -> OperatorModel:
    """What stands in for all operators, as high as the few `layers` of `op` are."""
    factor = float(np.exp(np.mean(np.log(values / np.maximum(general.predict_ms(geometry(layers)), 1e-12)))))
    tree = TimeTreeRegressor(**general.tree.get_params())
    tree.restore(general.tree.nodes_, general.tree.scale_ * factor, general.tree.n_features_in_)
    return replace(general, op=FALLBACK + op, tree=tree, sweeps=[])


def table_model(
    device: str,
    source: str,
    operators: Mapping[tuple[str, str], OperatorModel],
    terms: RuntimeTerms | None = None,
    energy: SettingModel | PowerModel | None = None,
) -> TimeModel:
    """A time model of one setting, of which only its source is known."""
    setting = SettingModel(
        source, {"runtime": source, "threads": 1}, {}, operators, terms or RuntimeTerms(), energy=energy
    )
    return TimeModel(device, {source: setting})


def fit_table_operator(
    op: str, dtype: str, layers: Sequence[Layer], times_ms: np.ndarray, seed: int = 0
) -> OperatorModel:
    """Learn the times of `op` from `MIN_PROBES` layers or more, each once, with the features that predict rows held back better."""
    array = geometry(layers)
    parallel = parallel_family(op) if len(layers) >= 4 * MIN_PROBES else None
    tried = []
    for family in (family_of(op), parallel):
        if family is None:
            continue
        tiles = sampled_tiles(family, array, times_ms, seed)
        matrix, costs, sizes = feature_matrix(family, array, tiles)
        fit = partial(_grown, costs, sizes)
        held_out = _held_out(fit, matrix, times_ms, seed)
        error = float(np.minimum(np.abs(held_out / times_ms - 1.0), 0.5).mean())
        tried.append((error, fit, matrix, tiles, held_out, "parallel" if family is parallel else ""))
    _, fit, matrix, tiles, held_out, chosen = min(tried, key=lambda row: row[0])
    return describe(op, dtype, layers, times_ms, fit(matrix, times_ms), tiles, held_out, chosen)


def fit_leaves(
    structure: OperatorModel, layers: Sequence[Layer], times_ms: np.ndarray, seed: int = 0
) -> OperatorModel:
    """The splits and tiles of `structure`, which another device taught, with leaves fitted to these `layers`."""
    matrix = structure.matrix(geometry(layers))
    fit = partial(refit, structure.tree)
    tree, held_out = fit(matrix, times_ms), _held_out(fit, matrix, times_ms, seed)
    op, dtype, tiles = structure.op, structure.dtype, structure.tiles
    return describe(op, dtype, layers, times_ms, tree, tiles, held_out, structure.device)


def sampled_tiles(family: Family, array: np.ndarray, times_ms: np.ndarray, seed: int = 0) -> dict[str, int]:
    """`find_tiles` with a sample of rows, which is enough to find the tiles."""
    sample = np.random.default_rng(seed).permutation(len(times_ms))[:_SAMPLE]
    return find_tiles(family, array[sample], times_ms[sample])


def _grown(
    costs: Sequence[str], sizes: Sequence[str], matrix: np.ndarray, times_ms: np.ndarray
) -> TimeTreeRegressor:
    """A tree of at most `MAX_LEAVES` leaves, fitted to least mean relative error."""
    n = len(times_ms)
    tree = unfitted_tree(
        costs,
        sizes,
        max_leaves=MAX_LEAVES,
        min_samples_leaf=min(25, max(5, n // 6 if n < 72 else max(12, n // 100))),
        min_gain=0.003 if n < _FEW else 0.0005,
        thresholds=24 if n < _FEW else 64,
        cv=min(4, n // 4) if n < _FEW else 0,
    )
    return refit(tree.fit(matrix, times_ms), matrix, times_ms)


def _held_out(
    fit: Callable[[np.ndarray, np.ndarray], TimeTreeRegressor],
    matrix: np.ndarray,
    times_ms: np.ndarray,
    seed: int,
) -> np.ndarray:
    """What trees that had not seen a row predict for it ``[n]``."""
    folds = np.random.default_rng(seed).permutation(len(times_ms)) % FOLDS
    result = np.empty(len(times_ms))
    for fold in range(FOLDS):
        inside = folds != fold
        tree = fit(matrix[inside], times_ms[inside])
        result[~inside] = np.maximum(tree.predict_rows(matrix[~inside]), 0.0)
    return result
