"""Classifiers of premodels: fitted with scikit-learn, kept as the arrays that `selector.runtime.premodel.classifiers` reads."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

FITTED = ("knn", "tree", "svm_linear", "svm_rbf", "naive_bayes")

NEIGHBOURS = 5
_MOST_DEPTH = 8

Arrays = dict[str, NDArray[Any]]


def fit_classifier(
    kind: str, features: NDArray[np.float64], labels: NDArray[np.int64], seed: int = 0
) -> tuple[str, Arrays]:
    """Fit one classifier to normalised features [rows, features] and labels [rows].

    Returns
    -------
    tuple
        The kind, ``"constant"`` where there is one label only, and the arrays.
    """
    classes, own = np.unique(labels, return_inverse=True)
    own = own.ravel()
    if len(classes) < 2:
        return "constant", {"classes": classes.astype(np.int64)}
    fits = {
        "knn": _knn,
        "tree": _tree,
        "svm_linear": _linear,
        "svm_rbf": _kernel,
        "naive_bayes": _bayes,
    }
    if kind not in fits:
        raise ValueError(f"a classifier is one of {', '.join(FITTED)}, not {kind!r}")
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # that an optimiser stopped early: cross-validation judges what came of it
        arrays = fits[kind](features, own, seed)
    return kind, {"classes": classes.astype(np.int64), **arrays}


def _knn(features: NDArray[np.float64], labels: NDArray[np.int64], seed: int) -> Arrays:
    return {
        "rows": np.asarray(features, np.float64),
        "labels": labels.astype(np.int64),
        "neighbours": np.array(min(NEIGHBOURS, len(labels))),
    }


def _tree(features: NDArray[np.float64], labels: NDArray[np.int64], seed: int) -> Arrays:
    from sklearn.tree import DecisionTreeClassifier

    model = DecisionTreeClassifier(max_depth=_MOST_DEPTH, min_samples_leaf=5, random_state=seed)
    tree = model.fit(features, labels).tree_
    return {
        "left": tree.children_left.astype(np.int64),
        "right": tree.children_right.astype(np.int64),
        "feature": np.maximum(tree.feature, 0).astype(np.int64),
        "threshold": tree.threshold.astype(np.float64),
        "answers": tree.value[:, 0].argmax(axis=1).astype(np.int64),
    }


def _linear(features: NDArray[np.float64], labels: NDArray[np.int64], seed: int) -> Arrays:
    from sklearn.svm import LinearSVC

    model = LinearSVC(dual="auto", random_state=seed).fit(features, labels)
    return {"weights": model.coef_, "offsets": model.intercept_}


def _kernel(features: NDArray[np.float64], labels: NDArray[np.int64], seed: int) -> Arrays:
    """For more than two classes one machine for each against the rest; all share the support vectors of any."""
    from sklearn.svm import SVC

    gamma = 1.0 / (features.shape[1] * max(float(features.var()), 1e-12))
    count = int(labels.max()) + 1
    duals = np.zeros((1 if count == 2 else count, len(features)))
    offsets = np.empty(len(duals))
    for number in range(len(duals)):
        model = SVC(kernel="rbf", gamma=gamma).fit(features, labels == (1 if count == 2 else number))
        duals[number, model.support_] = model.dual_coef_[0]
        offsets[number] = model.intercept_[0]
    used = np.flatnonzero(duals.any(axis=0))
    return {
        "vectors": np.asarray(features[used], np.float64),
        "duals": duals[:, used],
        "offsets": offsets,
        "gamma": np.array(gamma),
    }


def _bayes(features: NDArray[np.float64], labels: NDArray[np.int64], seed: int) -> Arrays:
    from sklearn.naive_bayes import GaussianNB

    model = GaussianNB().fit(features, labels)
    return {"means": model.theta_, "variances": model.var_, "priors": model.class_prior_}
