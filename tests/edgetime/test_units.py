import pytest

from edgetime import units


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.04321, "0.0432 ms"),
        (0.4321, "0.432 ms"),
        (1.914, "1.91 ms"),
        (12.34, "12.3 ms"),
        (123.4, "123 ms"),
        (12345, "12.3 s"),
        (0, "0 ms"),
        (0.00432, "0.00432 ms"),
        (0.0000432, "0.000043 ms"),
        (0.000002, "0.000002 ms"),
        (0.0000002, "<0.000001 ms"),
        (-0.00432, "-0.00432 ms"),
        (0.09996, "0.100 ms"),
        (99.97, "100 ms"),
        (None, "-"),
    ],
)
def test_times(value, text):
    assert units.ms(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(812, "812 B"), (98_496, "98.5 kB"), (1_843_200, "1.84 MB"), (None, "-")]
)
def test_sizes(value, text):
    assert units.size(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(812, "812"), (110_592, "111k"), (4_100_000_000, "4.1G"), (None, "-")]
)
def test_counts(value, text):
    assert units.count(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.004321, "4.32 uJ"),
        (0.04321, "0.0432 mJ"),
        (457.3, "457 mJ"),
        (45_678, "45.7 J"),
        (0, "0 mJ"),
        (None, "-"),
    ],
)
def test_energies(value, text):
    assert units.mj(value) == text


def test_difference_is_relative_to_the_measured_time():
    assert units.difference(1.1, 1.0) == "+10.0%"
    assert units.difference(0.9, 1.0) == "-10.0%"
    assert units.difference(0.9, None) == "-"


def test_percent():
    assert units.percent(0.997) == "99.7%"
    assert units.percent(0.5, 0) == "50%"
    assert units.percent(None) == "-"


@pytest.mark.parametrize(
    "text",
    ["12", "1,234", "+3.4%", "1.91 ms", "2.4x", "111k", "99.51% ± 0.21", "0.0362 to 0.0696 ms", "-", ""],
)
def test_quantities(text):
    assert units.is_quantity(text)


@pytest.mark.parametrize(
    "text", ["float32", "conv_2d", "15 (-2.2%), 14 (-4.4%)", "x.tflite", "-c", "3x3 kernel"]
)
def test_no_quantities(text):
    assert not units.is_quantity(text)


def test_an_interval_says_its_unit_once():
    assert units.interval(0.0362, 0.0696) == "0.0362 to 0.0696 ms"
    assert units.interval(9000, 12000) == "9000 ms to 12 s"


def test_points_have_a_sign_but_zero_is_not_negative():
    assert units.points(-0.123) == "-0.12 points"
    assert units.points(-0.001) == "+0.00 points"


@pytest.mark.parametrize(
    ("measured_ms", "calm_share", "words"),
    [
        (1.1, 0.5, ""),
        (1.3, 0.5, "measured outside the 90% interval"),
        (0.8, 0.0, "measured outside the 90% interval, never calm while measured"),
        (None, None, ""),
    ],
)
def test_a_measured_time_that_the_prediction_misses_is_marked(measured_ms, calm_share, words):
    result = {"low_ms": 0.9, "high_ms": 1.2, "measured_ms": measured_ms, "measured_calm_share": calm_share}
    assert units.mark(result) == words
