"""How far a network's outputs move: one number that needs no labels and sees what accuracy on few rows does not."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def divergence(before: Any, after: Any) -> float:
    """Mean divergence of outputs (arrays [rows, ...], or a list with one for each output) from the original's.

    Outputs of one score per class [rows, classes]: Kullback-Leibler divergence of the classes' probabilities, in nats per row.
    Others: the mean square of the difference over the original's variance. The largest over all outputs counts; infinite where
    an output is not finite.

    Examples
    --------
    >>> round(divergence(np.array([[0.5, 0.5]]), np.array([[0.25, 0.75]])), 4)
    0.1438
    """
    first = before if isinstance(before, (list, tuple)) else [before]
    second = after if isinstance(after, (list, tuple)) else [after]
    return max(
        _one(np.asarray(a, np.float64), np.asarray(b, np.float64)) for a, b in zip(first, second, strict=True)
    )


def _one(before: npt.NDArray, after: npt.NDArray) -> float:
    if not np.isfinite(after).all():
        return float("inf")
    if before.ndim == 2 and before.shape[1] > 1:
        p, q = _log_probabilities(before, before), _log_probabilities(after, before)
        return float(np.mean(np.sum(np.exp(p) * (p - q), axis=1)))
    gap = float(np.mean((before - after) ** 2))
    variance = max(float(before.var()), 1e-4 * float(np.mean(before**2)))
    return gap / variance if variance else gap


def _log_probabilities(outputs: npt.NDArray, like: npt.NDArray) -> npt.NDArray:
    """Logarithms [rows, classes]; `like` says whether outputs are probabilities or logits."""
    if like.min() >= 0 and np.allclose(like.sum(axis=1), 1.0, atol=0.02):
        floor = np.maximum(outputs, 1e-6)  # a quantised softmax gives zeros
        return np.log(floor / floor.sum(axis=1, keepdims=True))
    highest = outputs.max(axis=1, keepdims=True)
    return outputs - highest - np.log(np.exp(outputs - highest).sum(axis=1, keepdims=True))
