"""Staircases of a made-up device whose convolutions work in tiles of 16 output channels."""

import pytest

from timemodel.staircases import staircases


def test_a_staircase_has_points_and_the_line(time_model):
    operator = time_model.setting().operators["conv_2d", "float32"]
    found = staircases(operator)
    assert len(found) == len(operator.sweeps)
    steps = found[0]
    assert len(steps.widths) == len(steps.measured_ms) >= 30
    line = dict(zip(steps.line_widths, steps.predicted_ms, strict=True))
    assert line[17] > 1.2 * line[16]
    assert line[32] == pytest.approx(line[17], rel=0.1)
    assert all(
        low <= y <= high for low, y, high in zip(steps.low_ms, steps.predicted_ms, steps.high_ms, strict=True)
    )


def test_no_sweep_no_staircase(time_model):
    assert staircases(time_model.setting().operators["mean", "float32"]) == []
