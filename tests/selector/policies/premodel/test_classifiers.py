"""Every classifier's numpy twin answers as scikit-learn does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier

from selector.policies.premodel.classifiers import FITTED, NEIGHBOURS, fit_classifier
from selector.runtime.premodel.classifiers import classify


def theirs(kind, features, labels):
    gamma = 1 / (features.shape[1] * features.var())
    models = {
        "knn": lambda: KNeighborsClassifier(min(NEIGHBOURS, len(labels)), algorithm="brute"),
        "tree": lambda: DecisionTreeClassifier(max_depth=8, min_samples_leaf=5, random_state=0),
        "svm_linear": lambda: LinearSVC(dual="auto", random_state=0),
        "svm_rbf": lambda: (
            SVC(gamma=gamma) if len(set(labels)) == 2 else OneVsRestClassifier(SVC(gamma=gamma))
        ),
        "naive_bayes": GaussianNB,
    }
    return models[kind]().fit(features, labels)


def rows(classes, seed, count=160):
    random = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    centres = random.normal(size=(classes, 3))
    return centres[labels] + random.normal(size=(count, 3)), labels.astype(np.int64)


@pytest.mark.parametrize("kind", FITTED)
@settings(max_examples=8, deadline=None)
@given(classes=st.integers(2, 4), seed=st.integers(0, 1000))
def test_the_twin_gives_the_same_class_for_every_row(kind, classes, seed):
    features, labels = rows(classes, seed)
    labels = labels * 3 - 1  # classes need not be 0, 1, 2, …
    fitted, arrays = fit_classifier(kind, features, labels)
    new, _ = rows(classes, seed + 1, 300)
    assert fitted == kind
    assert np.array_equal(classify(kind, arrays, new), theirs(kind, features, labels).predict(new))


def test_of_one_label_it_is_always_that():
    kind, arrays = fit_classifier("svm_rbf", np.zeros((4, 2)), np.full(4, 7))
    assert kind == "constant"
    assert classify(kind, arrays, np.zeros((3, 2))).tolist() == [7, 7, 7]


def test_few_rows_have_fewer_neighbours():
    _, arrays = fit_classifier("knn", np.array([[0.0], [1.0], [1.1]]), np.array([0, 1, 1]))
    assert classify("knn", arrays, np.array([[0.0]])).tolist() == [1]  # all three vote


def test_by_hand_the_nearest_five_vote():
    features = np.array([[0.0], [0.1], [0.2], [1.0], [1.1], [1.2], [1.3], [1.4]])
    _, arrays = fit_classifier("knn", features, np.array([0, 0, 0, 1, 1, 1, 1, 1]))
    assert classify("knn", arrays, np.array([[0.1], [0.9], [1.5]])).tolist() == [0, 1, 1]


@pytest.mark.parametrize("kind", FITTED)
def test_one_row_at_a_time_is_answered_as_all_together(kind):
    features, labels = rows(3, 5)
    _, arrays = fit_classifier(kind, features, labels)
    together = classify(kind, arrays, features)
    assert [int(classify(kind, arrays, row[None])[0]) for row in features[:20]] == together[:20].tolist()


def test_unknown_kinds_are_named():
    with pytest.raises(ValueError, match="knn"):
        classify("forest", {}, np.zeros((1, 1)))
    with pytest.raises(ValueError, match="knn"):
        fit_classifier("forest", np.zeros((2, 1)), np.array([0, 1]))
