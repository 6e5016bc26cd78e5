"""One tree's splits for several devices at once: each has leaves of its own, a split must pay on all of them together.

A kernel changes its way of working at the same sizes on related devices, at prices that differ. Splits that are judged by the
fitted leaves of every device carry over to a device that had no part in them; splits of a single device, or of heaped-up times
of several, partly follow what is peculiar to one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from profiler.network import Layer
from timemodel.features import family_of, geometry, parallel_family
from timemodel.fitting.tables import MAX_LEAVES, sampled_tiles
from timemodel.model import OperatorModel, describe, feature_matrix
from timemodel.tree import TimeTreeRegressor, TreeNode, nonnegative, refit

_SHRINKAGE = 0.5
_THRESHOLDS = 48
_MODULI = (2, 4, 8, 16, 32)


class _Group:
    """The rows of one device, scaled so that plain least squares means relative error."""

    def __init__(self, X: np.ndarray, y: np.ndarray, leaf: np.ndarray) -> None:
        self.X = X
        raw = np.column_stack([np.ones(len(X)), X[:, leaf]])
        rows = raw / y[:, None]
        norm = np.sqrt(np.mean(rows**2, axis=0))
        self.norm = np.where(norm > 0, norm, 1.0)
        rows = rows / self.norm
        self.scale = float(np.median(y))
        p = rows.shape[1]
        self.pairs = np.triu_indices(p)
        a, b = self.pairs
        # Each row's outer product, its product with the goal (which is 1), and itself: what sums of rows need.
        self.table = np.column_stack([rows[:, a] * rows[:, b], rows, np.ones(len(rows))])
        self.width = p
        self.weight = 1.0
        _, alone = self.solve(self.table.sum(axis=0)[None], np.zeros(p))
        # Devices whose times scatter must not drown those whose kernels show clearly, nor the other way round.
        self.weight = float(max(alone[0] / len(y), 1e-12)) ** -0.5

    def solve(self, sums: np.ndarray, parent: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Coefficients ``[n, p]`` and weighted losses ``[n]`` of leaves over rows with these `sums` ``[n, columns]``."""
        a, b = self.pairs
        p = self.width
        gram = np.empty((len(sums), p, p))
        gram[:, a, b] = gram[:, b, a] = sums[:, : len(a)]
        moment, count = sums[:, len(a) : -1], sums[:, -1]
        diagonal = np.einsum("njj->nj", gram)
        # The root has no parent to lean on.
        pull = (
            (_SHRINKAGE if parent.any() else 0.0)
            / np.maximum(count, 1.0)[:, None]
            * (diagonal + 0.02 * diagonal.max(axis=1, keepdims=True))
        )
        shrunk = gram.copy()
        np.einsum("njj->nj", shrunk)[...] += pull
        fitted = nonnegative.solve_many(shrunk, moment + pull * parent, parent)
        return fitted, self.weight * nonnegative.loss(gram, moment, count, fitted)


class _Open:
    """A leaf that may be split: its rows and coefficients in every group."""

    def __init__(
        self, members: list[np.ndarray], coefficients: list[np.ndarray], losses: list[float]
    ) -> None:
        self.members = members
        self.coefficients = coefficients
        self.losses = losses
        self.loss = sum(losses)
        self.split: tuple[float, int, float, int] | None = None
        self.searched = False


def fit_structure(
    op: str, dtype: str, devices: Sequence[tuple[Sequence[Layer], np.ndarray]]
) -> OperatorModel:
    """Splits that several devices have in common, for `timemodel.fitting.tables.fit_leaves` on another one.

    Parameters
    ----------
    devices : sequence of (layers, times_ms)
        Each with enough rows to learn from. Their tiles, if the operator's features have any, are those of the first.

    Returns
    -------
    OperatorModel
        Its leaves are the first device's.
    """
    parallel = parallel_family(op)
    family = parallel or family_of(op)
    arrays = [geometry(layers) for layers, _ in devices]
    first_layers, first_ms = devices[0]
    tiles = sampled_tiles(family, arrays[0], first_ms)
    tables = [feature_matrix(family, array, tiles) for array in arrays]
    matrix, costs, _ = tables[0]
    splits = grow_shared(
        [(table[0], times) for table, (_, times) in zip(tables, devices, strict=True)], len(costs), MAX_LEAVES
    )
    tree = refit(splits, matrix, first_ms)
    fitted = np.maximum(tree.predict_rows(matrix), 0.0)
    return describe(op, dtype, first_layers, first_ms, tree, tiles, fitted, "parallel" if parallel else "")


def grow_shared(
    groups: Sequence[tuple[np.ndarray, np.ndarray]],
    costs: int,
    max_leaves: int = 40,
    min_samples_leaf: int = 25,
    min_gain: float = 0.0005,
) -> TimeTreeRegressor:
    """Splits that lower the squared relative error of several devices together, best first.

    Parameters
    ----------
    groups : sequence of (X, y)
        Per device: features ``[n, features]`` in the same columns, and times ``[n]`` above 0 in any unit.
    costs
        The first columns, in which leaves are linear; splits ask about the others.
    max_leaves, min_gain
        As in `TimeTreeRegressor`.
    min_samples_leaf
        Rows on either side of a split, of every device that has a say in it.

    Returns
    -------
    TimeTreeRegressor
        Its leaves are the first device's in units of that device's median time: fit them with `timemodel.tree.refit`.
    """
    leaf = np.arange(costs)
    parts = [_Group(X, y, leaf) for X, y in groups]
    features = groups[0][0].shape[1]
    root = _fitted(parts, [np.arange(len(g.X)) for g in parts], [np.zeros(costs + 1) for _ in parts])
    nodes: list[TreeNode] = [_node(root, parts)]
    leaves: dict[int, _Open] = {0: root}
    rows_weight = sum(g.weight * len(g.X) for g in parts)
    while len(leaves) < max_leaves:
        for open_ in leaves.values():
            if not open_.searched:
                open_.split = _best_split(parts, open_, range(costs, features), min_samples_leaf)
                open_.searched = True
        total = sum(open_.loss for open_ in leaves.values())
        ready = [(open_.split[0], -at) for at, open_ in leaves.items() if open_.split is not None]
        # What rounding leaves of an exact fit is nothing to split.
        if not ready or total <= 1e-9 * rows_weight or max(ready)[0] < min_gain * total:
            break
        at = -max(ready)[1]
        parent = leaves.pop(at)
        assert parent.split is not None
        gain, feature, threshold, modulus = parent.split
        node = nodes[at]
        node.feature, node.threshold, node.modulus, node.gain = feature, threshold, modulus, gain
        masks = [
            _left(g.X[members, feature], threshold, modulus)
            for g, members in zip(parts, parent.members, strict=True)
        ]
        for side in (True, False):
            members = [m[mask == side] for m, mask in zip(parent.members, masks, strict=True)]
            child = _fitted(parts, members, parent.coefficients)
            leaves[len(nodes)] = child
            if side:
                node.left = len(nodes)
            else:
                node.right = len(nodes)
            nodes.append(_node(child, parts))
    tree = TimeTreeRegressor(range(costs), range(costs, features), max_leaves=max_leaves)
    tree.restore(nodes, 1.0, features)
    return tree


def _left(value: np.ndarray, threshold: float, modulus: int) -> np.ndarray:
    return np.mod(value, modulus) == 0 if modulus else value <= threshold


def _fitted(parts: Sequence[_Group], members: list[np.ndarray], parents: list[np.ndarray]) -> _Open:
    coefficients, all_losses = [], []
    for group, rows, parent in zip(parts, members, parents, strict=True):
        fitted, losses = group.solve(group.table[rows].sum(axis=0)[None], parent)
        coefficients.append(fitted[0])
        all_losses.append(float(losses[0]))
    return _Open(members, coefficients, all_losses)


def _node(leaf: _Open, parts: Sequence[_Group]) -> TreeNode:
    first = parts[0]
    return TreeNode(
        coefficients=leaf.coefficients[0] / first.norm / first.scale,
        samples=sum(len(m) for m in leaf.members),
        loss=leaf.loss,
    )


def _best_split(
    parts: Sequence[_Group], leaf: _Open, columns: range, least: int
) -> tuple[float, int, float, int] | None:
    """The split of least error over all groups: (gain, feature, threshold, modulus)."""
    if max(len(m) for m in leaf.members) < 2 * least:
        return None
    what: list[tuple[int, float, int]] = []
    for feature in columns:
        values = np.concatenate([g.X[m, feature] for g, m in zip(parts, leaf.members, strict=True)])
        what += [(feature, t, 0) for t in _thresholds(values)]
        if values.max() > 1 and np.array_equal(values, np.round(values)):
            what += [(feature, 0.0, modulus) for modulus in _MODULI]
    if not what:
        return None
    gains = np.zeros(len(what))
    allowed = np.zeros(len(what), dtype=bool)
    for group, members, parent, loss in zip(parts, leaf.members, leaf.coefficients, leaf.losses, strict=True):
        X, table = group.X[members], group.table[members]
        masks = np.column_stack([_left(X[:, f], t, k) for f, t, k in what]).astype(np.float64)
        left = masks.T @ table
        right = table.sum(axis=0) - left
        # A device without enough rows on one side, because it was never measured there, has no say in the split.
        says = (left[:, -1] >= least) & (right[:, -1] >= least)
        allowed |= says
        gains[says] += loss
        for side in (left, right):
            gains[says] -= group.solve(side[says], parent)[1]
    if not allowed.any():
        return None
    gains[~allowed] = -np.inf
    best = int(np.argmax(gains))
    return (float(gains[best]), *what[best])


def _thresholds(values: np.ndarray) -> list[float]:
    """Places between distinct values: quantiles, and for sizes the steps before and behind powers of two."""
    distinct = np.unique(values)
    if len(distinct) < 2:
        return []
    middles = (distinct[:-1] + distinct[1:]) / 2
    if len(middles) <= _THRESHOLDS:
        return [float(t) for t in middles]
    ordered = np.sort(values)
    picks = ordered[np.round(np.linspace(0, len(ordered) - 1, _THRESHOLDS + 2)).astype(int)[1:-1]]
    at = np.unique(np.searchsorted(middles, picks))
    chosen = set(middles[np.minimum(at, len(middles) - 1)].tolist())
    if distinct[0] >= 0 and np.array_equal(distinct, np.round(distinct)):
        powers = 2.0 ** np.arange(0, np.floor(np.log2(max(distinct[-1], 1))) + 1)
        for edge in (powers - 0.5, powers + 0.5):
            inside = edge[(edge > distinct[0]) & (edge < distinct[-1])]
            chosen |= set(
                middles[np.minimum(np.searchsorted(distinct, inside) - 1, len(middles) - 1)].tolist()
            )
    return sorted(chosen)
