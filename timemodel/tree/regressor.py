"""`TimeTreeRegressor`: a tree of readable splits with non-negative linear leaves, as FastDeepIoT's (Yao et al., SenSys 2018).

Splits are judged by the error of the two *fitted* leaves; growing best-first makes every smaller tree a prefix of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from timemodel.tree.compiled import CompiledTree, TreeNode
from timemodel.tree.growth import Growth, SplitSearch

_LEAST_NET = 0.05

USUAL_ERROR = 0.05
"""What a tree is off by on layers that are known exactly."""


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
        so that differences that are small beside it count, too.

    Attributes
    ----------
    nodes_ : list of TreeNode
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

    def fit(self, X: Any, y: Any, uncertainty: Any = None) -> TimeTreeRegressor:
        """Learn from rows `X` ``[n, features]`` and times `y` ``[n]`` in any unit.

        `uncertainty` ``[n]`` is the relative standard deviation of each time; rows beyond that of `USUAL_ERROR`, which trees
        are off by anyway, count less for it. None: all are known as well.
        """
        X, y = validate_data(self, X, y, dtype=np.float64, y_numeric=True, ensure_min_samples=2)
        y = np.asarray(y, dtype=np.float64)
        size = np.median(np.abs(y[y != 0])) if np.any(y != 0) else 1.0
        self.scale_ = float(size)
        # Times that hardly exceed the offset hold more noise than time.
        net = np.maximum(y - self.offset, _LEAST_NET * np.abs(y)) if self.offset else y
        target = net / self.scale_
        leaf, split, least = self.leaf_features, self.split_features, self.min_samples_leaf
        columns = self._columns(leaf), self._columns(split), self.mod_features
        search = SplitSearch(*columns, self.moduli, least, self.min_gain, self.thresholds, self.shrinkage)
        spread = np.zeros(len(y)) if uncertainty is None else np.asarray(uncertainty, dtype=np.float64)
        trust = 1.0 / np.sqrt(1.0 + (spread / USUAL_ERROR) ** 2)
        growth = Growth(search, X, target, trust)
        wanted = self.max_leaves
        self.held_out_ = np.full(len(y), np.nan)
        if self.cv and len(y) >= 4 * self.min_samples_leaf:
            wanted = self._choose_leaves(search, X, target, trust)
        growth.grow(wanted)
        self.nodes_ = growth.finish()
        for node in self.nodes_:
            node.coefficients[0] += self.offset / self.scale_
        self.held_out_ += self.offset
        self._compile()
        return self

    def restore(self, nodes: list[TreeNode], scale: float, features: int) -> None:
        """Take over a fitted tree that was saved."""
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
        self._compile()

    def predict(self, X: Any) -> np.ndarray:
        """Times ``[n]`` of rows `X` ``[n, features]``, in the unit of `fit`'s `y`."""
        check_is_fitted(self, "nodes_")
        X = validate_data(self, X, dtype=np.float64, reset=False)
        return self.predict_rows(X)

    def predict_rows(self, X: np.ndarray) -> np.ndarray:
        """`predict` without the checks, for callers that made `X` themselves."""
        return self.compiled_.predict(list(np.asfortranarray(X).T))

    def apply_rows(self, X: np.ndarray) -> np.ndarray:
        """Index of the leaf in `nodes_` that each row of `X` falls into, ``[n]``."""
        return self.compiled_.leaves(list(np.asfortranarray(X).T))

    def _compile(self) -> None:
        self.n_leaves_ = sum(node.feature < 0 for node in self.nodes_)
        self.leaf_columns_ = np.asarray(self._columns(self.leaf_features))
        self.compiled_ = CompiledTree(self.nodes_, self.leaf_columns_.tolist(), self.scale_)

    def _columns(self, chosen: Sequence[int] | None) -> list[int]:
        return list(range(self.n_features_in_)) if chosen is None else [int(i) for i in chosen]

    def _choose_leaves(
        self, search: SplitSearch, X: np.ndarray, target: np.ndarray, trust: np.ndarray
    ) -> int:
        """Number of leaves of least held-out error, preferring fewer within a hundredth of it."""
        folds = np.random.default_rng(self.random_state).permutation(len(target)) % self.cv
        held_out = np.empty((self.max_leaves, len(target)))
        length = 1
        for fold in range(self.cv):
            inside = folds != fold
            growth = Growth(search, X[inside], target[inside], trust[inside])
            rows = growth.grow(self.max_leaves, X[~inside])
            length = max(length, len(rows))
            held_out[:, ~inside] = rows[-1]
            held_out[: len(rows), ~inside] = rows
        error = np.abs(held_out[:length] - target) / np.maximum(np.abs(target), 1e-3)
        # A few strange rows must not decide, so errors count up to a half.
        curve = (np.minimum(error, 0.5) * trust**2).mean(axis=1)
        best = int(np.flatnonzero(curve <= curve.min() * 1.01 + 1e-12)[0])
        self.held_out_ = held_out[best] * self.scale_
        return best + 1

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        # Leaves cannot slope downwards, which scikit-learn's synthetic regression data wants.
        tags.regressor_tags.poor_score = True
        return tags
