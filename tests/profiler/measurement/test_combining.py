from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.measurement import Timing
from profiler.measurement.combining import combine, drift


def timing(key: str = "a", p20_us: float | None = 10.0, canary_us: float | None = 5.0, **more) -> Timing:
    values = {
        "setting": "s", "probe_key": key, "kind": "layer", "pass_number": 0, "attempt": 0, "at": 0.0, "median_us": p20_us,
        "min_us": p20_us, "p20_us": p20_us, "spread": 0.0, "samples": 7, "build_ms": 1.0, "canary_us": canary_us,
        "disturbed": False, "error": None,
    }  # fmt: skip
    return Timing(**{**values, **more})


def test_without_canaries_nothing_drifts() -> None:
    assert drift(np.full(4, np.nan)).tolist() == [1, 1, 1, 1]
    assert drift(np.array([])).tolist() == []


def test_a_slow_half_is_seen() -> None:
    relative = drift(np.array([10.0] * 300 + [12.0] * 300), window=51)
    assert relative[100] / relative[500] == pytest.approx(10 / 12)


def test_single_outliers_do_not_count() -> None:
    canaries = np.full(300, 10.0)
    canaries[::5] = 17.0
    canaries[1::50] = np.nan
    assert drift(canaries) == pytest.approx(np.ones(300))


@given(st.lists(st.floats(0.1, 1e3), min_size=1, max_size=300), st.floats(0.01, 100))
def test_drift_does_not_depend_on_the_canary_itself(canaries: list[float], factor: float) -> None:
    values = np.array(canaries)
    assert drift(values * factor) == pytest.approx(drift(values))
    assert np.quantile(drift(values), 0.1, method="lower") == pytest.approx(1)


def test_one_row_per_probe_in_the_order_of_measuring() -> None:
    rows = combine([timing("b"), timing("a"), timing("b", pass_number=1)])
    assert [(row.probe_key, row.passes) for row in rows] == [("b", 2), ("a", 1)]


def test_the_fastest_sample_counts() -> None:
    (row,) = combine([timing(p20_us=value) for value in (30.0, 10.0, 11.0, 90.0)])
    assert row.time_us == 10.0
    assert row.passes == 4
    (row,) = combine([timing(min_us=9.0, disturbed=True), timing(min_us=10.0)])
    assert (row.time_us, row.disturbed, row.passes) == (9.0, False, 2)


def test_failures_are_told_and_do_not_hide_times() -> None:
    failed = {"p20_us": None, "canary_us": None, "error": "no such kernel"}
    (row,) = combine([timing(**failed)])
    assert (row.time_us, row.error) == (None, "no such kernel")
    (row,) = combine([timing(**failed), timing(p20_us=3.0)])
    assert (row.time_us, row.error) == (3.0, None)


def test_times_are_corrected_for_drift() -> None:
    # The device is 20% slower in the second pass: both passes say the same.
    first = [timing(str(i), 10.0 + i, 5.0) for i in range(200)]
    second = [timing(str(i), 1.2 * (10.0 + i), 6.0, pass_number=1) for i in range(200)]
    rows = combine(first + second)
    ratios = np.array([row.time_us for row in rows]) / (10.0 + np.arange(200))
    inner = ratios[60:-60]  # the change itself is smoothed
    assert inner == pytest.approx(np.full(80, inner[0]))
    assert max(row.spread for row in rows[60:-60]) < 1e-9


def test_nothing_gives_nothing() -> None:
    assert combine([]) == []
