import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from timemodel.tree import nonnegative


def moments(a, t):
    return a.T @ a, a.T @ t


def test_a_negative_slope_becomes_zero_and_the_rest_refits():
    # t = 3 a - 2 b has its non-negative optimum at b = 0, where a's coefficient is <a, t> / <a, a> = (3*2 - 2*1) / 2 = 2.
    a = np.array([[1.0, 0.0], [1.0, 1.0]])
    t = a @ np.array([3.0, -2.0])
    assert np.allclose(nonnegative.solve(*moments(a, t)), [2.0, 0.0])


def test_a_column_of_zeros_gets_nothing():
    a = np.array([[1.0, 0.0], [2.0, 0.0]])
    assert np.allclose(nonnegative.solve(*moments(a, np.array([2.0, 4.0]))), [2.0, 0.0])


@settings(max_examples=50)
@given(st.integers(0, 10_000))
def test_many_at_once_come_to_the_exact_solution(seed):
    rng = np.random.default_rng(seed)
    a = rng.uniform(0.1, 1.0, (3, 40, 4))
    t = np.einsum("nij,nj->ni", a, rng.uniform(-1, 2, (3, 4)))
    gram, moment = np.einsum("nij,nik->njk", a, a), np.einsum("nij,ni->nj", a, t)
    exact = np.array([nonnegative.solve(g, m) for g, m in zip(gram, moment, strict=True)])
    many = nonnegative.solve_many(gram, moment, np.zeros(4), sweeps=5000)
    squares = np.einsum("ni,ni->n", t, t)
    assert np.all(many >= 0)
    best = nonnegative.loss(gram, moment, squares, exact)
    assert np.allclose(
        nonnegative.loss(gram, moment, squares, many), best, rtol=1e-3, atol=1e-6 * squares.max()
    )


def test_columns_that_are_zero_but_for_rounding_get_no_coefficient():
    rng = np.random.default_rng(0)
    rows = np.column_stack([np.ones(10), rng.uniform(1, 2, 10), np.full(10, 1e-17), rng.uniform(1, 2, 10)])
    goal = rows @ [1.0, 2.0, 0.0, 3.0]
    found = nonnegative.solve(rows.T @ rows, rows.T @ goal)
    assert found[2] == 0
    np.testing.assert_allclose(found[[0, 1, 3]], [1, 2, 3], rtol=1e-6)
