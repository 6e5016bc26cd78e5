"""What `benchmarks.files` says of a file."""

from benchmarks.files.__main__ import judged, misses, outside, summary


def line(**more):
    value = {
        "network": "a.tflite", "signature": None, "dtype": "float32", "predicted_ms": 2.0, "low_ms": 1.0, "high_ms": 4.0,
        "measured_ms": 3.0, "measured_calm_share": 0.5, "coverage": 1.0, "uncovered": [], "unknown": {},
    }  # fmt: skip
    return {**value, **more}


def test_how_far_outside_of_its_interval_a_time_lies():
    assert [outside(line(measured_ms=ms)) for ms in (1.0, 3.0, 4.0, 8.0, 0.5)] == [1, 1, 1, 2, 2]
    assert outside(line(measured_ms=8.0, high_ms=None)) == 1
    assert outside(line(measured_ms=None)) is outside(line(low_ms=None, high_ms=None)) is None


def test_goals_are_missed_by_what_is_far_outside_and_by_what_is_not_covered_and_not_named():
    assert misses(judged(line())) == []
    assert "by 2.00" in misses(judged(line(measured_ms=8.0)))[0]
    assert misses(judged(line(measured_ms=8.0, measured_calm_share=0.0))) == []  # the device was never calm
    assert len(misses(judged(line(coverage=0.9)))) == 1
    assert misses(judged(line(coverage=0.9, uncovered=["svdf"]))) == []


def test_rows_come_to_shares_and_errors():
    rows = [judged(line()), judged(line(measured_ms=8.0)), judged(line(measured_ms=None), "cannot be run")]
    assert summary(rows)[:3] == [
        "3 networks: 2 predicted and measured, 2 of these with a calm moment",
        "within the interval 1 of 2, outside by more than 1.5: 1",
        "error: median 75.0%, mean 54.2%, largest 75.0%",
    ]
