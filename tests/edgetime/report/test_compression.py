"""Charts and tables of a compression's front and layers."""

from __future__ import annotations

import pytest

from edgetime.report import compression
from edgetime.report.compression import front, given_back, has_front
from edgetime.report.page import Page


def point(ms, validation, chosen=False, on_front=True, measured=True):
    return {
        "keras": f"points/{ms}.keras", "tflite": "x.tflite", "chosen": chosen, "widths": {"conv": 4},
        "validation_score": validation, "score": validation - 0.01, "seeds": 1, "predicted_ms": ms, "low_ms": 0.9 * ms,
        "high_ms": 1.2 * ms, "measured_ms": ms if measured else None, "measured_p90_ms": 1.1 * ms if measured else None,
        "size_bytes": 1000, "peak_memory_bytes": 500, "energy_mj": None, "parameters": 10, "macs": 100,
        "on_front": on_front, "lost": 0.05, "lost_low": 0.02, "lost_high": 0.09, "lost_at_most": 0.08,
    }  # fmt: skip


def layer(name, op, saved, **more):
    value = {
        "name": name, "op": op, "index_before": 0, "index_after": 0, "channels_before": 40, "channels_after": 32,
        "before_ms": 0.5, "after_ms": 0.5 - saved, "saved_ms": saved, "measured_before_ms": None,
        "measured_after_ms": None, "reason": "1 tile of 32 less <b>", "evidence": "from leaf 3",
    }  # fmt: skip
    return {**value, **more}


def facts(ms, score):
    return {
        "score": score, "scores": [score], "mean_score": score, "score_spread": None, "validation_score": score,
        "predicted_ms": ms, "low_ms": ms, "high_ms": ms, "measured_ms": ms, "measured_p90_ms": ms, "parameters": 10,
        "macs": 100, "file_bytes": 4000, "quantize": "int8",
    }  # fmt: skip


def result(**more):
    value = {
        "method": "structure", "device": "d", "quantize": "none", "quantized": None, "score_name": "accuracy", "seeds": 1,
        "test_rows": 100, "losses_on": "test", "validation_rows": 50,
        "before": facts(2.0, 0.95), "after": facts(0.5, 0.9), "notes": [],
        "speedup_measured": 4.0, "widths": [{"layer": "conv", "group": "g", "before": 8, "after": 4}],
        "trials": [{"predicted_ms": 0.7, "score": 0.5}, {"predicted_ms": 0.8, "score": None}],
        "points": [point(0.5, 0.9, chosen=True), point(0.8, 0.85, on_front=False), point(1.0, 0.95)],
        "layers": [layer("conv", "conv_2d", 0.3), layer("conv", "add", -0.1), layer("rest", "", 0.01)],
    }  # fmt: skip
    return {**value, **more}


def by_name(chart):
    return {series["name"]: series for series in chart["series"]}


def test_the_front_joins_what_nothing_beats_and_shows_the_rest_apart():
    series = by_name(front(result()))
    assert series["front"]["x"] == [0.5, 1.0]
    assert series["chosen"]["y"] == [90.0]
    assert series["beaten by others"]["x"] == [0.8]
    assert series["on the front"]["x"] == [1.0]
    assert series["original"]["y"] == [95.0]
    tried = series["tried: short fine-tuning, predicted time"]
    assert (tried["x"], tried["y"]) == ([0.7], [50.0])
    assert series["chosen"]["error_x"]["plus"] == pytest.approx([0.05])
    assert series["chosen"]["error_y"] == {"plus": [pytest.approx(3)], "minus": [pytest.approx(4)]}
    assert "0.500 ms measured" in series["chosen"]["text"][0]


def test_an_original_that_nothing_beats_is_on_the_front_too():
    better = result(before=facts(2.0, 0.99))
    assert by_name(front(better))["front"]["x"] == [0.5, 1.0, 2.0]


def test_where_nothing_was_measured_the_intervals_are_of_predictions():
    unknown = {"lost_low": None, "lost_high": None}
    points = [
        {**point(ms, score, chosen=ms < 1, measured=False), **unknown}
        for ms, score in ((0.5, 0.9), (1.0, 0.95))
    ]
    chart = front(result(points=points, score_name="score", validation_rows=0))
    chosen = by_name(chart)["chosen"]
    assert chosen["error_x"] == {"plus": [pytest.approx(0.1)], "minus": [pytest.approx(0.05)]}
    assert chosen["y"] == [0.9]
    assert "error_y" not in chosen
    assert chart["x_title"] == "predicted, ms"
    assert chart["y_title"] == "score"


def test_bars_of_layers_say_why_and_none_lies_on_another():
    chart = given_back(result())
    assert chart["series"][0]["y"] == ["conv", "conv (2)"]
    assert chart["series"][0]["x"] == [0.3, -0.1]
    assert "1 tile of 32 less" in chart["series"][0]["text"][0]
    assert len(chart["series"]) == 1
    timed = layer("conv", "conv_2d", 0.3, measured_before_ms=0.6, measured_after_ms=0.2)
    measured = given_back(result(layers=[timed]))["series"][1]
    assert measured["x"] == [pytest.approx(0.4)]


def test_of_many_layers_those_that_gave_most_are_shown_in_their_order():
    rows = [layer(f"l{i}", "conv_2d", 0.001 * i) for i in range(40)]
    chart = given_back(result(layers=rows))
    assert chart["series"][0]["y"] == [f"l{i}" for i in range(16, 40)]
    assert "24 layers" in chart["caption"]


def test_the_page_has_the_front_and_the_reasons_and_escapes_them():
    page = Page("t")
    compression.add_to(page, [result()])
    html = page.render()
    for words in ("chosen, on the front", "beaten by others", "40 → 32", "in all", "from leaf 3", "5.00 (2.00 to 9.00)",
                  "these lose no more on new data of the same kind, all at once: points/0.5 8 points"):  # fmt: skip
        assert words in html
    assert "less <b>" not in html
    assert not has_front(result(points=[point(0.5, 0.9)]))
    closed = Page("t")
    compression.add_to(closed, [result(), result(method="uniform")])
    assert closed.render().count("Front and layers:") == 2
