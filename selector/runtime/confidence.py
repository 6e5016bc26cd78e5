"""How sure a network is of its answer, for many rows at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

KINDS = ("margin", "top", "entropy")
"""Largest probability minus the second; the largest alone; one minus the entropy relative to its highest value."""

FLOOR = 1 / 512
"""Half a step of an int8 softmax: a probability of zero there means less than this."""


def log_softmax(scores: NDArray[Any]) -> NDArray[np.float32]:
    """Logarithms of probabilities [rows, classes] from any scores [rows, classes]."""
    shifted = scores - scores.max(axis=-1, keepdims=True)
    return (shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))).astype(np.float32, copy=False)


def log_probabilities(outputs: NDArray[Any], form: str) -> NDArray[np.float32]:
    """Outputs of a network [rows, classes], ``"probabilities"`` or ``"logits"``, as logarithms of probabilities."""
    if form == "logits":
        return log_softmax(outputs)
    return log_softmax(np.log(np.maximum(outputs, FLOOR)))


def confidence(log_p: NDArray[Any], kind: str) -> NDArray[np.float32]:
    """Confidence of each row [rows], 0 to 1, from logarithms of probabilities [rows, classes].

    Examples
    --------
    >>> p = np.log(np.array([[0.7, 0.2, 0.1]]))
    >>> float(confidence(p, "margin")[0].round(3)), float(confidence(p, "top")[0].round(3))
    (0.5, 0.7)
    """
    if kind == "entropy":
        entropy = -(np.exp(log_p) * log_p).sum(axis=-1)
        return (1 - entropy / np.log(log_p.shape[-1])).astype(np.float32, copy=False)
    if kind == "top":
        return np.exp(log_p.max(axis=-1)).astype(np.float32, copy=False)
    if kind != "margin":
        raise ValueError(f"confidence is one of {', '.join(KINDS)}, not {kind!r}")
    two = np.exp(np.partition(log_p, -2, axis=-1)[..., -2:])
    return (two[..., 1] - two[..., 0]).astype(np.float32, copy=False)
