"""Changed networks as files: LiteRT computes what Keras does, and their times are priced as of any structure."""

from collections import Counter

import keras
import numpy as np
from keras import layers

from compressor.changes import find_changes
from compressor.changes.pairs import ThinPair
from compressor.costs import Configuration, PredictedTime, Structures
from compressor.export import TfliteRunner, to_tflite_bytes
from compressor.graph import build_graph, cut, resize
from compressor.testing.device import FormulaTimeModel
from compressor.testing.law import stirred
from profiler.tflite import read_network


def picture_network():
    source = keras.Input((16, 16, 3))
    x = layers.Conv2D(12, 5, padding="same", activation="relu", name="stem")(source)
    y = layers.Conv2D(12, 5, padding="same", activation="relu", name="near")(x)
    z = layers.Conv2D(9, 1, activation="relu", name="point")(x)
    x = layers.BatchNormalization()(layers.Concatenate()([y, z]))
    x = layers.Dense(24, activation="relu", name="wide")(layers.GlobalAveragePooling2D()(x))
    return stirred(keras.Model(source, layers.Dense(3, name="head")(x)))


def as_file(model):
    return read_network(to_tflite_bytes(model), name=model.name)


def assert_the_file_agrees(model):
    shape = (2, *model.inputs[0].shape[1:])
    x = np.random.default_rng(0).normal(size=shape).astype("float32")
    found = TfliteRunner(to_tflite_bytes(model)).predict(x)
    np.testing.assert_allclose(found, model(x, training=False), rtol=1e-4, atol=1e-5)


def test_a_network_with_a_change_of_every_kind_is_priced_cut_and_converted():
    model = picture_network()
    graph, base = build_graph(model), as_file(model)
    times = FormulaTimeModel()
    blocks = dict(find_changes(model, base, times.predict_layers_ms).changes)
    assert {"near", "point:branch", "stem:steps=1/2", "near:kernel=3x3"} <= blocks.keys()
    rank = next(name for name in blocks if name.startswith("near:rank="))
    structures = Structures(model, graph, blocks, as_file, base)
    full = Configuration(graph.widths)
    priced = PredictedTime(times, structures)
    whole = priced.exact(full)
    for name in ("point:branch", "stem:steps=1/2", "near:kernel=3x3", rank):
        assert priced.exact(full.without([name])) < whole, name
    some = full.without(["point:branch", "stem:steps=1/2", "near:kernel=3x3", "stem:kernel=3x3", rank])
    structure = structures.of(some)
    # What a change has chosen itself is no width of the search; the branch's is of no account.
    assert set(structure.graph.groups) == {"stem", "near", "wide"}
    narrow = some.with_widths({"stem": 7, "near": 5, "wide": 9})
    smaller = cut(
        structure.model,
        {name: range(narrow.widths[name]) for name in structure.graph.groups},
        structure.graph,
    )
    assert smaller.get_layer("near_thin").filters == blocks[rank].rank
    assert priced.network(narrow).macs == as_file(smaller).macs
    assert_the_file_agrees(smaller)


def test_smaller_kernels_and_low_rank_are_priced_without_converting_each():
    model = picture_network()
    counted = []

    def convert(made):
        counted.append(made)
        return as_file(made)

    base, times = as_file(model), FormulaTimeModel()
    blocks = dict(find_changes(model, base, times.predict_layers_ms).changes)
    structures = Structures(model, build_graph(model), blocks, convert, base)
    rank, wide = (
        [name for name in blocks if name.startswith(f"{layer}:rank=")] for layer in ("near", "wide")
    )
    full = Configuration(build_graph(model).widths).with_widths({"stem": 7, "near": 5, "wide": 9})
    some = full.without(["near:kernel=3x3", "stem:kernel=3x3", rank[0], *wide[:1]])
    structures.network(some)  # of this kind the first is converted, to see that it is so
    before = len(counted)
    other = full.without(["near:kernel=3x3", rank[-1], *wide[-1:]])
    found = structures.network(other)
    assert len(counted) == before
    structure = structures.of(other)
    wanted = as_file(
        resize(
            structure.model, {name: other.widths[name] for name in structure.graph.groups}, structure.graph
        )
    )
    assert Counter(found.layers) == Counter(wanted.layers)
    assert found.weight_bytes == wanted.weight_bytes
    assert abs(found.file_bytes - wanted.file_bytes) < 0.1 * wanted.file_bytes


def test_a_recurrent_network_that_looks_at_every_second_step_is_converted():
    source = keras.Input((10, 4))
    x = layers.Conv1D(5, 5, padding="same", name="conv")(source)
    model = stirred(keras.Model(source, layers.Dense(2)(layers.GRU(4, name="gru")(x))))
    blocks = find_changes(model).changes
    assert_the_file_agrees(blocks["gru:steps=1/2"].apply(blocks["conv:kernel=3"].apply(model)))


def test_dense_layers_and_convolutions_over_time_in_two_are_converted():
    source = keras.Input((12, 8))
    x = layers.Conv1D(10, 3, padding="same", activation="relu", name="conv")(source)
    x = layers.Dense(9, activation="relu", name="each")(x)
    model = stirred(keras.Model(source, layers.Dense(2)(layers.GlobalAveragePooling1D()(x))))
    made = ThinPair("each", ("each",), "Dense", 3, (10, 9), "").apply(model)
    assert_the_file_agrees(ThinPair("conv", ("conv",), "Conv1D", 4, (3, 8, 10), "").apply(made))
