"""Leaves of a known tree fitted anew: kernels change their way of working at the same sizes, at prices that differ."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from timemodel.tree import nonnegative
from timemodel.tree.regressor import TimeTreeRegressor

_ROUNDS = 6
_SHRINKAGE = 0.5
"""Pull of a leaf's coefficients towards its parent's, in samples: leaves that few rows reach lean on it."""
_LEAST_RESIDUAL = 0.02


def refit(tree: TimeTreeRegressor, X: np.ndarray, y: np.ndarray, rounds: int = _ROUNDS) -> TimeTreeRegressor:
    """A new tree with the splits of `tree` and leaves fitted to other rows, to least mean relative error.

    `rounds` of reweighting turn squared relative error into absolute; 0 keeps it squared.
    """
    columns = np.asarray(tree.leaf_columns_)
    scale = float(np.median(y))
    goal = y / scale
    raw = np.column_stack([np.ones(len(X)), X[:, columns]])
    weight = 1.0 / goal
    norm = np.sqrt(np.mean((raw * weight[:, None]) ** 2, axis=0))
    norm = np.where(norm > 0, norm, 1.0)
    nodes = [replace(node) for node in tree.nodes_]
    pending: list[tuple[int, np.ndarray, np.ndarray | None]] = [(0, np.arange(len(X)), None)]
    while pending:
        at, members, parent = pending.pop()
        node = nodes[at]
        node.samples = len(members)
        fitted = _fit(raw[members] / norm, goal[members], parent, rounds)
        rows = raw[members] / norm * weight[members, None]
        node.loss = float(np.sum((rows @ fitted - goal[members] * weight[members]) ** 2))
        node.coefficients = fitted / norm
        if node.feature >= 0:
            left = node.goes_left(X[members, node.feature])
            pending += [(node.left, members[left], fitted), (node.right, members[~left], fitted)]
    new = TimeTreeRegressor(**tree.get_params())
    new.restore(nodes, scale, tree.n_features_in_)
    return new


def _fit(rows: np.ndarray, goal: np.ndarray, parent: np.ndarray | None, rounds: int) -> np.ndarray:
    """Non-negative coefficients of least relative error, pulled to `parent`."""
    prior = np.zeros(rows.shape[1]) if parent is None else parent
    if not len(rows):
        return prior
    relative = rows / goal[:, None]
    # Ones for the reweighting to start from: plain squared relative error.
    weight = np.ones(len(goal))
    solution = prior
    for _ in range(rounds + 1):
        gram = (relative * weight[:, None]).T @ relative
        moment = relative.T @ weight
        diagonal = np.diag(gram)
        pull = np.zeros(len(diagonal))
        if parent is not None:
            pull = _SHRINKAGE / len(goal) * (diagonal + 0.02 * diagonal.max())
        solution = nonnegative.solve(gram + np.diag(pull), moment + pull * prior)
        residual = np.abs(relative @ solution - 1.0)
        weight = 1.0 / np.maximum(residual, _LEAST_RESIDUAL)
        weight /= weight.mean()
    return solution
