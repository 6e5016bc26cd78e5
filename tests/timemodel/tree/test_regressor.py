import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.utils.estimator_checks import parametrize_with_checks

from timemodel.tree import TimeTreeRegressor


@parametrize_with_checks([TimeTreeRegressor()])
def test_estimator_contract(estimator, check):
    check(estimator)


def channels_and_work(n=400, seed=0):
    rng = np.random.default_rng(seed)
    channels = rng.integers(1, 129, n).astype(float)
    work = channels * rng.integers(1, 200, n)
    return np.column_stack([work, channels])


def rules(tree):
    return [(n.feature, n.threshold, n.modulus, n.left, n.right) for n in tree.nodes_]


def test_finds_a_range_split_and_the_slope_on_each_side():
    X = channels_and_work()
    y = np.where(X[:, 1] <= 64, 2.0, 5.0) * X[:, 0]
    tree = TimeTreeRegressor(leaf_features=[0], split_features=[1], moduli=(), shrinkage=0.0).fit(X, y)
    root = tree.nodes_[0]
    assert root.feature == 1
    assert 64 <= root.threshold < 66
    assert np.allclose(tree.predict([[1000.0, 10.0], [1000.0, 100.0]]), [2000.0, 5000.0], rtol=1e-6)


def test_finds_an_integer_multiple():
    X = channels_and_work()
    y = np.where(X[:, 1] % 8 == 0, 1.0, 3.0) * X[:, 0] + 7.0
    tree = TimeTreeRegressor(leaf_features=[0], split_features=[1], shrinkage=0.0).fit(X, y)
    assert tree.nodes_[0].modulus == 8
    assert np.allclose(tree.predict([[500.0, 64.0], [500.0, 63.0]]), [507.0, 1507.0], rtol=1e-6)


def test_leaves_never_slope_downwards():
    rng = np.random.default_rng(1)
    X = rng.uniform(1, 10, (300, 3))
    y = np.maximum(20 - X[:, 0] + 3 * X[:, 1], 0.1)
    tree = TimeTreeRegressor().fit(X, y)
    assert all(np.all(node.coefficients >= 0) for node in tree.nodes_)


@settings(max_examples=15)
@given(st.sampled_from([1e-6, 1e-3, 1e3, 1e6]), st.integers(0, 50))
def test_the_same_tree_from_any_unit_of_time(unit, seed):
    X = channels_and_work(250, seed)
    rng = np.random.default_rng(seed)
    y = (np.where(X[:, 1] % 16 == 0, 1.0, 2.0) * X[:, 0] + 5 * X[:, 1]) * rng.lognormal(0, 0.05, len(X))
    one, other = TimeTreeRegressor(cv=3).fit(X, y), TimeTreeRegressor(cv=3).fit(X, y * unit)
    assert rules(one) == rules(other)
    assert np.allclose(one.predict(X) * unit, other.predict(X), rtol=1e-6)


def test_noise_is_not_split_on():
    X = channels_and_work(300)
    y = (4.0 * X[:, 0] + 100.0) * np.random.default_rng(3).lognormal(0, 0.1, len(X))
    assert TimeTreeRegressor(leaf_features=[0], split_features=[1]).fit(X, y).n_leaves_ <= 4


def test_more_leaves_than_allowed_are_never_grown():
    X = channels_and_work(600)
    y = (X[:, 1] ** 3 + X[:, 0]) + 1
    assert TimeTreeRegressor(max_leaves=3, cv=0).fit(X, y).n_leaves_ == 3


def test_a_cost_that_a_leaf_hardly_saw_is_not_priced_absurdly():
    # Once 2.45e14 %: in one leaf a cost was all but absent, and its coefficient was free to be anything.
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 2, 400)
    size = np.where(kind == 1, rng.uniform(1, 200, 400), rng.uniform(1, 100.001, 400))
    beyond = np.maximum(0.0, size - 100)
    slow = np.flatnonzero(kind == 0)[:3]
    beyond[slow] = 1e-3
    X = np.column_stack([size, beyond, kind])
    y = np.where(kind == 1, 9.0, 2.0) * (size + beyond) * rng.lognormal(0, 0.05, 400)
    y[slow] *= 1.5
    tree = TimeTreeRegressor(leaf_features=[0, 1], split_features=[2], cv=0).fit(X, y)
    assert tree.nodes_[0].feature == 2
    assert 300 < tree.predict([[200.0, 100.0, 0.0]])[0] < 10_000


def test_slow_rows_are_found_though_relative_error_stops_at_one():
    # Kernels with more than 25 taps ran 10 to 30 times slower; the search once kept them in one leaf with the rest.
    rng = np.random.default_rng(0)
    taps = rng.choice([4.0, 9.0, 25.0, 35.0, 49.0], 400, p=[0.2, 0.5, 0.2, 0.05, 0.05])
    work = rng.uniform(100, 10000, 400)
    y = work * taps * np.where(taps > 25, 20.0, 1.0)
    tree = TimeTreeRegressor(leaf_features=[0], split_features=[1]).fit(
        np.column_stack([work * taps, taps]), y
    )
    assert tree.nodes_[0].feature == 1
    assert 25 <= tree.nodes_[0].threshold < 35


def test_restoring_saved_nodes_predicts_the_same():
    X = channels_and_work()
    tree = TimeTreeRegressor().fit(X, np.where(X[:, 1] % 8 == 0, 1.0, 3.0) * X[:, 0] + 7.0)
    other = TimeTreeRegressor()
    other.restore(tree.nodes_, tree.scale_, 2)
    assert np.array_equal(other.predict_rows(X), tree.predict(X))


def test_nodes_that_form_a_loop_are_refused():
    X = channels_and_work()
    tree = TimeTreeRegressor(cv=0).fit(X, np.where(X[:, 1] <= 64, 2.0, 5.0) * X[:, 0])
    tree.nodes_[0].right = 0
    with pytest.raises(ValueError, match="no tree"):
        TimeTreeRegressor().restore(tree.nodes_, tree.scale_, 2)


def test_rows_that_are_known_badly_count_less():
    X = channels_and_work(300)
    y = 2.0 * X[:, 0] + 1.0
    uncertainty = np.zeros(len(X))
    wrong = np.arange(len(X)) % 3 == 0
    y[wrong] *= 1.5
    uncertainty[wrong] = 1.0
    tree = TimeTreeRegressor(leaf_features=[0], split_features=[], cv=0)
    blind = tree.fit(X, y).predict([[100.0, 8.0]])[0]
    told = tree.fit(X, y, uncertainty).predict([[100.0, 8.0]])[0]
    assert abs(told / 201.0 - 1) < 0.01 < abs(blind / 201.0 - 1)


def test_no_uncertainty_is_the_same_as_none():
    X = channels_and_work(250)
    y = np.where(X[:, 1] % 16 == 0, 1.0, 2.0) * X[:, 0] + 5 * X[:, 1]
    one, other = TimeTreeRegressor(cv=3).fit(X, y), TimeTreeRegressor(cv=3).fit(X, y, np.zeros(len(X)))
    assert np.array_equal(one.predict(X), other.predict(X))
