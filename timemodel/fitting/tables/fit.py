"""From tables of layer measurements to a time model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from profiler.errors import DataError
from profiler.network import Layer
from profiler.progress import ProgressCallback, silent
from timemodel.features import Family, family_of, geometry, kernel_of, parallel_family
from timemodel.fitting.tables.table import LayerTable
from timemodel.model import (
    FALLBACK,
    MIN_PROBES,
    OperatorModel,
    SettingModel,
    TimeModel,
    describe,
    feature_matrix,
    find_tiles,
    fit_operator,
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
    seed: int = 0,
    structure: SettingModel | None = None,
) -> tuple[TimeModel, list[str]]:
    """Learn a device's time model from tables of its layers.

    Parameters
    ----------
    device
        Its name.
    structure
        Another device's model: where it knows an operator, its splits and tiles are kept and only leaves are fitted.

    Returns
    -------
    model : TimeModel
    notes : list of str
        What the user should know of rows that count once, and of operators with too few rows.

    Raises
    ------
    DataError
        No operator has `MIN_PROBES` layers.
    """
    layers: list[Layer] = []
    times: list[float] = []
    notes: list[str] = []
    for table in tables:
        own, own_times, reported = table.distinct()
        layers += own
        times += own_times.tolist()
        notes += reported
    groups: dict[tuple[str, str], list[int]] = {}
    for i, layer in enumerate(layers):
        groups.setdefault((kernel_of(layer), layer.dtype), []).append(i)
    times_ms = np.array(times)
    operators: dict[tuple[str, str], OperatorModel] = {}
    done = 0
    for (op, dtype), members in groups.items():
        progress(done / len(layers), f"{op} {dtype}")
        done += len(members)
        if len(members) < MIN_PROBES:
            notes.append(
                f"{op} {dtype} has {len(members)} layers, at least {MIN_PROBES} are needed: it counts as not measured."
            )
            continue
        chosen = [layers[i] for i in members]
        known = structure.operators.get((op, dtype)) if structure is not None else None
        if known is not None:
            operators[op, dtype] = fit_leaves(known, chosen, times_ms[members], seed)
        else:
            operators[op, dtype] = fit_table_operator(op, dtype, chosen, times_ms[members], seed)
    if not operators:
        raise DataError(
            f"{tables[0].path} holds fewer than {MIN_PROBES} layers of any operator: add measurements."
        )
    rng = np.random.default_rng(seed)
    for dtype in sorted({dtype for _, dtype in operators}):
        all_of_it = np.array([i for (_, kind), members in groups.items() if kind == dtype for i in members])
        sample = np.sort(rng.permutation(all_of_it)[:_SAMPLE])
        operators[FALLBACK, dtype] = fit_operator(
            FALLBACK, dtype, [layers[i] for i in sample], times_ms[sample], seed
        )
    names = ", ".join(table.path.name for table in tables)
    return table_model(device, f"table {names}", operators), notes


def table_model(
    device: str,
    source: str,
    operators: Mapping[tuple[str, str], OperatorModel],
    terms: RuntimeTerms | None = None,
) -> TimeModel:
    """A time model of one setting, of which only its source is known."""
    setting = SettingModel(source, {"runtime": source, "threads": 1}, {}, operators, terms or RuntimeTerms())
    return TimeModel(device, {source: setting})


def fit_table_operator(
    op: str, dtype: str, layers: Sequence[Layer], times_ms: np.ndarray, seed: int = 0
) -> OperatorModel:
    """Learn the times of `op` from rows of a table, with the features that predict rows held back better.

    Parameters
    ----------
    layers
        At least `MIN_PROBES`, each once.
    times_ms : ndarray [len(layers)]
        Above 0.
    seed
        Draws the folds.
    """
    array = geometry(layers)
    candidates = [family_of(op)]
    parallel = parallel_family(op)
    if parallel is not None and len(layers) >= 4 * MIN_PROBES:
        candidates.append(parallel)
    folds = np.random.default_rng(seed).permutation(len(layers)) % FOLDS
    best: tuple[float, Family, dict[str, int], np.ndarray] | None = None
    for family in candidates:
        tiles = sampled_tiles(family, array, times_ms, seed)
        held_out = _held_out(family, tiles, array, times_ms, folds)
        error = float(np.minimum(np.abs(held_out / times_ms - 1.0), 0.5).mean())
        if best is None or error < best[0]:
            best = error, family, tiles, held_out
    assert best is not None
    _, family, tiles, held_out = best
    matrix = feature_matrix(family, array, tiles)[0]
    tree = refit(grow(family, tiles, array, times_ms), matrix, times_ms)
    return describe(op, dtype, layers, times_ms, tree, tiles, held_out, family is parallel)


def fit_leaves(
    structure: OperatorModel, layers: Sequence[Layer], times_ms: np.ndarray, seed: int = 0
) -> OperatorModel:
    """The splits and tiles of `structure`, which another device taught, with leaves fitted to these `layers`."""
    matrix = structure.matrix(geometry(layers))
    folds = np.random.default_rng(seed).permutation(len(layers)) % FOLDS
    held_out = np.empty(len(layers))
    for fold in range(FOLDS):
        inside = folds != fold
        tree = refit(structure.tree, matrix[inside], times_ms[inside])
        held_out[~inside] = np.maximum(tree.predict_rows(matrix[~inside]), 0.0)
    tree = refit(structure.tree, matrix, times_ms)
    return describe(
        structure.op, structure.dtype, layers, times_ms, tree, structure.tiles, held_out, structure.parallel
    )


def grow(
    family: Family, tiles: Mapping[str, int], array: np.ndarray, times_ms: np.ndarray
) -> TimeTreeRegressor:
    """The splits of an operator's tree: at most `MAX_LEAVES` leaves."""
    matrix, costs, sizes = feature_matrix(family, array, tiles)
    n = len(times_ms)
    tree = TimeTreeRegressor(
        range(len(costs)),
        range(len(costs), len(costs) + len(sizes)),
        max_leaves=MAX_LEAVES,
        min_samples_leaf=min(25, max(5, n // 6 if n < 72 else max(12, n // 100))),
        min_gain=0.003 if n < _FEW else 0.0005,
        thresholds=24 if n < _FEW else 64,
        cv=min(4, n // 4) if n < _FEW else 0,
    )
    return tree.fit(matrix, times_ms)


def sampled_tiles(family: Family, array: np.ndarray, times_ms: np.ndarray, seed: int = 0) -> dict[str, int]:
    """`find_tiles` with so many rows as tell the tiles apart."""
    sample = np.random.default_rng(seed).permutation(len(times_ms))[:_SAMPLE]
    return find_tiles(family, array[sample], times_ms[sample])


def _held_out(
    family: Family, tiles: Mapping[str, int], array: np.ndarray, times_ms: np.ndarray, folds: np.ndarray
) -> np.ndarray:
    """What trees that had not seen a row predict for it ``[n]``."""
    matrix = feature_matrix(family, array, tiles)[0]
    result = np.empty(len(times_ms))
    for fold in range(FOLDS):
        inside = folds != fold
        tree = refit(grow(family, tiles, array[inside], times_ms[inside]), matrix[inside], times_ms[inside])
        result[~inside] = np.maximum(tree.predict_rows(matrix[~inside]), 0.0)
    return result
