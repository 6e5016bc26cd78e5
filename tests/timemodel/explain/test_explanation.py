from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from profiler.errors import UsageError
from profiler.operators import conv_2d
from timemodel.explain import explain
from timemodel.explain.explanation import explain_operator
from timemodel.explain.tree_in_words import rows_of
from timemodel.model import OperatorModel, fit_operator
from timemodel.model.operator_model import OperatorError
from timemodel.tree import TreeNode


def test_says_where_the_steps_are(time_model):
    text = explain(time_model.setting(), "conv_2d")[-1]
    assert text.startswith("conv_2d float32: ")
    assert "tiles of 16 output channels" in text
    assert "likes: output channels in multiples of 16: 17 costs " in text
    assert "layers measured; in one measured pair " in text
    assert "ms per million MACs" in text


def test_no_more_than_a_screen_per_operator(time_model):
    assert all(rows_of(text.splitlines(), 80) <= 23 for text in explain(time_model.setting()))


def deep_model(depth: int) -> OperatorModel:
    """Softmax whose tree splits again and again; each split gains less than the one above it."""
    nodes = []
    for level in range(depth):
        below = len(nodes) + 1
        nodes += [
            TreeNode(
                feature=0, threshold=1000.0 / (level + 1), left=below + 1, right=below, gain=1.0 / (level + 1)
            ),
            TreeNode(samples=10),
        ]
    nodes.append(TreeNode(samples=10))
    error = OperatorError("softmax", "float32", 100, depth + 1, 0.1, 0.05, 0.2)
    model = OperatorModel("softmax", "float32", {}, None, 0.9, 1.1, None, error, [])
    costs, _ = model.names()
    for index, node in enumerate(nodes):
        node.coefficients = np.full(len(costs) + 1, 1e-6 * (index + 1))
    bounds = np.array([np.ones(len(costs)), np.full(len(costs), 1e6)])
    return replace(model, bounds=bounds, tree=SimpleNamespace(nodes_=nodes, scale_=1.0))


def test_every_split_is_shown_where_there_is_room():
    lines = explain_operator(deep_model(3)).splitlines()
    assert sum(" up to " in line for line in lines) == 3
    assert sum(" above " in line for line in lines) == 3
    assert not any("left out" in line for line in lines)


def test_a_large_tree_keeps_its_weightiest_splits_and_says_how_many_it_left_out():
    lines = explain_operator(deep_model(40)).splitlines()
    assert 15 < rows_of(lines, 80) <= 23
    shown = sum(" up to " in line for line in lines)
    assert shown > 3
    assert "up to 1,000" in "\n".join(lines)
    assert lines[-1].strip() == f"({40 - shown} finer splits left out: the file has them)"
    # Where a split is left out its node's own cost stands: the node above it is the weakest one shown.
    deepest = next(line for line in lines if f"up to {1000 // shown}" in line)
    assert f"{1e-3 * (2 * shown + 1):.2g} us" in deepest


def test_a_tree_without_splits_always_holds():
    assert any(line.startswith("  always: 0.001 us") for line in explain_operator(deep_model(0)).splitlines())


def test_the_runtime_has_its_own_paragraph(time_model):
    last = explain(time_model.setting())[-1]
    assert (
        "float32: A PAD before a convolution or a depthwise convolution costs nothing: it runs inside it"
        in last
    )
    assert "float32: A LOGISTIC before a MUL costs nothing: it runs inside it" in last
    assert "outside XNNPACK" not in last


def test_an_unknown_operator_is_answered_with_the_known_ones(time_model):
    with pytest.raises(UsageError, match=r"choose from .*conv_2d"):
        explain(time_model.setting(), "softmax")


def test_an_accelerators_operator_says_what_its_layers_wait_for():
    layers = [
        conv_2d(side, side, 8 * inside, 8 * outside, (1, 1), dtype="int8")
        for side in (4, 8, 16)
        for inside in (1, 2, 4)
        for outside in (1, 2, 4, 6)
    ]
    times_ms = np.array(
        [max(1e-6 * layer.macs, 1e-4 * (layer.input_bytes + layer.output_bytes)) for layer in layers]
    )
    text = explain_operator(fit_operator("conv_2d", "int8", layers, times_ms, device="accelerator"))
    assert "  waits for the slowest of these parts:\n    computing: " in text
    assert "    fast memory: " in text
    assert rows_of(text.splitlines(), 80) <= 23
