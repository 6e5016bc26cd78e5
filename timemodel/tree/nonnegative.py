"""Least squares with non-negative coefficients: exact for one problem, and fast for thousands of small ones at once."""

from __future__ import annotations

import numpy as np
from scipy.optimize import nnls


def solve(gram: np.ndarray, moment: np.ndarray) -> np.ndarray:
    """The ``b >= 0`` ``[p]`` of least ``|A b - t|``, exactly; `gram` is ``A' A`` ``[p, p]`` and `moment` ``A' t`` ``[p]``."""
    diagonal = np.diagonal(gram)
    used = diagonal > 1e-12 * diagonal.max(initial=0.0)
    if not used.all():
        # A column of zeros may have any coefficient, and rounding would give it a huge one.
        found = np.zeros(len(moment))
        if used.any():
            found[used] = solve(gram[np.ix_(used, used)], moment[used])
        return found
    values, vectors = np.linalg.eigh(gram)
    keep = values > max(values[-1], 0.0) * 1e-12
    if not keep.any():
        return np.zeros(len(moment))
    root = np.sqrt(values[keep])
    rows, goal = (vectors[:, keep] * root).T, (vectors[:, keep].T @ moment) / root
    return nnls(rows, goal, maxiter=50 * len(moment))[0]


def solve_many(gram: np.ndarray, moment: np.ndarray, start: np.ndarray, sweeps: int = 40) -> np.ndarray:
    """Approximate `solve` for many problems ``[n, …]`` at once, by cyclic coordinate descent from `start`, 0 or more."""
    b = np.array(np.broadcast_to(start, moment.shape), dtype=np.float64)
    diagonal = np.einsum("njj->nj", gram)
    floor = 1e-12 * diagonal.max(axis=1, keepdims=True)
    usable = diagonal > floor
    inverse = np.where(usable, 1.0 / np.where(usable, diagonal, 1.0), 0.0)
    columns = [np.ascontiguousarray(gram[:, :, j]) for j in range(gram.shape[1])]
    slack = moment - np.einsum("njk,nk->nj", gram, b)
    for _ in range(sweeps):
        for j, column in enumerate(columns):
            new = np.maximum(0.0, b[:, j] + slack[:, j] * inverse[:, j])
            step = new - b[:, j]
            b[:, j] = new
            slack -= column * step[:, None]
    return b


def loss(gram: np.ndarray, moment: np.ndarray, total: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Squared error ``|A b - t|^2`` of many problems, from their moments; `total` is ``t' t``."""
    quadratic = np.einsum("nj,njk,nk->n", b, gram, b)
    return np.maximum(0.0, quadratic - 2.0 * np.einsum("nj,nj->n", b, moment) + total)
