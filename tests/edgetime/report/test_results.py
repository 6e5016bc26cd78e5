"""The report's part on compressions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgetime.report import compression
from edgetime.report.outcome import headline
from edgetime.report.page import Page
from edgetime.report.reading import Found, collect
from edgetime.report.results import page_of, write_report
from profiler.errors import UsageError


def facts(score: float, ms: float, **more) -> dict:
    values = {
        "score": score,
        "scores": [score],
        "mean_score": score,
        "score_spread": None,
        "predicted_ms": ms,
    }
    sizes = {"measured_ms": ms, "parameters": 1000, "macs": 50_000, "file_bytes": 4000, "quantize": "int8"}
    return {**values, **sizes, **more}


def result(method: str, after: dict, **more) -> dict:
    value = {"method": method, "device": "d", "quantize": "none", "quantized": None, "score_name": "accuracy"}
    value |= {
        "seeds": 3,
        "test_rows": 540,
        "before": facts(0.99, 2.0),
        "after": after,
        "speedup_measured": 2.5,
    }
    return {
        **value,
        "widths": [{"layer": "conv1", "group": "g", "before": 16, "after": 8}],
        "notes": ["A note."],
        **more,
    }


def page_with(*results: dict) -> str:
    page = Page("t")
    compression.add_to(page, results)
    return "\n".join(page._parts)


def test_before_baseline_and_after_stand_side_by_side():
    best = facts(0.985, 0.8, mean_score=0.985, score_spread=0.002, parameters=400)
    html = page_with(result("structure", best), result("uniform", facts(0.984, 1.2)))
    assert html.count("Before and after") == 1
    rows = [part.split("</tr>")[0] for part in html.split("<tr")[2:5]]
    assert [">original<" in rows[0], ">cut evenly" in rows[1], ">compressed<" in rows[2]] == [True] * 3
    assert "98.50% ± 0.20" in rows[2]
    assert "0.800 ms" in rows[2]
    assert "class=strong" in rows[2]
    assert "mean of 3 trainings" in html
    assert "A note." in html


def test_results_of_different_networks_have_sections_of_their_own():
    other = result("structure", facts(0.8, 1.0), before=facts(0.9, 3.0, parameters=77))
    assert page_with(result("structure", facts(0.98, 1.0)), other).count("Before and after") == 2


def test_the_figures_to_remember_are_of_the_method_and_not_of_the_baseline():
    tiles = headline(
        [result("structure", facts(0.985, 0.8)), result("uniform", facts(0.5, 1.9), speedup_measured=1.1)]
    )
    assert ("2.5x", "as fast, measured") in tiles
    assert ("-0.50 points", "accuracy, to 98.5%") in tiles


def test_a_score_that_is_no_accuracy_and_a_run_without_measurement():
    after = facts(-0.25, 0.8, measured_ms=None)
    html = page_with(result("structure", after, score_name="score", speedup_measured=None))
    assert "%" not in html.split("<tr")[3].split("file")[0].split("</td>")[1]
    assert "-0.25" in html


def test_what_is_no_result_is_left_out_and_named(tmp_path: Path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "result.json").write_text(json.dumps({"hello": 1}))
    (tmp_path / "advice.json").write_text("[]")
    found = collect(tmp_path)
    assert len(found.unreadable) == 2
    with pytest.raises(UsageError, match=r"result\.json"):
        write_report(tmp_path, tmp_path / "r.html")


def test_what_missed_its_goal_is_not_shown_as_a_success():
    missed = result(
        "structure", facts(0.52, 2.5, measured_ms=2.5), met=False, missed="No faster network was found",
        speedup_measured=0.8,
    )  # fmt: skip
    html = page_with(missed)
    assert "compressed: goal missed, the closest" in html
    assert "No faster network was found." in html
    tiles = headline([missed])
    assert tiles[0] == ("missed", "the goal: this is the closest")
    assert ("1.2x", "slower, measured") in tiles
    assert not any(label.startswith("as fast") for _, label in tiles)
    met = result("uniform", facts(0.98, 1.0), met=True)
    assert ("2.5x", "as fast, measured") in headline([missed, met])


def test_a_precision_that_is_slower_is_advised_against():
    advice = "Keep float32 here: int8 takes 1.8 times as long on this device."
    slow = {"quantize": "int8", "quantized": facts(0.99, 3.6)}
    assert advice in page_with(result("structure", facts(0.98, 1.0), **slow))
    # It is said once, though the result says so as well.
    assert page_with(result("structure", facts(0.98, 1.0), **slow, notes=[advice])).count(advice) == 1
    assert "eep float32" not in page_with(
        result("structure", facts(0.98, 1.0), quantize="int8", quantized=facts(0.9, 1.0))
    )


def predicted(network: str, measured_ms: float, **more) -> dict:
    value = {"network": network, "dtype": "float32", "predicted_ms": 1.0, "low_ms": 0.9, "high_ms": 1.1}
    return {**value, "measured_ms": measured_ms, "coverage": 1.0, "layers": [], **more}


def test_predictions_say_where_a_precision_is_slower_and_what_was_missed():
    lines = [predicted("compressed", 1.0), predicted("compressed, int8", 1.8)]
    html = page_of(Found(predictions=lines), "t").render()
    assert "Compressed: keep float32 here: int8 takes 1.8 times as long on this device." in html
    assert html.count("measured outside the 90% interval") == 1


def test_the_device_card_says_how_calm_the_device_was(time_model_file: Path):
    from profiler.calm import State
    from timemodel.model import TimeModel
    from timemodel.model.conditions import Conditions

    model = TimeModel.load(time_model_file)
    setting = model.setting()
    states = (State(1.0, 0.3), State(1.4, 0.5))
    setting.conditions = Conditions(0.3, 10.0, states, probes=1000, calm_probes=200)
    html = page_of(Found(models=[model]), "t").render()
    assert "The device was calm 30% of the time; other states: 1.40x as slow 50% of the time." in html
    assert "200 of 1,000 probes were met in calm." in html
    assert "80% of the probes never met a calm moment" in html


def test_staircases_of_the_time_model_stand_on_the_page(tmp_path: Path, time_model_file: Path):
    (tmp_path / "d.timemodel.json").write_bytes(time_model_file.read_bytes())
    write_report(tmp_path, tmp_path / "page.html")
    html = (tmp_path / "page.html").read_text()
    assert "Staircases" in html
    assert "conv_2d float32" in html
