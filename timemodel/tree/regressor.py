"""`TimeTreeRegressor`: a tree of readable splits with non-negative linear leaves, fitted to relative error.

The form is FastDeepIoT's (Yao et al., SenSys 2018): inner nodes ask ``feature <= t`` or ``feature mod k == 0``, leaves are
linear in what costs time. The search is our own: splits are judged by the error of the two *fitted* leaves, all candidates of a
node at once, and the tree grows best-first so that every smaller tree is a prefix of it and cross-validation can choose how
many leaves to keep.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from timemodel.tree import nonnegative
from timemodel.tree.compiled import CompiledTree

_ROUNDS = 4
_USUAL_ERROR, _TOLERATED = 0.01, 3.0
_LEAST_NET = 0.05


@dataclass
class Node:
    """One node. Leaves have ``feature == -1``; `modulus` 0 means ``feature <= threshold``, else ``feature mod modulus == 0``.

    `coefficients` start with the constant; `loss` is the squared relative error of the node's own fit and `gain` what its
    split took off it.
    """

    feature: int = -1
    threshold: float = 0.0
    modulus: int = 0
    left: int = -1
    right: int = -1
    coefficients: np.ndarray = field(default_factory=lambda: np.zeros(0))
    samples: int = 0
    loss: float = 0.0
    gain: float = 0.0


class TimeTreeRegressor(RegressorMixin, BaseEstimator):
    """Tree with splits ``<= t`` and ``mod k == 0`` and non-negative linear leaves.

    Parameters
    ----------
    leaf_features : sequence of int, optional
        Columns of X that leaves are linear in; None means all.
    split_features : sequence of int, optional
        Columns of X that inner nodes may ask about; None means all.
    mod_features : sequence of int, optional
        Columns that may be asked for integer multiples; None means all that hold whole numbers.
    moduli : sequence of int
        The multiples to try.
    max_leaves, min_samples_leaf : int
        Bounds of growth.
    min_gain : float
        A split must lower the tree's whole squared relative error by this share.
    thresholds : int
        Candidates per feature.
    shrinkage : float
        Pull of a leaf's coefficients towards its parent's, in samples.
    cv : int
        Folds that choose the number of leaves; 0 keeps all that `min_gain` allowed.
    random_state : int
        Draws the folds.
    offset : float
        Part of every `y` that has nothing to do with `X`, such as the cost of a call: errors are relative to what is beyond it,
        so that what is small beside it is told apart, too.

    Attributes
    ----------
    nodes_ : list of Node
        The root comes first.
    scale_ : float
        Unit of time that coefficients are multiples of, so that the same tree comes from seconds and from microseconds.
    n_leaves_ : int
    held_out_ : ndarray [n]
        What trees that had not seen a row predicted for it, in the unit of `y`; NaN without cross-validation.

    Notes
    -----
    Minimises ``sum(((y - f(x)) / y) ** 2)`` with one round of reweighting by the geometric mean of measured and predicted
    time, since weighting by ``1 / y`` alone prefers to predict too little.
    """

    def __init__(
        self,
        leaf_features: Sequence[int] | None = None,
        split_features: Sequence[int] | None = None,
        mod_features: Sequence[int] | None = None,
        moduli: Sequence[int] = (2, 4, 8, 16, 32),
        max_leaves: int = 20,
        min_samples_leaf: int = 12,
        min_gain: float = 0.003,
        thresholds: int = 24,
        shrinkage: float = 0.5,
        cv: int = 4,
        random_state: int = 0,
        offset: float = 0.0,
    ) -> None:
        self.leaf_features = leaf_features
        self.split_features = split_features
        self.mod_features = mod_features
        self.moduli = moduli
        self.max_leaves = max_leaves
        self.min_samples_leaf = min_samples_leaf
        self.min_gain = min_gain
        self.thresholds = thresholds
        self.shrinkage = shrinkage
        self.cv = cv
        self.random_state = random_state
        self.offset = offset

    def fit(self, X: Any, y: Any) -> TimeTreeRegressor:
        """Learn from rows `X` ``[n, features]`` and times `y` ``[n]`` in any unit."""
        X, y = validate_data(self, X, y, dtype=np.float64, y_numeric=True, ensure_min_samples=2)
        y = np.asarray(y, dtype=np.float64)
        size = np.median(np.abs(y[y != 0])) if np.any(y != 0) else 1.0
        self.scale_ = float(size)
        # Times that hardly exceed the offset hold more noise than time.
        net = np.maximum(y - self.offset, _LEAST_NET * np.abs(y)) if self.offset else y
        target = net / self.scale_
        leaf = self._columns(self.leaf_features)
        growth = _Growth(self, X, target, leaf)
        wanted = self.max_leaves
        self.held_out_ = np.full(len(y), np.nan)
        if self.cv and len(y) >= 4 * self.min_samples_leaf:
            wanted = self._choose_leaves(X, target, leaf)
        growth.grow(wanted)
        self.nodes_ = growth.finish()
        for node in self.nodes_:
            node.coefficients[0] += self.offset / self.scale_
        self.held_out_ += self.offset
        self.n_leaves_ = sum(node.feature < 0 for node in self.nodes_)
        self.leaf_columns_ = np.asarray(leaf)
        self._compile()
        return self

    def restore(self, nodes: list[Node], scale: float, features: int) -> None:
        """Take over a fitted tree that was saved.

        Raises
        ------
        ValueError
            The nodes form no tree over `features` columns.
        """
        seen = [0]
        for at in seen:
            node = nodes[at] if 0 <= at < len(nodes) else None
            if node is None or node.feature >= features or len(seen) > len(nodes):
                raise ValueError("the nodes form no tree")
            if node.feature >= 0:
                seen += [node.left, node.right]
        if sorted(seen) != list(range(len(nodes))) or not (np.isfinite(scale) and scale > 0):
            raise ValueError("the nodes form no tree")
        self.n_features_in_ = features
        self.nodes_, self.scale_ = nodes, scale
        self.n_leaves_ = sum(node.feature < 0 for node in nodes)
        self.leaf_columns_ = np.asarray(self._columns(self.leaf_features))
        self._compile()

    def predict(self, X: Any) -> np.ndarray:
        """Times ``[n]`` of rows `X` ``[n, features]``, in the unit of `fit`'s `y`."""
        check_is_fitted(self, "nodes_")
        X = validate_data(self, X, dtype=np.float64, reset=False)
        return self.predict_rows(X)

    def predict_rows(self, X: np.ndarray) -> np.ndarray:
        """`predict` without the checks, for callers that made `X` themselves."""
        return self.compiled.predict(list(np.asfortranarray(X).T))

    def apply_rows(self, X: np.ndarray) -> np.ndarray:
        """Index of the leaf in `nodes_` that each row of `X` falls into, ``[n]``."""
        return self.compiled.leaves(list(np.asfortranarray(X).T))

    @property
    def compiled(self) -> CompiledTree:
        """What predicts, without the checks of `predict`."""
        return self._compiled

    def _compile(self) -> None:
        self._compiled = CompiledTree(self.nodes_, [int(i) for i in self.leaf_columns_], self.scale_)

    def _columns(self, chosen: Sequence[int] | None) -> list[int]:
        return list(range(self.n_features_in_)) if chosen is None else [int(i) for i in chosen]

    def _choose_leaves(self, X: np.ndarray, target: np.ndarray, leaf: list[int]) -> int:
        """Number of leaves of least held-out error, preferring fewer within a hundredth of it."""
        folds = np.random.default_rng(self.random_state).permutation(len(target)) % self.cv
        held_out = np.empty((self.max_leaves, len(target)))
        length = 1
        for fold in range(self.cv):
            inside = folds != fold
            growth = _Growth(self, X[inside], target[inside], leaf)
            rows = growth.grow(self.max_leaves, X[~inside])
            length = max(length, len(rows))
            held_out[:, ~inside] = rows[-1]
            held_out[: len(rows), ~inside] = rows
        error = np.abs(held_out[:length] - target) / np.maximum(np.abs(target), 1e-3)
        # A few strange rows must not decide, so errors count up to a half.
        curve = np.minimum(error, 0.5).mean(axis=1)
        best = int(np.flatnonzero(curve <= curve.min() * 1.01 + 1e-12)[0])
        self.held_out_ = held_out[best] * self.scale_
        return best + 1

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        # Leaves cannot slope downwards, which scikit-learn's synthetic regression data wants.
        tags.regressor_tags.poor_score = True
        return tags


class _Growth:
    """One tree while it grows: all its candidates' moments are taken from the same scaled rows."""

    def __init__(self, tree: TimeTreeRegressor, X: np.ndarray, target: np.ndarray, leaf: list[int]) -> None:
        self.tree = tree
        self.X = X
        self.target = target
        self.raw = np.column_stack([np.ones(len(X)), X[:, leaf]])
        # Squares of large sizes would drown the others in the moments.
        largest = np.abs(self.raw).max(axis=0)
        self.column_scale = np.where(largest > 0, largest, 1.0)
        self.magnitude = np.maximum(np.abs(target), 1e-3)
        self.raw = self.raw / self.column_scale
        self.leaf = leaf
        self._weigh(1.0 / self.magnitude)
        split = tree._columns(tree.split_features)
        whole = [
            j for j in split if np.array_equal(X[:, j], np.round(X[:, j])) and X[:, j].max(initial=0) > 1
        ]
        multiple = set(whole if tree.mod_features is None else tree.mod_features) & set(whole)
        self.split, self.multiple = split, multiple
        self.nodes: list[Node] = []
        self.members: dict[int, np.ndarray] = {}
        self.best: dict[int, tuple[float, int, float, int] | None] = {}
        everything = np.arange(len(X))
        gram, moment = self._moments(everything)
        self._add(everything, nonnegative.solve(gram, moment))

    def _weigh(self, weights: np.ndarray) -> None:
        rows = self.raw * weights[:, None]
        size = np.sqrt(np.mean(rows**2, axis=0))
        self.norm = np.where(size > 0, size, 1.0)
        self.rows = rows / self.norm
        self.goal = self.target * weights

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
        pull = self.tree.shrinkage / samples * (diagonal + floor)
        shrunk = gram.copy()
        np.einsum("...jj->...j", shrunk)[...] += pull
        return shrunk, moment + pull * parent

    def _add(self, members: np.ndarray, coefficients: np.ndarray, gain: float = 0.0) -> int:
        residual = self.rows[members] @ coefficients - self.goal[members]
        self.nodes.append(
            Node(coefficients=coefficients, samples=len(members), loss=float(residual @ residual), gain=gain)
        )
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
            if gain < self.tree.min_gain * total:
                break
            self._split(-at)
            if held_out is not None:
                curve.append(self._held_out(held_out))
        return curve

    def _split(self, at: int) -> None:
        split = self.best.pop(at)
        assert split is not None
        gain, feature, threshold, modulus = split
        members = self.members.pop(at)
        value = self.X[members, feature]
        left = np.mod(value, modulus) == 0 if modulus else value <= threshold
        node = self.nodes[at]
        node.feature, node.threshold, node.modulus, node.gain = feature, threshold, modulus, gain
        sides = []
        for side in (members[left], members[~left]):
            gram, moment = self._shrunk(*self._moments(side), node.coefficients, len(side))
            sides.append(self._add(side, nonnegative.solve(gram, moment)))
        node.left, node.right = sides

    def _best_split(self, at: int) -> tuple[float, int, float, int] | None:
        """The split of least error of its two fitted leaves: (gain, feature, threshold, modulus)."""
        members, node, least = self.members[at], self.nodes[at], self.tree.min_samples_leaf
        if len(members) < 2 * least:
            return None
        rows, goal = self.rows[members], self.goal[members]
        p = rows.shape[1]
        # Upper triangle of each row's outer product, its product with the goal and the goal's square, all in one table to sum.
        a, b = np.triu_indices(p)
        table = np.column_stack([rows[:, a] * rows[:, b], rows * goal[:, None], goal**2, np.ones(len(rows))])
        sums, whats = [], []
        for feature in self.split:
            value = self.X[members, feature]
            order = np.argsort(value, kind="stable")
            ordered = value[order]
            ends = np.flatnonzero(np.diff(ordered) > 0) + 1
            ends = ends[(ends >= least) & (ends <= len(members) - least)]
            if len(ends) > self.tree.thresholds:
                picks = ends[np.round(np.linspace(0, len(ends) - 1, self.tree.thresholds)).astype(int)]
                if feature in self.multiple:
                    # Steps stand at multiples of a power of two: look on both sides of each.
                    below, above = ordered[ends - 1], ordered[ends]
                    step = np.exp2(np.floor(np.log2(np.maximum(above, 2))) - 1)
                    edge = np.floor(above / step) * step
                    picks = np.concatenate([picks, ends[(below < edge) | (below == edge)]])
                ends = np.unique(picks)
            if len(ends):
                running = np.cumsum(
                    np.add.reduceat(table[order], np.concatenate([[0], ends]), axis=0)[:-1], axis=0
                )
                sums.append(running)
                middle = (ordered[ends - 1] + ordered[ends]) / 2
                whats += [(feature, float(t), 0) for t in middle]
            if feature in self.multiple:
                for modulus in self.tree.moduli:
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
        at = self._route(X)
        raw = np.column_stack([np.ones(len(X)), X[:, self.leaf]]) / self.column_scale / self.norm
        coefficients = np.array([n.coefficients for n in self.nodes])[at]
        return np.einsum("ij,ij->i", raw, coefficients)

    def _route(self, X: np.ndarray) -> np.ndarray:
        at = np.zeros(len(X), dtype=np.intp)
        for i, node in enumerate(self.nodes):
            if node.feature < 0:
                continue
            here = at == i
            value = X[here, node.feature]
            left = np.mod(value, node.modulus) == 0 if node.modulus else value <= node.threshold
            at[here] = np.where(left, node.left, node.right)
        return at

    def finish(self) -> list[Node]:
        """Fit the leaves once more, reweighted, and put coefficients back into the units of the features."""
        for at, members in self.members.items():
            node = self.nodes[at]
            rows, goal = self.rows[members], self.goal[members]
            for _ in range(_ROUNDS):
                fitted = rows @ node.coefficients * np.sign(goal)
                # sqrt(1 / (y * f)) instead of 1 / y, within bounds that keep one outlier from ruling the leaf.
                weight = np.sqrt(np.clip(fitted, 0.5, 2.0)) ** -1
                # Rows that the leaf is not about (another kernel, a disturbed measurement) are weighted down: one that is
                # predicted ten times too long would otherwise pull as hard as a hundred that are off by its whole time.
                error = np.abs(np.log(np.clip(fitted, 0.02, 50.0)))
                usual = max(float(np.median(error)), _USUAL_ERROR)
                weight = weight / np.sqrt(
                    np.maximum(1.0, error / (_TOLERATED * usual)) * np.maximum(1.0, fitted)
                )
                weighted = rows * weight[:, None]
                gram, moment = self._shrunk(
                    weighted.T @ weighted, weighted.T @ (goal * weight), node.coefficients, len(members)
                )
                node.coefficients = nonnegative.solve(gram, moment)
        for node in self.nodes:
            node.coefficients = node.coefficients / self.norm / self.column_scale
        return self.nodes
