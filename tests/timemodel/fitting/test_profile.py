"""What a fit takes from a reading of a profile: what is left out, what counts less, what load was met."""

from dataclasses import replace

import numpy as np
import pytest

from profiler.measurement import ProbeTime, Reading, Timing, combine
from profiler.network import Layer
from profiler.operators import fully_connected, unary
from profiler.probes import Probe
from timemodel.features import geometry
from timemodel.fitting import fit_setting, usable
from timemodel.fitting.profile import conditions_of, loads_met, uncertainties


def row(
    kind: str, width: int, calm: bool, time_us: float | None = 10.0, uncertainty: float = 0.01
) -> ProbeTime:
    layers: tuple[Layer, ...] = (fully_connected(4, width),)
    if kind != "layer":
        layers = (fully_connected(4, width), unary("relu", (1, width)))
    return ProbeTime("s", Probe(kind, layers).key, kind, time_us, uncertainty, 1, calm, None)


def test_networks_that_were_not_met_in_calm_are_left_out():
    times = [row("network", width, calm=width > 4) for width in range(1, 21)]
    assert len(usable(times)) == 16
    few_calm = [row("network", width, calm=width == 1) for width in range(1, 21)]
    assert len(usable(few_calm)) == 20, "with too few calm ones all are better than none"


def test_chains_count_whatever_they_met_since_the_long_ones_are_never_calm():
    times = [row("chain", width, calm=width < 18) for width in range(1, 21)]
    assert len(usable(times)) == 20


def test_layers_count_whatever_they_met_but_by_how_well_they_are_known():
    times = [
        row("layer", 1, True),
        row("layer", 2, False, uncertainty=0.2),
        row("layer", 3, True, time_us=None),
    ]
    assert [time_ms for _, time_ms in usable(times)] == [0.01, 0.01]
    assert uncertainties(times)[fully_connected(4, 2)] == 0.2


def timing(number: int, width: int, median_us: float, canary_us: float = 10.0, waited: float = 0.0) -> Timing:
    key = Probe("layer", (fully_connected(4, width),)).key
    return Timing(
        "s", key, "layer", number, 0, float(number), median_us, median_us, median_us, 0.0, 9,
        canary_us, canary_us, waited, False, None,
    )  # fmt: skip


def reading(timings: list[Timing]) -> Reading:
    return combine(timings)


def test_the_load_that_was_met_is_worked_out_from_what_others_took():
    # In one window of five others had the core for half of the time; what is long meets the mean of that: 1.2.
    timings = [timing(i, 1 + i % 50, 20.0, waited=0.5 if i % 5 == 0 else 0.0) for i in range(2000)]
    loads = loads_met(timings, reading(timings))
    assert (loads[0].p50, loads[0].p90) == pytest.approx((1.0, 2.0))
    assert (loads[-1].p50, loads[-1].p90) == pytest.approx((1.2, 1.2), rel=0.05)
    assert [load.span_ms for load in loads] == sorted(load.span_ms for load in loads)


def test_conditions_count_probes_met_in_calm():
    timings = [timing(0, width, 20.0, canary_us=10.0 if width <= 60 else 14.0) for width in range(1, 101)]
    conditions = conditions_of(timings, reading(timings))
    assert conditions is not None
    assert (conditions.probes, conditions.calm_probes) == (100, 60)
    assert conditions.calm_share == pytest.approx(0.6)
    assert conditions.canary_us == pytest.approx(10.0)


def test_a_fit_follows_what_it_knows_well():
    layers = [fully_connected(64, width) for width in range(8, 200)]
    rng = np.random.default_rng(0)
    measured, spread = [], {}
    for layer in layers:
        wrong = rng.random() < 0.5
        time_ms = 1e-6 * layer.macs + 0.002
        measured.append((Probe("layer", (layer,)), time_ms * (1.6 if wrong else 1.0)))
        spread[layer] = 0.5 if wrong else 0.0
    unseen = fully_connected(64, 300)
    true_ms = 1e-6 * unseen.macs + 0.002
    operators, _ = fit_setting(measured, uncertainty=spread)
    told = operators["fully_connected", "float32"]
    blind = fit_setting(measured)[0]["fully_connected", "float32"]
    assert told.predict_ms(geometry([unseen]))[0] == pytest.approx(true_ms, rel=0.03)
    assert blind.predict_ms(geometry([unseen]))[0] > 1.1 * true_ms
    assert told.error.mean_error < 0.05, "it is judged by what is known well"


def test_a_time_that_was_never_measured_is_not_used():
    assert usable([replace(row("layer", 1, True), time_us=0.0)]) == []


def test_without_a_canary_nothing_is_said_of_calm():
    timings = [replace(timing(0, width, 20.0), before_us=None, after_us=None) for width in range(1, 11)]
    assert conditions_of(timings, reading(timings)) is None
