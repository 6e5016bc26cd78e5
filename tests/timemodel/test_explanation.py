import pytest

from profiler.errors import UsageError


def test_says_where_the_steps_are(time_model):
    text = time_model.explain("conv_2d")[-1]
    assert text.startswith("conv_2d float32: ")
    assert "tiles of 16 output channels" in text
    assert "every 16 channels, first at 17" in text
    assert "ms per million MACs" in text


def test_no_more_than_a_screen_per_operator(time_model):
    assert all(len(text.splitlines()) <= 24 for text in time_model.explain())


def test_the_runtime_has_its_own_paragraph(time_model):
    last = time_model.explain()[-1]
    assert "pad before conv_2d is free" in last
    assert "logistic before mul" in last


def test_an_unknown_operator_is_answered_with_the_known_ones(time_model):
    with pytest.raises(UsageError, match="choose from .*conv_2d"):
        time_model.explain("svdf")


def test_staircase_has_points_and_the_line(time_model):
    steps = time_model.staircase("conv_2d")
    assert len(steps["x"]) == len(steps["measured_ms"]) >= 30
    line = dict(zip(steps["x_line"], steps["predicted_ms"], strict=True))
    assert line[17] > 1.2 * line[16]
    assert line[32] == pytest.approx(line[17], rel=0.1)


def test_no_sweep_no_staircase(time_model):
    assert time_model.staircase("mean") is None
    assert time_model.staircase("conv_2d", "int8") is None
