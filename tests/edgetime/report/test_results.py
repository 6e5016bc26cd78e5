"""The report's part on compressions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgetime.report import compression
from edgetime.report.page import Page
from edgetime.report.results import collect, write_report
from profiler.errors import UsageError


def facts(score: float, ms: float, **more) -> dict:
    values = {
        "score": score,
        "scores": [score],
        "mean_score": score,
        "score_spread": None,
        "predicted_ms": ms,
    }
    sizes = {"measured_ms": ms, "parameters": 1000, "macs": 50_000, "file_bytes": 4000}
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
    html = page_with(result("optuna", best), result("uniform", facts(0.984, 1.2)))
    assert html.count("Before and after") == 1
    rows = [part.split("</tr>")[0] for part in html.split("<tr")[2:5]]
    assert [">original<" in rows[0], ">cut evenly" in rows[1], ">compressed<" in rows[2]] == [True] * 3
    assert "98.50% ± 0.20" in rows[2]
    assert "0.800 ms" in rows[2]
    assert "class=strong" in rows[2]
    assert "mean of 3 trainings" in html
    assert "A note." in html


def test_results_of_different_networks_have_sections_of_their_own():
    other = result("optuna", facts(0.8, 1.0), before=facts(0.9, 3.0, parameters=77))
    assert page_with(result("optuna", facts(0.98, 1.0)), other).count("Before and after") == 2


def test_the_figures_to_remember_are_of_the_method_and_not_of_the_baseline():
    tiles = compression.headline(
        [result("optuna", facts(0.985, 0.8)), result("uniform", facts(0.5, 1.9), speedup_measured=1.1)]
    )
    assert ("2.5x", "as fast, measured") in tiles
    assert ("-0.50 points", "accuracy, to 98.5%") in tiles


def test_a_score_that_is_no_accuracy_and_a_run_without_measurement():
    after = facts(-0.25, 0.8, measured_ms=None)
    html = page_with(result("optuna", after, score_name="score", speedup_measured=None))
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


def test_staircases_of_the_time_model_stand_on_the_page(tmp_path: Path, time_model_file: Path):
    (tmp_path / "d.timemodel.json").write_bytes(time_model_file.read_bytes())
    write_report(tmp_path, tmp_path / "page.html")
    html = (tmp_path / "page.html").read_text()
    assert "Staircases" in html
    assert "conv_2d float32" in html
