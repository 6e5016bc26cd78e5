"""Operators of one layer that say the same are one row."""

from __future__ import annotations

import io
from collections import Counter
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from compressor.pipeline.result import LayerChange
from edgetime.layer_rows import count_suffix, merged, short_names
from edgetime.report import compression
from edgetime.report.page import Page
from edgetime.terminal import views


def change(name="gru", op="add", saved=0.1, reason="fewer bytes", **more):
    known = {"index_before": 0, "index_after": 0, "channels_before": 64, "channels_after": 16}
    return LayerChange(
        name, op, **known, before_ms=1.0, after_ms=1.0 - saved, saved_ms=saved, reason=reason, **more
    ).to_dict()


def test_steps_of_an_unrolled_layer_become_one_row_with_their_sum():
    rows = [change(), change(op="mul", saved=0.5), change(), change(), change(reason="a tile less")]
    found = merged(rows)
    assert [(row["op"], row["count"], count_suffix(row)) for row in found] == [
        ("add", 3, " ×3"),
        ("mul", 1, ""),
        ("add", 1, ""),
    ]
    assert found[0]["saved_ms"] == pytest.approx(0.3)
    assert found[0]["before_ms"] == 3.0


def test_a_measured_time_that_one_operator_lacks_is_not_known_of_all():
    measured = change(measured_before_ms=2.0, measured_after_ms=1.0)
    both = merged([measured, measured])[0]
    assert (both["measured_before_ms"], both["measured_after_ms"]) == (4.0, 2.0)
    assert merged([measured, change()])[0]["measured_before_ms"] is None


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(("add", "mul")), st.floats(-1, 1)), max_size=30)
)
def test_no_operator_and_no_time_is_lost(given_rows):
    rows = [change(name, op, saved) for name, op, saved in given_rows]
    found = merged(rows)
    assert Counter({(row["name"], row["op"]): row["count"] for row in found}) == Counter(
        (row["name"], row["op"]) for row in rows
    )
    assert sum(row["saved_ms"] for row in found) == pytest.approx(
        sum(row["saved_ms"] for row in rows), abs=1e-9
    )


def test_layers_of_models_inside_are_kept_apart_by_as_much_of_their_name_as_it_takes():
    names = ["conv", "left/conv", "right/conv", "left/dense", "a/b/x", "c/b/x", "net/act/Tanh;net/relu/Relu"]
    rows = [change(name) for name in names]
    assert list(short_names(rows).values()) == [
        "conv", "left/conv", "right/conv", "dense", "a/b/x", "c/b/x", "Tanh",
    ]  # fmt: skip
    assert len(merged(rows)) == len(names)
    (bars,) = compression.given_back({"layers": rows})["series"]
    assert {"left/conv", "right/conv", "dense"} <= set(bars["y"])
    page = Page("t")
    compression._layer_table(page, {"layers": rows})
    assert "right/conv (add)" in page.render()


def shown(renderable, width=80):
    console = Console(file=io.StringIO(), width=width)
    console.print(renderable)
    return console.file.getvalue()


def test_the_terminal_the_page_and_the_chart_say_how_many_operators_a_row_stands_for():
    reason = "output units 192 -> 48: 9 tiles of 16 less (177 to 192 cost the same), most of it"
    rows = [change("gated_recurrent_unit_1", "fully_connected", 0.1, reason)] * 27 + [
        change("mean", "mean", 0.4)
    ]
    result = SimpleNamespace(layers=[LayerChange(**row) for row in rows])
    text = shown(views._given_back(result))
    assert "fully_connected ×27" in text
    assert max(map(len, text.splitlines())) <= 80
    assert "2.70 ms" in text
    (bars,) = compression.given_back({"layers": rows})["series"]
    assert bars["y"] == ["gated_recurrent_unit_1 ×27", "mean"]
    assert bars["x"] == [pytest.approx(2.7), 0.4]
    page = Page("t")
    compression._layer_table(page, {"layers": rows})
    assert "gated_recurrent_unit_1 (fully_connected) ×27" in page.render()
