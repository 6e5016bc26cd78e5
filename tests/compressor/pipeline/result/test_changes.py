"""What was done to a network, in words."""

from types import SimpleNamespace

import keras
import pytest
from keras import layers

from compressor.changes import RefusedChange, find_changes
from compressor.costs import Configuration, Structures
from compressor.graph import build_graph
from compressor.pipeline.result.changes import changes_in_words
from compressor.pipeline.result.structural import refused_in_words


@pytest.fixture(scope="module")
def prepared():
    source = keras.Input((16, 6), name="signal")
    x = layers.Conv1D(8, 5, padding="same", name="conv")(source)
    x = layers.Dense(8, name="row")(x)
    x = layers.Add()([x, layers.MultiHeadAttention(4, 2, name="attention")(x, x)])
    model = keras.Model(source, layers.Dense(2)(layers.GlobalAveragePooling1D()(x)))
    graph, blocks = build_graph(model), find_changes(model).changes
    return SimpleNamespace(model=model, graph=graph, structures=Structures(model, graph, blocks, None))


def words(prepared, removed, **widths):
    configuration = Configuration({**prepared.graph.widths, **widths}).without(removed)
    return changes_in_words(
        prepared, SimpleNamespace(configuration=configuration, widths=configuration.widths)
    )


def test_blocks_kernels_steps_and_heads_are_named(prepared):
    assert words(prepared, []) == "all channels stay"
    assert words(prepared, ["row"]) == "without row; all channels stay"
    said = words(prepared, ["row", "conv:kernel=3", "conv:steps=1/2"], **{"attention.heads": 2})
    assert said.startswith(
        "without row; one of 2 steps of the input signal is looked at; 5-step kernels of conv became 3-step; "
        "2 of 4 heads of attention removed; 88% of the channels stay"
    )


def test_what_was_refused_is_one_line():
    some = [RefusedChange("kernel", f"conv_{i}", "its padding is valid") for i in range(6)]
    assert refused_in_words([]) == []
    assert refused_in_words(some[:1]) == [
        "Left as it is besides channels: conv_0 (kernel: its padding is valid)."
    ]
    assert refused_in_words(some)[0].endswith("; 2 more in result.json.")
