"""What can be chosen inside layers, and layers of models inside the model, have names of their own in result.json."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from keras import layers
from small_networks import attention_network, resnet

from compressor import Data, Options, Schedule, compress
from compressor.graph import build_graph, cut, find_blocks, without
from compressor.pipeline.result.changes import layer_widths
from compressor.search import SearchMethod
from compressor.testing.device import FormulaTimeModel
from compressor.testing.law import stirred
from edgetime.report.compression import _width_chart

HURRIED = Schedule(epochs=1, batch_size=16, learning_rate=1e-6)
STEPS = 5


class FewerHeads(SearchMethod):
    """Takes away heads and nothing else."""

    name = "heads"

    def search(self, problem):
        heads = next(name for name in problem.full.widths if name.endswith(".heads"))
        problem.try_configuration(problem.full.with_widths({heads: 1}))


def network_with_a_backbone():
    """The transformer as a model inside the model, with a second one that has a layer of the same name."""
    whole = attention_network(STEPS)
    backbone = keras.Model(whole.inputs, whole.layers[-2].output, name="backbone")
    source = keras.Input((STEPS, 6))
    beside = keras.Sequential(
        [layers.Input((STEPS, 6)), layers.Dense(8, activation="relu", name="wide")], name="beside"
    )
    x = layers.Add(name="both")(
        [backbone(source), layers.GlobalAveragePooling1D(name="mean")(beside(source))]
    )
    return stirred(keras.Model(source, layers.Dense(4, activation="softmax", name="head")(x), name="net"))


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    """The content of the result.json of a network that has lost two of its three heads."""
    folder = tmp_path_factory.mktemp("heads")
    network_with_a_backbone().save(folder / "net.keras")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(96, STEPS, 6)).astype("float32"), np.arange(96) % 4
    compress(
        folder / "net.keras",
        Data(x=x, y=y, x_test=x[:16], y_test=y[:16]),
        FormulaTimeModel(),
        folder / "out",
        max_accuracy_drop=100.0,
        method=FewerHeads(),
        options=Options(search=HURRIED, final=HURRIED, finalists=1),
        seeds=1,
        points=1,
        measure=False,
    )
    return json.loads(Path(folder, "out", "result.json").read_text("utf-8"))


def test_heads_and_their_widths_stand_among_the_widths(result):
    rows = {row["layer"]: (row["before"], row["after"]) for row in result["widths"]}
    assert rows == {
        "backbone/embed": (8, 8),
        "backbone/attention.heads": (3, 1),
        "backbone/attention.key_width": (4, 4),
        "backbone/attention.value_width": (5, 5),
        "backbone/attention": (8, 8),
        "backbone/wide": (11, 11),
        "backbone/narrow": (8, 8),
        "beside/wide": (8, 8),
        "head": (4, 4),
    }
    assert len(result["widths"]) == len(rows)


def test_points_that_differ_in_heads_alone_differ(result):
    (point,) = result["points"]
    assert point["widths"]["backbone/attention.heads"] == 1
    assert "head" not in point["widths"]
    bars = _width_chart(result)["series"][1]
    assert dict(zip(bars["x"], bars["y"], strict=True)) == point["widths"]


def test_layers_of_models_inside_are_told_apart_in_what_they_gave_back(result):
    names = {row["name"] for row in result["layers"]}
    assert {
        "backbone/embed",
        "backbone/attention",
        "backbone/wide",
        "backbone/narrow",
        "beside/wide",
    } <= names
    assert {"both", "mean", "head"} <= names
    assert not {"backbone", "beside", "wide"} & names
    changed = {row["name"] for row in result["layers"] if row["op"] and row["reason"] != "unchanged"}
    assert changed == {"backbone/attention"}


class Halved:
    """As much of a trial and of what was prepared as widths need."""

    configuration = None

    def __init__(self, model):
        self.model, self.graph, self.structures = model, build_graph(model), self
        self.widths = {name: (width + 1) // 2 for name, width in self.graph.widths.items()}

    def of(self, configuration):
        return self


def halved(model):
    case = Halved(model)
    return [(row.layer, row.before, row.after) for row in layer_widths(case, case)]


def test_widths_of_embeddings_and_of_grouped_heads_are_named():
    source = keras.Input((None,), dtype="int32")
    x = layers.Embedding(20, 8, name="table")(source)
    x = layers.GroupQueryAttention(4, 6, 2, name="grouped")(x, x)
    model = keras.Model(source, layers.Dense(3, name="head")(layers.GlobalAveragePooling1D()(x)))
    assert halved(model) == [
        ("table", 8, 4),
        ("grouped.heads", 2, 1),
        ("grouped.query_heads", 6, 3),
        ("grouped.key_width", 4, 2),
        ("head", 3, 3),
    ]


def test_both_directions_of_a_layer_are_one_row_and_repeated_widths_none():
    source = keras.Input((4, 4, 3))
    x = layers.Conv2D(4, 1, groups=1, name="conv")(source)
    x = layers.GroupNormalization(2)(x)
    x = layers.Reshape((16, 4), name="rows")(x)
    x = layers.Bidirectional(layers.GRU(6), name="both")(x)
    assert halved(keras.Model(source, layers.Dense(2, name="head")(x))) == [
        ("conv", 4, 2),
        ("both", 6, 3),
        ("head", 2, 2),
    ]


def test_where_blocks_are_gone_widths_are_those_of_the_network_without_them():
    model = resnet()
    graph, block = build_graph(model), find_blocks(model).removable["stage0_0_2"]
    smaller = without(model, [block])
    own = build_graph(smaller)
    # Whatever had the block's width has the stem's now: no two groups are as wide.
    widths = {name: place + 1 for place, name in enumerate(graph.widths)}
    prepared = SimpleNamespace(graph=graph, structures=Given(SimpleNamespace(model=smaller, graph=own)))
    made = cut(smaller, {name: range(widths[name]) for name in own.groups}, own)
    kept = {layer.name: layer.get_config() for layer in made.layers}
    rows = layer_widths(prepared, SimpleNamespace(widths=widths, configuration=None))
    expected = {
        row.layer: kept[row.layer].get("filters", kept[row.layer].get("units")) if row.layer in kept else 0
        for row in rows
    }
    assert {row.layer: row.after for row in rows} == expected
    assert min(expected.values()) == 0


class Given:
    """One structure for all configurations."""

    def __init__(self, structure):
        self.structure = structure

    def of(self, configuration):
        return self.structure
