"""The search for splits: a tree while it grows, best split first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from timemodel.tree import nonnegative
from timemodel.tree.compiled import CompiledTree, TreeNode

_ROUNDS = 4
_USUAL_ERROR, _TOLERATED = 0.01, 3.0

Split = tuple[float, int, float, int]
"""Gain, feature, threshold, modulus."""


@dataclass(frozen=True)
class SplitSearch:
    """What may be split how: parameters of `timemodel.tree.regressor.TimeTreeRegressor`, with columns as numbers."""

    leaf_columns: Sequence[int]
    split_columns: Sequence[int]
    mod_columns: Sequence[int] | None
    moduli: Sequence[int]
    min_samples_leaf: int
    min_gain: float
    thresholds: int
    shrinkage: float


class Growth:
    """One tree while it grows: all its candidates' moments are taken from the same scaled rows.

    `trust` ``[n]`` is what each row's relative error counts, 1 for what is known well.
    """

    def __init__(self, search: SplitSearch, X: np.ndarray, target: np.ndarray, trust: np.ndarray) -> None:
        self.search = search
        self.X = X
        raw = np.column_stack([np.ones(len(X)), X[:, search.leaf_columns]])
        # Squares of large sizes would drown the others in the moments.
        largest = np.abs(raw).max(axis=0)
        self.column_scale = np.where(largest > 0, largest, 1.0)
        weights = trust / np.maximum(np.abs(target), 1e-3)
        self.trust = trust
        rows = raw / self.column_scale * weights[:, None]
        size = np.sqrt(np.mean(rows**2, axis=0))
        self.norm = np.where(size > 0, size, 1.0)
        self.rows = rows / self.norm
        self.goal = target * weights
        whole = {
            j
            for j in search.split_columns
            if np.array_equal(X[:, j], np.round(X[:, j])) and X[:, j].max(initial=0) > 1
        }
        self.multiple = whole if search.mod_columns is None else whole & set(search.mod_columns)
        self.nodes: list[TreeNode] = []
        self.members: dict[int, np.ndarray] = {}
        self.best: dict[int, Split | None] = {}
        everything = np.arange(len(X))
        self._add(everything, nonnegative.solve(*self._moments(everything)))

    def _moments(self, members: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rows, goal = self.rows[members], self.goal[members]
        return rows.T @ rows, rows.T @ goal

    def _shrunk(
        self, gram: np.ndarray, moment: np.ndarray, parent: np.ndarray, samples: np.ndarray | int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Moments with the pull towards the parent's coefficients put in as extra samples."""
        diagonal = np.einsum("...jj->...j", gram)
        samples = np.maximum(np.asarray(samples, dtype=np.float64)[..., None], 1.0)
        # A cost that hardly occurs among the samples says little of its price: there the parent's stands.
        floor = 0.02 * diagonal.max(axis=-1, keepdims=True)
        pull = self.search.shrinkage / samples * (diagonal + floor)
        shrunk = gram.copy()
        np.einsum("...jj->...j", shrunk)[...] += pull
        return shrunk, moment + pull * parent

    def _add(self, members: np.ndarray, coefficients: np.ndarray) -> int:
        residual = self.rows[members] @ coefficients - self.goal[members]
        loss = float(residual @ residual)
        self.nodes.append(TreeNode(coefficients=coefficients, samples=len(members), loss=loss))
        at = len(self.nodes) - 1
        self.members[at] = members
        return at

    def grow(self, leaves: int, held_out: np.ndarray | None = None) -> list[np.ndarray]:
        """Split best-first up to `leaves`; returns the predictions of `held_out` by trees of 1, 2, … leaves."""
        curve = [] if held_out is None else [self._held_out(held_out)]
        while len(self.members) < leaves:
            for at in self.members:
                if at not in self.best:
                    self.best[at] = self._best_split(at)
            total = sum(self.nodes[at].loss for at in self.members)
            open_ = [(split[0], -at) for at, split in self.best.items() if at in self.members and split]
            if not open_ or total <= 0:
                break
            gain, at = max(open_)
            if gain < self.search.min_gain * total:
                break
            self._split(-at)
            if held_out is not None:
                curve.append(self._held_out(held_out))
        return curve

    def _split(self, at: int) -> None:
        split = self.best.pop(at)
        assert split is not None
        members = self.members.pop(at)
        node = self.nodes[at]
        node.gain, node.feature, node.threshold, node.modulus = split
        left = node.goes_left(self.X[members, node.feature])
        sides = []
        for side in (members[left], members[~left]):
            gram, moment = self._shrunk(*self._moments(side), node.coefficients, len(side))
            sides.append(self._add(side, nonnegative.solve(gram, moment)))
        node.left, node.right = sides

    def _best_split(self, at: int) -> Split | None:
        """The split of least error of its two fitted leaves: (gain, feature, threshold, modulus)."""
        members, node, least = self.members[at], self.nodes[at], self.search.min_samples_leaf
        if len(members) < 2 * least:
            return None
        rows, goal = self.rows[members], self.goal[members]
        p = rows.shape[1]
        # Upper triangle of each row's outer product, its product with the goal and the goal's square, all in one table to sum.
        a, b = np.triu_indices(p)
        table = np.column_stack([rows[:, a] * rows[:, b], rows * goal[:, None], goal**2, np.ones(len(rows))])
        sums, whats = [], []
        for feature in self.search.split_columns:
            value = self.X[members, feature]
            order = np.argsort(value, kind="stable")
            ordered = value[order]
            ends = np.flatnonzero(np.diff(ordered) > 0) + 1
            ends = ends[(ends >= least) & (ends <= len(members) - least)]
            if len(ends) > self.search.thresholds:
                picks = ends[np.round(np.linspace(0, len(ends) - 1, self.search.thresholds)).astype(int)]
                if feature in self.multiple:
                    # Steps stand at multiples of a power of two: look on both sides of each.
                    below, above = ordered[ends - 1], ordered[ends]
                    step = np.exp2(np.floor(np.log2(np.maximum(above, 2))) - 1)
                    edge = np.floor(above / step) * step
                    picks = np.concatenate([picks, ends[(below < edge) | (below == edge)]])
                ends = np.unique(picks)
            if len(ends):
                parts = np.add.reduceat(table[order], np.concatenate([[0], ends]), axis=0)
                sums.append(np.cumsum(parts[:-1], axis=0))
                middle = (ordered[ends - 1] + ordered[ends]) / 2
                whats += [(feature, float(t), 0) for t in middle]
            if feature in self.multiple:
                for modulus in self.search.moduli:
                    hit = np.mod(value, modulus) == 0
                    if least <= hit.sum() <= len(members) - least:
                        sums.append(table[hit].sum(axis=0)[None])
                        whats.append((feature, 0.0, int(modulus)))
        if not whats:
            return None
        left = np.concatenate(sums)
        both = np.concatenate([left, table.sum(axis=0) - left])
        pairs = len(a)
        gram = np.empty((len(both), p, p))
        gram[:, a, b] = gram[:, b, a] = both[:, :pairs]
        moment, squares, counts = both[:, pairs:-2], both[:, -2], both[:, -1]
        shrunk, pulled = self._shrunk(gram, moment, node.coefficients, counts)
        fitted = nonnegative.solve_many(shrunk, pulled, node.coefficients)
        losses = nonnegative.loss(gram, moment, squares, fitted)
        gains = node.loss - (losses[: len(left)] + losses[len(left) :])
        # Rounding must not decide between equal splits: the first within a billionth of the best is taken.
        first = int(np.flatnonzero(gains >= gains.max() - 1e-9 * max(node.loss, 1e-300))[0])
        return (float(gains[first]), *whats[first])

    def _held_out(self, X: np.ndarray) -> np.ndarray:
        at = CompiledTree(self.nodes, self.search.leaf_columns, 1.0).leaves(list(X.T))
        raw = np.column_stack([np.ones(len(X)), X[:, self.search.leaf_columns]])
        coefficients = np.array([node.coefficients for node in self.nodes])[at]
        return np.einsum("ij,ij->i", raw / self.column_scale / self.norm, coefficients)

    def finish(self) -> list[TreeNode]:
        """Fit the leaves once more, reweighted, and put coefficients back into the units of the features."""
        for at, members in self.members.items():
            node = self.nodes[at]
            rows, goal = self.rows[members], self.goal[members]
            for _ in range(_ROUNDS):
                fitted = rows @ node.coefficients * np.sign(goal) / self.trust[members]
                # sqrt(1 / (y * f)) instead of 1 / y, within bounds that keep one outlier from ruling the leaf.
                weight = np.sqrt(np.clip(fitted, 0.5, 2.0)) ** -1
                # Rows that the leaf is not about (another kernel, a disturbed measurement) are weighted down: one that is
                # predicted ten times too long would otherwise pull as hard as a hundred that are off by its whole time.
                error = np.abs(np.log(np.clip(fitted, 0.02, 50.0)))
                usual = max(float(np.median(error)), _USUAL_ERROR)
                strange = np.maximum(1.0, error / (_TOLERATED * usual))
                weight = weight / np.sqrt(strange * np.maximum(1.0, fitted))
                weighted = rows * weight[:, None]
                moments = weighted.T @ weighted, weighted.T @ (goal * weight)
                gram, moment = self._shrunk(*moments, node.coefficients, len(members))
                node.coefficients = nonnegative.solve(gram, moment)
        for node in self.nodes:
            node.coefficients = node.coefficients / self.norm / self.column_scale
        return self.nodes
