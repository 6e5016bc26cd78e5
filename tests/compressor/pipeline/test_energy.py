"""Energy as a limit and as what is made small, on a made-up device that knows it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from compressor import Data, Options, Schedule, compress
from compressor.costs import narrowest
from compressor.pipeline.prepare import Limits, check_goal
from compressor.pipeline.result import CompressionResult
from compressor.search import Goal, get_method
from compressor.search.deepiot import FastDeepIoT
from compressor.testing.device import FormulaTimeModel
from compressor.testing.keras_task import bars, bars_network, bars_prepared, keras_bench
from profiler.errors import BudgetError, UsageError

MJ_PER_MAC = 1e-9
HURRIED = Schedule(epochs=1, batch_size=16, learning_rate=1e-6)


@pytest.fixture(scope="module")
def prepared():
    """The bars network on a device whose predictions have energy."""
    found, device = bars_prepared(), FormulaTimeModel(mj_per_mac=MJ_PER_MAC)
    known = replace(found, time_model=device)
    original = replace(found.original, costs=known.costs(found.original.configuration))
    return replace(known, original=original)


def test_energy_of_a_candidate_is_what_the_prediction_has(prepared):
    full = prepared.original.configuration
    network = prepared.times.network(full)
    expected = prepared.time_model.predict(network).energy_mj
    assert prepared.costs(full).energy_mj == expected > MJ_PER_MAC * network.macs
    cost, budget = prepared.cost_of(Goal(most_energy_mj=0.5))
    assert (cost.exact(full), budget) == (expected, 0.5)
    assert prepared.costs(narrowest(full)).energy_mj < expected / 5
    assert prepared.original.to_dict()["energy_mj"] == expected


def test_fast_estimates_of_energy_follow_what_the_prediction_has(prepared):
    full = prepared.original.configuration
    cost, _ = prepared.cost_of(Goal(most_energy_mj=0.5))
    name = next(iter(full.widths))
    widths = [1, 3, full.widths[name]]
    made = [full.with_widths({name: width}) for width in widths]
    exact = [cost.exact(one) for one in made]
    assert cost.cheap
    assert cost.many(made) == pytest.approx(exact)
    assert cost.by_width(full, name, widths) == pytest.approx(exact)


def test_the_loss_of_fastdeepiot_is_steered_by_the_energy_that_is_limited(prepared):
    goal = Goal(most_energy_mj=0.5 * prepared.original.costs.energy_mj)
    bench = keras_bench()
    costs = prepared.single_costs(goal)
    problem = replace(bench, others={**bench.others, "energy": costs["energy"]}).problem(goal)
    full = problem.full
    p = {name: np.full(width, 0.5) for name, width in full.widths.items()}
    half = full.with_widths({name: max(1, round(width / 2)) for name, width in full.widths.items()})
    found = FastDeepIoT(window=1e-6).steering(problem).slopes(p)
    for name, slope in found.items():
        reach = max(1, round(math.sqrt(full.widths[name] / 4)))
        low, high = max(1, half.widths[name] - reach), min(full.widths[name], half.widths[name] + reach)
        least, most = costs["energy"].by_width(half, name, [low, high])
        assert slope == pytest.approx(math.log(most / least) / (high - low))
        assert slope > 0


def test_progress_is_told_in_the_unit_of_what_steers():
    assert Goal(most_energy_mj=1.0).unit == Goal(least_score=0.9, minimize="energy").unit == "mJ"
    assert Goal(budget_ms=1.0, most_energy_mj=1.0).unit == Goal(least_score=0.9).unit == "ms"
    assert Goal(most_bytes=1.0).unit == "bytes"


def test_limits_of_energy_that_are_met_already_or_never_are_told(prepared):
    now = prepared.original.costs.energy_mj
    with pytest.raises(UsageError, match=r"takes .* mJ already \(predicted\), within the limit of"):
        check_goal(prepared, Goal(most_energy_mj=2 * now))
    with pytest.raises(BudgetError, match=r"within 1e-09 mJ can .* the one of least energy takes .* mJ"):
        check_goal(prepared, Goal(most_energy_mj=1e-9))
    check_goal(prepared, Goal(most_energy_mj=0.5 * now))


def test_energy_can_be_what_is_made_small(prepared):
    limits = Limits(max_accuracy_drop=10.0, minimize="energy")
    limits.check()
    goal = replace(limits.goal(prepared.original), least_score=0.9)
    costs = prepared.single_costs(goal)
    bench = keras_bench()
    bench = replace(bench, others={**bench.others, "energy": costs["energy"]})
    problem = bench.problem(goal)
    best = get_method("uniform").run(problem)[0]
    assert goal.met_by(best)
    energy = costs["energy"]
    assert best.costs.energy_mj == energy.exact(best.configuration) < 0.8 * energy.exact(bench.full)
    assert best.costs.energy_mj == min(t.costs.energy_mj for t in problem.trials if t.score >= 0.9)


def test_a_limit_on_energy_is_kept_and_shown(prepared, tmp_path):
    """From the limit to the result, for the network as it was made."""
    bars_network().save(tmp_path / "bars.keras")
    (x, y), (x_test, y_test) = bars(90, 0), bars(30, 1)
    limit = 0.5 * prepared.original.costs.energy_mj
    result = compress(
        tmp_path / "bars.keras",
        Data(x=x, y=y, x_test=x_test, y_test=y_test),
        FormulaTimeModel(mj_per_mac=MJ_PER_MAC),
        tmp_path / "out",
        max_energy_mj=limit,
        method="uniform",
        options=Options(search=HURRIED, final=HURRIED, finalists=1),
        seeds=1,
        points=1,
        measure=False,
    )
    assert result.met
    assert 0.3 * limit < result.after.energy_mj <= limit < result.before.energy_mj
    assert [point.energy_mj for point in result.points] == [result.after.energy_mj]
    assert CompressionResult.load(result.folder).limits == {"max_energy_mj": limit}
    row = next(row for row in result.rows() if row["what"] == "energy")
    assert row["after"] == f"{result.after.energy_mj:.4g} mJ"
