"""The page of ``explain --html``, and what `explain` and `advise` print."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edgetime.cli import app
from edgetime.cli.advise import first, label, number_type
from edgetime.report import charts
from edgetime.report.explanation import explanation_page
from edgetime.report.page import Page
from edgetime.terminal.options import find_setting
from profiler.errors import UsageError
from timemodel import TimeModel
from timemodel.advise import Advice, GroupAdvice, NumberType, OperatorInType, WidthOption
from timemodel.explain import Branch, dependences, drawing
from timemodel.staircases import staircases


@pytest.fixture(scope="module")
def model(time_model_file: Path) -> TimeModel:
    return TimeModel.load(time_model_file)


@pytest.fixture(scope="module")
def html(model: TimeModel) -> str:
    return explanation_page(model).render()


def run(*arguments: object, columns: int = 80, status: int = 0) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": str(columns)})
    assert result.exit_code == status, result.output
    return result.stdout


def figures_of(html: str) -> list[dict]:
    found = re.search(r'<script id="figures" type="application/json">(.*?)</script>', html, re.DOTALL)
    assert found
    return list(json.loads(found[1]))


def test_every_operator_has_its_part(model, html):
    for op, dtype in model.operators():
        assert f"{op} {dtype}: " in html
    assert html.count('<ul class="tree">') == len(model.operators())
    assert html.count("<details") == html.count("</details>")


def test_findings_stand_on_the_page_with_their_evidence(html):
    assert "output channels in multiples of 16: 17 costs " in html
    assert re.search(r"from (split|leaf) [^<]+ layers measured", html)


def test_staircases_have_points_a_line_and_a_band(html):
    figure = next(one for one in figures_of(html) if one["title"] == "time over width")
    by_name = {series["name"]: series for series in figure["series"]}
    assert set(by_name) == {"90% interval", "model", "measured"}
    band, line = by_name["90% interval"], by_name["model"]
    assert band["x"] == line["x"]
    assert all(low <= y <= high for low, y, high in zip(band["low"], line["y"], band["y"], strict=True))
    assert len(by_name["measured"]["x"]) >= 30


def test_one_operator_on_a_page_of_its_own(model):
    html = explanation_page(model, "conv_2d").render()
    assert "conv_2d float32" in html
    assert "softmax float32" not in html
    assert "What the runtime adds" not in html


def test_dependence_is_1_where_it_is_compared_with(model):
    setting = model.setting()
    found = {one.axis: one for one in dependences(setting.operators["conv_2d", "float32"])}
    assert set(found) >= {"out_channels", "in_channels", "side", "kernel"}
    for one in found.values():
        at = one.values.index(one.usual)
        assert one.middle[at] == one.low[at] == one.high[at] == 1
        assert all(a <= b <= c for a, b, c in zip(one.low, one.middle, one.high, strict=True))
    channels = dict(zip(found["out_channels"].values, found["out_channels"].middle, strict=True))
    assert channels[17] > 1.3 * channels[16]
    assert found["kernel"].middle[-1] > found["kernel"].middle[0]


def test_bars_for_a_few_values_and_lines_for_many(model):
    found = {
        one.axis: charts.dependence(one)
        for one in dependences(model.setting().operators["conv_2d", "float32"])
    }
    assert [series["kind"] for series in found["activation"]["series"]] == ["bars"]
    assert [series["kind"] for series in found["out_channels"]["series"]] == ["band", "line"]


def test_the_tree_is_drawn_whole(model):
    one = model.setting().operators["fully_connected", "float32"]

    def nodes(branch: Branch) -> list[Branch]:
        return [branch, *(node for child in branch.children for node in nodes(child))]

    drawn = nodes(drawing(one))
    assert sorted(node.node for node in drawn) == list(range(len(one.tree.nodes_)))
    assert sum(bool(node.formula) for node in drawn) == one.error.leaves
    for node in drawn:
        assert len(node.children) == (2 if node.question else 0)
        if node.children:
            assert sum(child.layers for child in node.children) == node.layers


def test_names_cannot_break_out_of_trees_and_lists():
    evil = "</ul><script>alert(1)</script>"
    page = Page("t")
    page.tree(Branch("", evil, "", 3, 0, (Branch(evil, "", evil, 1, 1), Branch(evil, "", evil, 2, 2))))
    page.points([(evil, evil, evil)])
    page.open(evil)
    page.heading(evil)
    page.close()
    assert "<script>alert" not in "".join(page._parts)


def test_sweeps_are_all_there(model):
    one = model.setting().operators["conv_2d", "float32"]
    assert len(staircases(one)) == len(one.sweeps)
    assert staircases(model.setting().operators["softmax", "float32"]) == []


# --- in the terminal --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [80, 120])
def test_the_summary_comes_first_and_fits_a_screen(time_model_file: Path, columns: int):
    lines = run("explain", time_model_file, columns=columns).splitlines()
    assert all(len(line) <= columns for line in lines)
    assert lines[0].startswith("A made-up processor, 4 cores; ai-edge-litert 2.3.0, xnnpack, 1 thread")
    screen = lines[: lines.index("")]
    assert len(screen) <= 23
    assert any("likes conv_2d: output channels in multiples of 16" in line for line in screen)
    assert screen[1].startswith("The device was calm 100% of the time. 1,201 of 1,201 probes")
    assert any(line.startswith("float32: 5 operators, ") for line in screen[2:4])


def test_json_carries_the_findings(time_model_file: Path):
    value = json.loads(run("explain", time_model_file, "--json"))
    assert value["setting"] == value["settings"][0]
    assert {"text", "op", "dtype", "setting", "effect", "evidence"} <= set(value["findings"][0])
    assert all(one["setting"] == value["setting"] for one in value["findings"])


def test_settings_are_named_and_chosen(time_model_file: Path, networks_folder: Path, tmp_path: Path):
    loaded = TimeModel.load(time_model_file)
    (name, setting), *_ = loaded.settings.items()
    other = copy.copy(setting)
    other.key = name.replace("xnnpack", "builtin")
    both = tmp_path / "both.timemodel.json"
    TimeModel(loaded.device, {name: setting, other.key: other}).save(both)
    shown = run("explain", both, "--op", "conv_2d", columns=200).splitlines()
    assert "xnnpack" in shown[0]
    assert shown[2].startswith("Also known, with --setting: ")
    assert "builtin" in shown[2]
    assert (
        "builtin"
        in run("explain", both, "--op", "conv_2d", "--setting", "builtin", columns=200).splitlines()[0]
    )
    net = networks_folder / "conv.tflite"
    assert "builtin" in run("advise", both, net, "--setting", "BuiltIn", columns=200).splitlines()[0]


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("model/activation_3/Relu;model/bn/x", "activation_3"),
        ("MobilenetV1/MobilenetV1/Conv2d_2_pointwise/Relu6", "Conv2d_2_pointwise"),
        ("conv", "conv"),
        ("", ""),
    ],
)
def test_layers_have_short_names(name: str, short: str):
    assert label(name) == short


def test_number_types_in_words():
    rows = (
        OperatorInType("relu", 2, 0.1, 0.9, 0.05, True),
        OperatorInType("conv_2d", 3, 1.0, 0.4, 0.1, True),
        OperatorInType("tanh", 1, 0.0001, 0.0002, 0.00001, False),
    )
    slower = number_type(NumberType(1.3, -0.2, -0.18, 0.1, "int8", rows))
    assert slower[0] == "In int8 as a whole: slower, 1.30 ms (+18%)."
    assert slower[1] == "  slower there: relu 0.100 ms -> 0.900 ms"
    assert slower[2] == "  faster there: conv_2d 1.00 ms -> 0.400 ms"
    assert slower[3] == "  not measured in int8, so only estimated: tanh"
    assert "no surely different time" in number_type(NumberType(1.3, -0.2, -0.18, 0.3, "int8", rows))[0]


def test_advice_says_what_saves_most_or_that_nothing_surely_does():
    group = GroupAdvice(0, "a/conv/Relu", (3, 5), 31, 1.0)
    faster = WidthOption(0.74, 0.26, 0.26, 0.02, 32)
    lines = first(Advice("n", 1.0, (group,), ((0, faster),)))
    assert lines[1] == "  1. conv (with 1 coupled layer) 31 -> 32 channels: 0.260 ms less (26.0% ± 2.0%)"
    doubtful = WidthOption(0.99, 0.01, 0.01, 0.05, 30)
    (line,) = first(Advice("n", 1.0, (group,), (), unsure=(0, doubtful)))
    assert line.startswith(
        "No change saves more than the model's error: the best, conv (with 1 coupled layer) 31 -> 30"
    )
    assert "1.0%, and the model is only sure to within 5.0%" in line
    assert first(Advice("n", 1.0, (group,), ())) == ["No other width would make it faster."]


def test_parts_of_settings_names():
    names = ["litert, xnnpack, 1 thread", "litert, xnnpack, 2 threads", "litert, builtin, 1 thread"]
    assert find_setting(names, None) == names[0]
    assert find_setting(names, "2 threads") == names[1]
    assert find_setting(names, names[0]) == names[0]
    with pytest.raises(UsageError, match="2 settings are called 'xnnpack'"):
        find_setting(names, "xnnpack")
    with pytest.raises(UsageError, match=r"No setting .* choose from"):
        find_setting(names, "gpu")
