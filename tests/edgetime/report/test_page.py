import json
import re

from edgetime.report import charts
from edgetime.report.page import Page
from timemodel.staircases import Staircase


def figures_of(html: str) -> list[dict]:
    text = re.search(r'<script id="figures" type="application/json">(.*?)</script>', html, re.DOTALL)[1]
    return json.loads(text)


def without_plotly(html: str) -> str:
    scripts = re.split(r"(<script>.*?</script>)", html, flags=re.DOTALL)
    return "".join(part for part in scripts if len(part) < 1_000_000)


def staircase() -> dict:
    steps = Staircase(
        "3x3, stride 1, on 8x8x8",
        (16, 32),
        (0.05, 0.07),
        (16, 24, 32),
        (0.05, 0.09, 0.07),
        (0.04,) * 3,
        (0.1,) * 3,
    )
    return charts.staircase(steps, "conv_2d float32", "output channels")


def test_page_needs_no_network():
    page = Page("A page")
    page.figures([staircase()])
    html = page.render()
    assert html.count("<script>") == 2
    assert len(html) > 1_000_000, "plotly.js is not inlined"
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", without_plotly(html))
    assert "@import" not in without_plotly(html)


def test_plotly_is_inlined_once():
    page = Page("A page")
    page.figures([staircase()])
    page.figures([staircase()])
    assert page.render().count("plotly.js v") == 1


def test_names_from_files_cannot_break_out():
    evil = "</script><script>alert(1)</script><img src=x>"
    page = Page(evil)
    page.section(evil, evil)
    page.table([evil], [[evil]])
    page.tiles([(evil, evil)])
    page.folded(evil, evil)
    page.figures([{**staircase(), "title": evil, "caption": evil}])
    page.footer(evil)
    html = without_plotly(page.render())
    assert "<script>alert" not in html
    assert "<img" not in html
    assert figures_of(page.render())[0]["title"] == evil


def test_marks_of_the_template_in_the_text_stay_text():
    page = Page("{{body}} {{plotly}}")
    page.text("{{figures}} {{title}}")
    html = without_plotly(page.render())
    assert "<p>{{figures}} {{title}}</p>" in html
    assert "<h1>{{body}} {{plotly}}</h1>" in html


def test_staircase_holds_the_points_and_the_line():
    figure = staircase()
    assert figure["caption"] == "3x3, stride 1, on 8x8x8"
    by_name = {series["name"]: series for series in figure["series"]}
    assert by_name["measured"]["y"] == [0.05, 0.07]
    assert by_name["measured"]["kind"] == "points"
    assert by_name["model"]["x"] == [16, 24, 32]


def test_predicted_against_measured_leaves_out_what_was_not_measured():
    points = [
        {"name": "a", "predicted_ms": 1.1, "measured_ms": 1.0},
        {"name": "b", "predicted_ms": 2.0, "measured_ms": None},
        {"name": "c", "predicted_ms": None, "measured_ms": 3.0},
    ]
    figure = charts.predicted_against_measured(points, "t", "c")
    series = figure["series"][-1]
    assert (series["x"], series["y"]) == ([1.0], [1.1])
    assert series["text"] == ["a: predicted 1.10 ms, measured 1.00 ms (+10.0%)"]


def test_numbers_stand_right_and_words_left():
    page = Page("t")
    page.table(["name", "time", "what"], [["a", "1.91 ms", "x"], ["b", "-", "y"]])
    html = page.render()
    assert "<td class=number>1.91 ms</td>" in html
    assert "<td>x</td>" in html
    assert "<th class=number>time</th>" in html
