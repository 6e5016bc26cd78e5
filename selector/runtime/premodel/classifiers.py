"""Classifiers as arrays, with numpy alone: what scikit-learn fitted gives the same answers here, many rows at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

KINDS = ("knn", "tree", "svm_linear", "svm_rbf", "naive_bayes", "constant")
"""Nearest neighbours, a decision tree, support vectors (linear, Gaussian kernel), Gaussian naive Bayes; always the same class."""

Arrays = Mapping[str, NDArray[Any]]

_MOST_DISTANCES = 1 << 22


def classify(kind: str, arrays: Arrays, features: NDArray[Any]) -> NDArray[np.int64]:
    """Class of each row [rows], from normalised features [rows, features] and the arrays of `selector.policies`' fit.

    Every kind has ``classes``: what an index into its own classes means.
    """
    features = np.asarray(features, np.float64)
    if kind == "constant":
        return np.full(len(features), arrays["classes"][0], np.int64)
    if kind == "knn":
        return np.asarray(arrays["classes"])[_nearest(arrays, features)]
    found = {"tree": _tree, "svm_linear": _linear, "svm_rbf": _kernel, "naive_bayes": _bayes}
    if kind not in found:
        raise ValueError(f"a classifier is one of {', '.join(KINDS)}, not {kind!r}")
    return np.asarray(arrays["classes"])[found[kind](arrays, features)]


def _nearest(arrays: Arrays, features: NDArray[np.float64]) -> NDArray[np.int64]:
    """Majority of the nearest ``neighbours`` rows; of equals the first class."""
    known, labels, k = arrays["rows"], arrays["labels"], int(arrays["neighbours"])
    classes = len(arrays["classes"])
    squares = np.einsum("nf,nf->n", known, known)
    found = np.empty(len(features), np.int64)
    step = max(1, _MOST_DISTANCES // len(known))
    for start in range(0, len(features), step):
        part = features[start : start + step]
        distances = squares - 2.0 * (part @ known.T)  # the row's own square moves no neighbour
        near = np.argpartition(distances, k - 1, axis=1)[:, :k] if k < len(known) else None
        votes = labels[near] if near is not None else np.broadcast_to(labels, (len(part), len(labels)))
        counts = np.zeros((len(part), classes), np.int64)
        np.add.at(counts, (np.arange(len(part))[:, None], votes), 1)
        found[start : start + step] = counts.argmax(axis=1)
    return found


def _tree(arrays: Arrays, features: NDArray[np.float64]) -> NDArray[np.int64]:
    """Walk down from the root, all rows at once, one level at a time."""
    left, right = arrays["left"], arrays["right"]
    feature, threshold = arrays["feature"], arrays["threshold"]
    values = features.astype(np.float32)  # as scikit-learn compares
    nodes = np.zeros(len(values), np.int64)
    while True:
        open_rows = np.flatnonzero(left[nodes] >= 0)
        if not len(open_rows):
            return np.asarray(arrays["answers"])[nodes]
        at = nodes[open_rows]
        goes_left = values[open_rows, feature[at]] <= threshold[at]
        nodes[open_rows] = np.where(goes_left, left[at], right[at])


def _linear(arrays: Arrays, features: NDArray[np.float64]) -> NDArray[np.int64]:
    return _highest(features @ arrays["weights"].T + arrays["offsets"])


def _kernel(arrays: Arrays, features: NDArray[np.float64]) -> NDArray[np.int64]:
    """One support vector machine for each class against the others, or one for two classes."""
    vectors, gamma = arrays["vectors"], float(arrays["gamma"])
    scores = np.empty((len(features), arrays["duals"].shape[0]))
    squares = np.einsum("nf,nf->n", vectors, vectors)
    step = max(1, _MOST_DISTANCES // len(vectors))
    for start in range(0, len(features), step):
        part = features[start : start + step]
        distances = np.einsum("nf,nf->n", part, part)[:, None] + squares - 2.0 * (part @ vectors.T)
        scores[start : start + step] = np.exp(-gamma * np.maximum(distances, 0.0)) @ arrays["duals"].T
    return _highest(scores + arrays["offsets"])


def _bayes(arrays: Arrays, features: NDArray[np.float64]) -> NDArray[np.int64]:
    means, variances = arrays["means"], arrays["variances"]
    # (x - m)² / v as matrix products, so that rows, classes and features are never all laid out.
    inverse = 1.0 / variances
    squares = (
        features**2 @ inverse.T - 2.0 * (features @ (means * inverse).T) + (means**2 * inverse).sum(axis=1)
    )
    constants = np.log(arrays["priors"]) - 0.5 * np.log(2.0 * np.pi * variances).sum(axis=1)
    return (constants - 0.5 * squares).argmax(axis=1)


def _highest(scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """The class of highest score; of two classes there is one score, for the second."""
    if scores.shape[1] == 1:
        return (scores[:, 0] > 0).astype(np.int64)
    return scores.argmax(axis=1)
