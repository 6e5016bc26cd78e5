"""Splits that several devices have in common."""

import numpy as np
import pytest

from benchmarks.gpu_layers.shared_tree import fit_structure, grow_shared
from profiler.operators import fully_connected
from timemodel.fitting.tables import fit_leaves
from timemodel.tree import refit


def device(below, above, step=40.0, low=1.0, high=100.0, seed=0, count=300):
    """A cost at one price up to `step` and at another beyond it."""
    x = np.random.default_rng(seed).uniform(low, high, count).round()
    return np.column_stack([x, x]), np.where(x <= step, below * x, above * x)


def test_a_step_that_devices_share_is_found_and_serves_another_device():
    tree = grow_shared([device(1, 2), device(30, 45, seed=1)], costs=1, min_samples_leaf=10)
    assert 38 <= tree.nodes_[0].threshold <= 42
    X, y = device(0.5, 3.0, seed=2, count=60)
    assert refit(tree, X, y).predict_rows(X) == pytest.approx(y, rel=0.05)


def test_steps_in_opposite_directions_are_found_though_their_mean_has_none():
    tree = grow_shared([device(1, 3), device(3, 1, seed=1)], costs=1, min_samples_leaf=10)
    assert 38 <= tree.nodes_[0].threshold <= 42


def test_a_device_that_was_not_measured_beyond_a_step_does_not_hide_it():
    tree = grow_shared([device(1, 2), device(1, 1, high=35.0, seed=1)], costs=1, min_samples_leaf=10)
    assert 38 <= tree.nodes_[0].threshold <= 42


def test_multiples_are_found():
    x = np.random.default_rng(0).integers(1, 200, 400).astype(float)
    groups = [(np.column_stack([x, x]), np.where(x % 8 == 0, x, factor * x)) for factor in (2.0, 3.0)]
    assert grow_shared(groups, costs=1, min_samples_leaf=10).nodes_[0].modulus == 8


def test_growth_does_not_depend_on_units_and_keeps_its_bounds():
    groups = [device(1, 2), device(30, 45, seed=1)]
    tree = grow_shared(groups, costs=1, max_leaves=3, min_gain=0.0, min_samples_leaf=20)
    other = grow_shared(
        [(X, 1e6 * y) for X, y in groups], costs=1, max_leaves=3, min_gain=0.0, min_samples_leaf=20
    )
    splits = [[(n.feature, n.threshold, n.modulus) for n in t.nodes_] for t in (tree, other)]
    assert splits[0] == splits[1]
    assert tree.n_leaves_ <= 3
    assert all(node.samples >= 20 for node in tree.nodes_)


def test_without_steps_there_is_one_leaf():
    assert grow_shared([device(2, 2), device(5, 5, seed=1)], costs=1).n_leaves_ == 1


def test_structure_of_devices_and_leaves_of_another():
    rng = np.random.default_rng(0)

    def rows(count, price):
        layers = [
            fully_connected(int(i), int(o), rows=int(b))
            for b, i, o in zip(
                rng.integers(1, 33, count), rng.integers(16, 2000, count), rng.integers(16, 2000, count),
                strict=True,
            )
        ]  # fmt: skip
        times = [
            0.05 + price * x.inputs[1].size * (1e-7 if x.inputs[0].shape[0] <= 8 else 3e-7) for x in layers
        ]
        return layers, np.array(times)

    structure = fit_structure("fully_connected", "float32", [rows(300, 1.0), rows(300, 4.0)])
    assert structure.parallel
    layers, times = rows(60, 20.0)
    model = fit_leaves(structure, layers, times)
    assert model.error.mean_error < 0.05
    assert [n.threshold for n in model.tree.nodes_] == [n.threshold for n in structure.tree.nodes_]
