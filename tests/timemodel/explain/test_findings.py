"""What is said of a device on paper, whose every time is known: all that was planted, and nothing that is not so."""

from __future__ import annotations

import json
import math
import re

import numpy as np
import pytest
from made_up_device import OVERHEAD_MS, layer_ms

from profiler import operators
from profiler.network import Layer
from profiler.operators import draw_layer
from profiler.probes.plan import sweeps
from timemodel.explain import Finding, findings, summary
from timemodel.explain.finding import split_text, why
from timemodel.explain.tree_in_words import rows_of
from timemodel.model import ChangeErrors, SettingModel, fit_operator, pair_error, single_error
from timemodel.runtime import RuntimeTerms


def picky_ms(layer: Layer) -> float:
    """Convolutions in tiles of 32 (16 below that), slow just below a whole tile; depthwise 7x7 ten times as dear."""
    out = layer.outputs[0].shape
    work = 2e-8 * out[1] * out[2] * math.prod(layer.inputs[1].shape[1:3])
    if layer.op == "depthwise_conv_2d":
        dear = 10 if layer.params["kernel_height"] * layer.params["kernel_width"] > 25 else 1
        return 0.0004 + 10 * work * math.ceil(out[3] / 8) * 8 * dear
    if layer.dtype == "int8":
        return 0.0004 + work * math.ceil(out[3] / 16) * 16 * layer.inputs[0].shape[-1] / 4
    width = out[3]
    tiled = math.ceil(width / 32) * 32 if width > 16 else 16
    slow = 1.5 if 24 < width < 32 else 1
    return 0.0004 + work * tiled * slow * layer.inputs[0].shape[-1]


@pytest.fixture(scope="module")
def picky() -> SettingModel:
    models = {}
    for op, dtype in (("conv_2d", "float32"), ("conv_2d", "int8"), ("depthwise_conv_2d", "float32")):
        rng = np.random.default_rng(1)
        layers = [draw_layer(op, dtype, rng) for _ in range(250)] + sweeps(dtype)[op]
        layers = list(dict.fromkeys(layers))
        models[op, dtype] = fit_operator(op, dtype, layers, np.array([picky_ms(layer) for layer in layers]))
    return SettingModel("picky", {}, {}, models, RuntimeTerms())


def said(model: SettingModel, topic: str, op: str, dtype: str = "float32") -> Finding:
    (found,) = [s for s in findings(model, op) if (s.topic, s.dtype) == (topic, dtype)]
    return found


def true_effect(finding: Finding, device) -> float:
    ratios = [
        device(two) / (device(one) * work)
        for (one, two), work in zip(finding.layers, finding.works, strict=True)
    ]
    return float(np.median(ratios))


def test_planted_widths_are_stated(picky):
    widths = said(picky, "widths", "conv_2d")
    assert widths.kind == "likes"
    assert widths.text.startswith("output channels in multiples of 32, below that 16: 33 costs ")
    assert widths.effect == pytest.approx(2.0, rel=0.15)
    assert said(picky, "widths", "conv_2d", "int8").text.startswith("output channels in multiples of 16: 17")
    assert said(picky, "widths", "depthwise_conv_2d").text.startswith("channels in multiples of 8: 9 costs")


def test_a_width_that_costs_more_than_the_next_is_to_be_avoided(picky):
    dip = said(picky, "one channel less", "conv_2d")
    assert dip.kind == "avoid"
    assert re.search(r"just below 32.*31 costs \d\d% more than 32", dip.text)
    assert dip.measured == pytest.approx(1.5, abs=0.01)
    assert "in one measured pair 50% more" in dip.backed


def test_a_planted_kernel_is_stated_with_the_split_it_comes_from(picky):
    large = said(picky, "a 7x7 kernel", "depthwise_conv_2d")
    assert large.kind == "avoid"
    assert large.effect == pytest.approx(10, rel=0.2)
    assert large.evidence.kind == "split"
    assert re.fullmatch(r"kernel_taps <= (2[5-9]|3\d|4[0-8])", large.evidence.rule)
    tree = picky.operators["depthwise_conv_2d", "float32"].tree
    node = tree.nodes_[large.evidence.node]
    assert large.evidence.layers == tree.nodes_[node.right].samples
    assert f"from split {large.evidence.rule}, {large.evidence.layers} layers measured" in large.backed


def test_number_types_are_compared(picky):
    assert said(picky, "int8 against float32", "conv_2d", "int8").text == "it takes 75% less than in float32"


def test_nothing_is_said_that_is_not_so(picky):
    for finding in findings(picky):
        effect = true_effect(finding, picky_ms)
        assert (effect > 1) == (finding.effect > 1), finding.backed
        assert effect == pytest.approx(finding.effect, rel=0.3), finding.backed
        assert abs(math.log(effect)) > math.log1p(finding.error), finding.backed
    topics = {s.topic for s in findings(picky) if s.op == "conv_2d" and s.dtype == "float32"}
    assert topics == {"widths", "one channel less"}
    assert {s.topic for s in findings(picky) if s.op == "depthwise_conv_2d"} == {
        "widths", "a 7x7 kernel", "depthwise_conv_2d against conv_2d",
    }  # fmt: skip


def test_on_a_device_of_plain_tiles_only_its_tiles_are_steps(time_model):
    found = findings(time_model.setting())
    widths = [s for s in found if s.topic in ("widths", "one channel less")]
    tiles = "output channels in multiples of 16"
    assert sorted((s.op, s.dtype, s.text.split(":")[0]) for s in widths) == [
        ("conv_2d", "dynamic_int8", tiles), ("conv_2d", "float32", tiles),
    ]  # fmt: skip
    for finding in found:
        effect = true_effect(finding, layer_ms)
        assert (effect > 1) == (finding.effect > 1), finding.backed
        assert abs(math.log(effect)) > math.log1p(finding.error) / 2, finding.backed


def test_every_finding_is_confirmed_by_the_model_itself(time_model):
    setting = time_model.setting()
    for finding in findings(setting):
        logs = [
            math.log(two / (one * work))
            for (one, two), work in (
                (setting.predict_layers_ms(pair), work)
                for pair, work in zip(finding.layers, finding.works, strict=True)
            )
        ]
        assert math.exp(np.median(logs)) == pytest.approx(finding.effect)
        assert abs(np.median(logs)) > math.log1p(finding.error)


def test_a_call_is_no_cost_of_the_layer(time_model):
    """One call's overhead belongs to the network: small layers must not look dear for it."""
    assert time_model.setting().terms.overhead_ms == pytest.approx(OVERHEAD_MS, rel=0.05)
    assert not [s for s in findings(time_model.setting()) if s.evidence.rule == "call" and s.effect > 3]


def test_findings_are_json(picky):
    for finding in findings(picky):
        value = json.loads(json.dumps(finding.to_dict(), allow_nan=False))
        assert {"text", "op", "dtype", "setting", "kind", "effect", "error", "evidence"} <= set(value)
        assert value["evidence"]["text"].startswith("from ")


def test_the_summary_fits_a_screen_and_begins_with_what_is_liked(picky):
    for columns, rows in ((80, 21), (120, 21), (80, 10)):
        lines = summary(picky, findings(picky), columns, rows)
        assert rows_of(lines, columns) <= rows
    lines = summary(picky, findings(picky))
    assert lines[0].startswith("float32: 2 operators, ")
    assert any("multiples of 32" in line for line in lines)
    assert any("avoid depthwise_conv_2d: a 7x7 kernel" in line for line in lines)
    assert any(line.startswith("int8: 1 operator, ") for line in lines)


def test_without_anything_to_say_the_summary_says_so(picky):
    assert "nothing stands out" in summary(picky, [])[1]


def test_a_split_is_named_only_where_prices_differ(picky):
    """Where one price list explains the difference, the leaf's cost is named, not the split that parts the layers."""
    model = picky.operators["conv_2d", "int8"]
    pair = (operators.conv_2d(16, 16, 64, 16, dtype="int8"), operators.conv_2d(16, 16, 64, 32, dtype="int8"))
    found = why(model, [pair], [1.0])
    assert (found.kind, found.layers > 0) == ("leaf", True)
    assert "tile" in found.rule


def test_a_split_reads_as_in_the_file(picky):
    model = picky.operators["depthwise_conv_2d", "float32"]
    texts = [split_text(model, at) for at, node in enumerate(model.tree.nodes_) if node.feature >= 0]
    assert any(text.startswith("kernel_taps <= ") for text in texts)


# --- errors of differences --------------------------------------------------------------------------------------------


def test_the_difference_of_like_layers_is_known_better_than_either(picky):
    for model in picky.operators.values():
        assert 0 < pair_error(model) <= single_error(model)


def test_equal_layers_are_equally_wrong(picky):
    errors = ChangeErrors(picky)
    before, after = operators.conv_2d(16, 16, 64, 64), operators.conv_2d(16, 16, 64, 32)
    one = errors.change_ms([before], [after])
    assert one > 0
    assert errors.change_ms([before] * 4, [after] * 4) == pytest.approx(4 * one)
    other = operators.conv_2d(8, 8, 96, 64), operators.conv_2d(8, 8, 96, 32)
    both = errors.change_ms([before, other[0]], [after, other[1]])
    assert both == pytest.approx(math.hypot(one, errors.change_ms([other[0]], [other[1]])))
    assert errors.change_ms([before, other[0]], [before, other[0]]) == 0


def test_what_was_never_measured_is_not_known_at_all(picky):
    before, after = operators.unary("gelu", (1, 64)), operators.unary("gelu", (1, 32))
    assert ChangeErrors(picky).of(before) == (1.0, 1.0)
    # No model and no fallback: the prediction is 0, and so is its error.
    assert ChangeErrors(picky).change_ms([before], [after]) == 0
