"""What a layer waits for where a device computes and moves data at the same time: the slowest of several parts.

Each part is linear in some costs. Which part a layer waits for is not measured; it is found together with what the costs take.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from timemodel.tree import nonnegative

Parts = Mapping[str, Mapping[str, float]]
"""By part, what a unit of each of its costs takes; `CALL` is what the part takes at least."""

CALL = "call"
_ROUNDS = 8
_TIGHT = 0.03
"""A part alone takes no longer than a layer; for this share of the layers that may fail."""
_OFTEN, _OF_FEW = 0.5, 0.15
"""A cost that fewer layers have depends on where these were placed, which is told wrong for some: more of them may fail."""
_FEWEST = 6
_COUNTS = 0.5
"""Larger relative errors count as much as this one."""


def part_times(costs: Mapping[str, np.ndarray], parts: Parts) -> np.ndarray:
    """What each part takes, ``[n, parts]``."""
    columns = []
    for units in parts.values():
        total = np.full(len(next(iter(costs.values()))), units.get(CALL, 0.0))
        for name, each in units.items():
            if name != CALL:
                total = total + each * costs[name]
        columns.append(total)
    return np.column_stack(columns)


def fit_parts(
    costs: Mapping[str, np.ndarray], named: Mapping[str, Sequence[str]], times: np.ndarray
) -> dict[str, dict[str, float]]:
    """What the costs of each part take, so that the slowest part explains `times` ``[n]`` best.

    `named` lists the costs of each part; by the first of them the search begins.
    """
    if not named:
        return {}
    tables = {
        part: np.column_stack([np.ones(len(times)), *(costs[name] for name in names)]) / times[:, None]
        for part, names in named.items()
    }
    units = {part: _begin(table) for part, table in tables.items()}
    best, least = dict(units), np.inf
    for _ in range(_ROUNDS):
        shares = np.column_stack([tables[part] @ units[part] for part in tables])
        error = _error(shares)
        if error < least:
            best, least = dict(units), error
        slowest = shares.argmax(axis=1)
        for at, part in enumerate(tables):
            mine = (slowest == at) | (shares[:, at] > 1.0)
            if mine.sum() >= _FEWEST:
                # What a part would take several times too long for is no such case: it says less of the price.
                units[part] = _solved(tables[part][mine], 1.0 / np.maximum(shares[mine, at], 1.0))
    return {
        part: {name: float(each) for name, each in zip((CALL, *named[part]), found, strict=True) if each > 0}
        for part, found in best.items()
    }


def _begin(table: np.ndarray) -> np.ndarray:
    """The largest price of a part's first cost with which it takes no longer than nearly all layers that have some of that."""
    begin = np.zeros(table.shape[1])
    paid = table[table[:, 1] > 0, 1]
    if len(paid):
        few = len(paid) < _OFTEN * len(table)
        begin[1] = np.quantile(1.0 / paid, _OF_FEW if few else _TIGHT)
    return begin


def _error(shares: np.ndarray) -> float:
    """Mean relative error of the slowest part."""
    return float(np.minimum(np.abs(shares.max(axis=1) - 1.0), _COUNTS).mean())


def parts_error(costs: Mapping[str, np.ndarray], parts: Parts, times: np.ndarray) -> float:
    """How far the slowest part is off, as a share; large errors count half."""
    return _error(part_times(costs, parts) / times[:, None])


def _solved(table: np.ndarray, weights: np.ndarray) -> np.ndarray:
    rows = table * weights[:, None]
    norm = np.sqrt(np.mean(rows**2, axis=0))
    norm[norm == 0] = 1.0
    scaled = rows / norm
    return nonnegative.solve(scaled.T @ scaled, scaled.T @ weights) / norm
