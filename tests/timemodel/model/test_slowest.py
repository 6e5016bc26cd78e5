from __future__ import annotations

import numpy as np
import pytest

from timemodel.model.slowest import CALL, fit_parts, part_times, parts_error

NAMED = {"computing": ("macs",), "memory": ("bytes", "weights")}


def rows(count: int = 200) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {name: np.exp(rng.uniform(0, 6, count)) for name in ("macs", "bytes", "weights")}


def test_what_a_layer_waits_for_is_found_from_its_time_alone():
    costs = rows()
    true = {"computing": {"macs": 2.0}, "memory": {CALL: 1.0, "bytes": 0.5, "weights": 3.0}}
    found = fit_parts(costs, NAMED, part_times(costs, true).max(axis=1))
    assert found["computing"]["macs"] == pytest.approx(2.0, rel=0.01)
    assert found["memory"]["bytes"] == pytest.approx(0.5, rel=0.02)
    assert found["memory"]["weights"] == pytest.approx(3.0, rel=0.02)
    assert parts_error(costs, found, part_times(costs, true).max(axis=1)) < 0.01


def test_a_part_that_no_layer_waits_for_is_no_slower_than_any_layer():
    costs = rows()
    times = 100 * (costs["bytes"] + costs["weights"])
    found = part_times(costs, fit_parts(costs, NAMED, times))
    assert np.mean(found[:, 0] <= 1.01 * times) > 0.9


def test_nothing_is_fitted_where_nothing_is_paid_at_the_same_time():
    assert fit_parts(rows(), {}, np.ones(200)) == {}


def test_a_cost_that_few_layers_have_gets_a_price_from_those_alone():
    costs = rows()
    costs["outside"] = np.where(np.arange(200) < 4, costs["bytes"], 0.0)
    times = 2.0 * costs["macs"]
    found = fit_parts(costs, {"computing": ("macs",), "outside": ("outside",)}, times)
    # Too few to learn from: no more than what these layers take, and by no means what the others would allow.
    assert found["outside"]["outside"] <= (times[:4] / costs["bytes"][:4]).max()
    assert parts_error(costs, found, times) < 0.01


def test_layers_that_were_placed_wrong_do_not_spoil_the_price_of_the_others():
    costs = rows()
    costs["outside"] = np.where(np.arange(200) % 3 == 0, costs["bytes"], 0.0)
    times = np.maximum(costs["macs"], 50 * costs["outside"])
    wrong = np.arange(200) % 30 == 0  # a tenth of them stayed inside after all
    times = np.where(wrong, costs["macs"], times)
    found = fit_parts(costs, {"computing": ("macs",), "outside": ("outside",)}, times)
    assert found["outside"]["outside"] == pytest.approx(50, rel=0.25)
