"""The answers of all stages that have run so far, combined: one weight per network, fitted by likelihood."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from selector.runtime import log_softmax

RIDGE = 1e-3
"""How strongly weights are drawn to the last network alone: little, so that the best ones are unique."""

MOST_VALUES = 400_000
"""A fit looks at no more probabilities of one network: a few weights need no more rows."""

_STEPS = 60
_DONE = 1e-10


class Combiner:
    """Weights for sets of networks, each fitted once and then remembered.

    The combined answer of networks is ``log_softmax(sum of weight * log probability)``; a single network's weight is so the
    inverse of its temperature.

    Parameters
    ----------
    log_probabilities
        Of each network alone [networks, rows, classes].
    y
        Classes [rows].
    row_weights
        How much each row counts [rows]; None for all the same.
    fixed
        Nothing is fitted: the last network counts alone, as it stands (what published cascades do).
    """

    def __init__(
        self,
        log_probabilities: NDArray[np.float32],
        y: NDArray[np.int64],
        row_weights: NDArray[np.float64] | None = None,
        *,
        fixed: bool = False,
    ) -> None:
        self._log_p = log_probabilities
        rows, classes = log_probabilities.shape[1:]
        most = max(1000, MOST_VALUES // max(classes, 1))
        chosen = np.unique(np.linspace(0, rows - 1, min(rows, most)).round().astype(int))
        self._rows = slice(None) if len(chosen) == rows else chosen
        self._y = y[self._rows]
        counts = np.ones(rows) if row_weights is None else row_weights
        self._counts = counts[self._rows] / counts[self._rows].sum()
        self._fixed = fixed
        self._known: dict[tuple[int, ...], tuple[float, ...]] = {}

    def weights(self, networks: Sequence[int]) -> tuple[float, ...]:
        """Weight of each of the networks that have run, the last one last."""
        key = tuple(networks)
        if key not in self._known:
            if self._fixed:
                self._known[key] = (*(0.0 for _ in key[1:]), 1.0)
            else:
                chosen = self._log_p[list(key)][:, self._rows].astype(np.float64)
                self._known[key] = tuple(likeliest_weights(chosen, self._y, self._counts).tolist())
        return self._known[key]

    def combined(
        self, networks: Sequence[int], log_probabilities: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """Logarithms of the combined probabilities [rows, classes], on the rows of the fit or on others."""
        log_p = self._log_p if log_probabilities is None else log_probabilities
        total = np.zeros_like(log_p[0])
        for weight, network in zip(self.weights(networks), networks, strict=True):
            if weight:
                total += np.float32(weight) * log_p[network]
        return log_softmax(total)


def likeliest_weights(
    log_p: NDArray[np.float64], y: NDArray[np.int64], counts: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The weights, none negative [networks], that make the labels most likely: Newton's method with an active set.

    `log_p` is [networks, rows, classes]; `counts` [rows] adds up to 1. The likelihood is concave in the weights, and a small
    ridge towards the last network alone makes the best ones unique.
    """
    networks = len(log_p)
    goal = np.zeros(networks)
    goal[-1] = 1.0
    labelled = log_p[:, np.arange(len(y)), y]  # [networks, rows]
    log_p = np.ascontiguousarray(
        log_p.transpose(0, 2, 1)
    )  # sums over a few classes are quick where rows lie side by side
    flat = log_p.reshape(networks, -1)

    def look(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        scores = (weights @ flat).reshape(log_p.shape[1:])
        highest = scores.max(axis=0)
        p = np.exp(scores - highest)
        total = p.sum(axis=0)
        likelihood = weights @ labelled - highest - np.log(total)
        return -float(counts @ likelihood) + RIDGE / 2 * float(((weights - goal) ** 2).sum()), p / total

    weights = goal.copy()
    value, p = look(weights)
    for _ in range(_STEPS):
        mean = (p * log_p).sum(axis=1)  # [networks, rows]
        slope = (mean - labelled) @ counts + RIDGE * (weights - goal)
        curvature = (
            (flat * (p * counts).ravel()) @ flat.T - (mean * counts) @ mean.T + RIDGE * np.eye(networks)
        )
        free = (weights > 0) | (slope < 0)
        step = np.zeros(networks)
        step[free] = -np.linalg.solve(curvature[np.ix_(free, free)], slope[free])
        size, found = 1.0, False
        while size > 1e-6 and not found:
            tried = np.maximum(weights + size * step, 0.0)
            new_value, new_p = look(tried)
            found = new_value < value
            size /= 2
        if not found:
            break
        gain, weights, value, p = value - new_value, tried, new_value, new_p
        if gain < _DONE:
            break
    return weights
