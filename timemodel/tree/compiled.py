"""A fitted tree as it predicts: rows are handed down in groups, and each leaf works on its own all at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

BLOCK_ROWS = 8192
"""Rows that are worked on at a time: their columns stay in the cache, which makes large batches twice as fast."""


@dataclass
class TreeNode:
    """One node. Leaves have ``feature == -1``; `modulus` 0 means ``feature <= threshold``, else ``feature mod modulus == 0``."""

    feature: int = -1
    threshold: float = 0.0
    modulus: int = 0
    left: int = -1
    right: int = -1
    coefficients: np.ndarray = field(default_factory=lambda: np.zeros(0))  # the constant first
    samples: int = 0
    loss: float = 0.0  # squared relative error of the node's own fit
    gain: float = 0.0  # what its split took off the loss

    def goes_left(self, values: np.ndarray) -> np.ndarray:
        """Which of the `values` of its feature go to the left branch."""
        return np.mod(values, self.modulus) == 0 if self.modulus else values <= self.threshold


class CompiledTree:
    """Nodes laid out for prediction, the root first; `scale` is what the values of leaves are multiples of."""

    def __init__(self, nodes: Sequence[TreeNode], leaf_columns: Sequence[int], scale: float) -> None:
        self._splits = [
            (node.feature, float(node.modulus), node.threshold, node.left, node.right) for node in nodes
        ]
        self._constants = [float(node.coefficients[0]) * scale for node in nodes]
        # Coefficients of 0 are most of them: leaving them out is what makes leaves cheap.
        self._terms = []
        for node in nodes:
            slopes = zip(leaf_columns, node.coefficients[1:], strict=True) if node.feature < 0 else ()
            self._terms.append([(column, float(slope) * scale) for column, slope in slopes if slope != 0])

    def predict(self, columns: Sequence[np.ndarray]) -> np.ndarray:
        """Values ``[n]`` of the rows whose features are `columns`, each ``[n]``."""
        n = len(columns[0])
        if n == 1:
            return np.array([self._value([column[0] for column in columns])])
        values = np.empty(n)
        for leaf, rows in self._groups(columns, n):
            value = np.full(n if rows is None else len(rows), self._constants[leaf])
            for j, slope in self._terms[leaf]:
                value += slope * (columns[j] if rows is None else columns[j][rows])
            if rows is None:
                return value
            values[rows] = value
        return values

    def leaves(self, columns: Sequence[np.ndarray]) -> np.ndarray:
        """Index of the leaf that each row falls into, ``[n]``."""
        n = len(columns[0])
        found = np.zeros(n, dtype=np.intp)
        for leaf, rows in self._groups(columns, n):
            found[slice(None) if rows is None else rows] = leaf
        return found

    def _groups(self, columns: Sequence[np.ndarray], n: int) -> list[tuple[int, np.ndarray | None]]:
        """Leaves that rows fall into, with the rows; None stands for all of them."""
        found: list[tuple[int, np.ndarray | None]] = []
        pending: list[tuple[int, np.ndarray | None]] = [(0, None)] if n else []
        while pending:
            at, rows = pending.pop()
            feature, modulus, threshold, low, high = self._splits[at]
            if feature < 0:
                found.append((at, rows))
                continue
            value = columns[feature] if rows is None else columns[feature][rows]
            left = np.mod(value, modulus) == 0 if modulus else value <= threshold
            count = np.count_nonzero(left)
            if count == len(left):
                pending.append((low, rows))
            elif not count:
                pending.append((high, rows))
            elif rows is None:
                pending += [(low, np.flatnonzero(left)), (high, np.flatnonzero(~left))]
            else:
                pending += [(low, rows[left]), (high, rows[~left])]
        return found

    def _value(self, row: Sequence[float]) -> float:
        """`predict` for one row: a walk without arrays, which for few rows cost more than what they hold."""
        at = 0
        while True:
            feature, modulus, threshold, low, high = self._splits[at]
            if feature < 0:
                break
            left = row[feature] % modulus == 0 if modulus else row[feature] <= threshold
            at = low if left else high
        value = self._constants[at]
        for j, slope in self._terms[at]:
            value += slope * row[j]
        return value
