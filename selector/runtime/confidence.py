"""How sure a network is of its answer, for many rows at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

KINDS = ("margin", "top", "entropy")
"""Largest probability minus the second; the largest alone; one minus the entropy relative to its highest value."""

FLOOR = 1 / 512
"""Half a step of an int8 softmax: a probability of zero there means less than this."""

FEW = 32
"""Up to so many classes, what is worked out class by class for all rows at once is quicker than row by row."""


def log_softmax(scores: NDArray[Any]) -> NDArray[np.float32]:
    """Logarithms of probabilities [rows, classes] from any scores [rows, classes]."""
    shifted = scores - scores.max(axis=-1, keepdims=True)
    return (shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))).astype(np.float32, copy=False)


def scores(outputs: NDArray[Any], form: str) -> NDArray[np.float32]:
    """Logarithms of probabilities [rows, classes] but for what is the same for all classes of a row: softmax takes no notice."""
    if form == "logits":
        return outputs.astype(np.float32, copy=False)
    p = np.maximum(outputs, np.float32(FLOOR)).astype(np.float32, copy=False)
    return np.log(p, out=p)


def log_probabilities(outputs: NDArray[Any], form: str) -> NDArray[np.float32]:
    """Outputs of a network [rows, classes], ``"probabilities"`` or ``"logits"``, as logarithms of probabilities."""
    if form == "logits":
        return log_softmax(outputs)
    p = np.maximum(outputs, np.float32(FLOOR)).astype(np.float32, copy=False)
    np.divide(p, p.sum(axis=-1, keepdims=True), out=p)
    return np.log(p, out=p)


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
    first, second = _two_highest(log_p)
    return (np.exp(first) - np.exp(second)).astype(np.float32, copy=False)


def _two_highest(values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """The highest and the second highest of the last axis; a partition takes up to 300 times as long."""
    classes = values.shape[-1]
    if classes > FEW:
        flat = values.reshape(-1, classes)
        rows, named = np.arange(len(flat)), flat.argmax(axis=1)
        rest = flat.copy()
        rest[rows, named] = -np.inf
        return flat[rows, named].reshape(values.shape[:-1]), rest.max(axis=1).reshape(values.shape[:-1])
    first, second = values[..., 0].copy(), np.full(values.shape[:-1], -np.inf, values.dtype)
    for one in range(1, classes):
        np.maximum(second, np.minimum(first, values[..., one]), out=second)
        np.maximum(first, values[..., one], out=first)
    return first, second


def by_class(outputs: NDArray[Any]) -> NDArray[Any]:
    """The same outputs [rows, classes], with the values of a class next to each other where all here is then quicker."""
    return np.asfortranarray(outputs) if outputs.shape[-1] <= FEW and len(outputs) > FEW else outputs
