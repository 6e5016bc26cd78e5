from __future__ import annotations

import pytest

from profiler.measurement import Measurement, PairMeasurement
from profiler.measurement.in_turns import _together


def measurement(total_ms: float, **layers: float) -> Measurement:
    times = {int(name[1:]): time for name, time in layers.items()}
    return Measurement("net", "setting", 1, total_ms, total_ms, total_ms, 0.0, 0.0, 9, False, layer_ms=times)


def pair(*ratios: float) -> PairMeasurement:
    return PairMeasurement(measurement(1.0), measurement(1.0), ratios, True)


def test_the_interval_leaves_out_the_smallest_and_the_largest_of_eight_ratios():
    found = pair(1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 9.0)
    assert found.ratio_interval == (1.1, 1.6)
    assert found.ratio == pytest.approx(1.35)


def test_of_fewer_ratios_none_is_left_out():
    assert pair(1.0, 1.2, 1.1).ratio_interval == (1.0, 1.2)


def test_layers_have_their_median_share_of_the_total():
    rounds = [
        measurement(1.0, _0=0.25, _1=0.75),
        measurement(4.0),
        measurement(2.0, _0=0.5, _1=1.5),
        measurement(1.0, _0=0.9, _1=0.1),
    ]
    found = _together(rounds, 2.0)
    assert found.measured_ms == 2.0
    assert found.layer_ms == pytest.approx({0: 0.5, 1: 1.5})


def test_without_a_profiled_round_there_are_no_times_of_layers():
    assert _together([measurement(1.0), measurement(2.0)], 1.5).layer_ms == {}
