"""What a network without some blocks becomes, taken from what the whole network becomes."""

from collections import Counter
from functools import cache

import pytest

from compressor.changes import find_changes
from compressor.costs import Configuration, Structures
from compressor.export import tensorflow, to_tflite_bytes
from compressor.graph import build_graph, find_blocks, resize
from profiler.errors import UsageError
from profiler.network import peak_memory_bytes
from profiler.tflite import read_network


def _convert(model):
    return read_network(to_tflite_bytes(model), name="small")


@cache
def small_residual():
    """A convolution, one more of the same shape, a residual block, a head."""
    tensorflow()
    from keras import Input, Model, layers

    x = source = Input((4, 4, 3))
    x = layers.ReLU(name="relu1")(layers.Conv2D(6, 3, padding="same", name="conv1")(x))
    x = layers.ReLU(name="relu2")(layers.Conv2D(6, 3, padding="same", name="conv2")(x))
    y = layers.ReLU(name="relu3")(layers.Conv2D(5, 3, padding="same", name="conv3")(x))
    y = layers.Conv2D(6, 3, padding="same", name="conv4")(y)
    x = layers.ReLU(name="relu4")(layers.Add(name="add")([x, y]))
    return Model(source, layers.Dense(2, name="head")(layers.GlobalAveragePooling2D(name="mean")(x)))


@cache
def converted():
    """Structures of that network, and how many models were converted for each."""
    model = small_residual()
    counted = []

    def convert(made):
        counted.append(made)
        return _convert(made)

    blocks = find_blocks(model).removable
    return Structures(model, build_graph(model), blocks, convert), counted


@pytest.mark.parametrize("removed", [{"conv2"}, {"conv2", "conv3"}])
def test_a_structure_is_the_whole_network_without_the_operators_of_its_blocks(removed):
    structures, counted = converted()
    widths = {name: width - 1 for name, width in structures.full.graph.widths.items()}
    configuration = Configuration(widths).without(removed)
    structures.network(configuration)
    before = len(counted)
    network = structures.network(configuration)
    assert len(counted) == before
    model = structures.model_without(configuration)
    graph = build_graph(model)
    wanted = _convert(resize(model, {name: widths[name] for name in graph.widths}, graph))
    assert Counter(network.layers) == Counter(wanted.layers)
    assert network.macs == wanted.macs
    assert network.weight_bytes == wanted.weight_bytes
    assert peak_memory_bytes(network) == peak_memory_bytes(wanted)
    assert abs(network.file_bytes - wanted.file_bytes) < 0.1 * wanted.file_bytes


def test_only_the_first_structure_is_converted_to_see_that_this_holds():
    structures, counted = converted()
    full = Configuration(structures.full.graph.widths)
    structures.network(full.without({"conv2"}))
    before = len(counted)
    structures.network(full.without({"conv3"}))
    assert len(counted) == before


def test_where_the_converter_makes_something_else_structures_are_converted():
    model = small_residual()
    blocks = find_blocks(model).removable

    def convert(made):
        network = _convert(made)
        return network if made is model or len(made.layers) > 10 else _convert(model)

    structures = Structures(model, build_graph(model), blocks, convert, _convert(model))
    full = Configuration(structures.full.graph.widths)
    found = structures.network(full.without({"conv3"}))
    assert len(found.layers) == len(structures.full.base.layers)


def test_a_change_of_layers_of_another_kind_is_converted_to_see_that_it_holds_there_too():
    tensorflow()
    from keras import Input, Model, layers

    source = Input((6, 6, 3))
    x = layers.Conv2D(4, 5, padding="same", name="whole")(source)
    x = layers.DepthwiseConv2D(5, padding="same", name="each")(x)
    model = Model(source, layers.Dense(2, name="head")(layers.GlobalAveragePooling2D(name="mean")(x)))
    spoiled = _convert(model)

    def convert(made):  # what the converter makes of the one kind is not what is expected
        return spoiled if made.get_layer("each").kernel_size == (3, 3) else _convert(made)

    structures = Structures(model, build_graph(model), find_changes(model).changes, convert, spoiled)
    full = Configuration(structures.full.graph.widths)
    assert structures.network(full.without({"whole:kernel=3x3"})) is not spoiled
    assert structures.network(full.without({"each:kernel=3x3"})) is spoiled


def test_estimates_convert_no_structure():
    structures, _ = converted()
    fresh = Structures(
        small_residual(), structures.full.graph, structures.blocks, _convert, structures.full.base
    )
    fresh.estimating(Configuration(fresh.full.graph.widths))
    fresh._convert = None
    layers = fresh.estimating(Configuration(fresh.full.graph.widths).without({"conv2"})).base.layers
    assert len(layers) == len(fresh.full.base.layers) - 1


def test_few_models_are_kept_and_others_are_made_again_as_they_were():
    model = small_residual()
    blocks = find_blocks(model).removable
    graph = build_graph(model)
    structures = Structures(model, graph, blocks, _convert)
    removed = [[], ["conv2"], ["conv3"], ["conv2", "conv3"]]
    known = [structures.of(Configuration(graph.widths).without(names)) for names in removed]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("compressor.costs.structures._MOST_MODELS", 2)
        names = [[layer.name for layer in one.model.layers] for one in known]
        assert ["model" in vars(one) for one in known] == [True, False, True, True]
        assert [layer.name for layer in known[1].model.layers] == names[1]
        assert ["model" in vars(one) for one in known] == [True, True, False, True]
    assert known[0].model is model


def test_blocks_that_go_alone_but_tie_parts_of_groups_together_are_no_structure():
    tensorflow()
    from keras import Input, Model, layers

    source = Input((4, 4, 3))
    x = layers.Conv2D(8, 3, padding="same", name="stem")(source)
    parts = [layers.Conv2D(4, 1, name=name)(x) for name in ("left", "right")]
    y = layers.Conv2D(8, 1, name="first")(layers.Concatenate(name="join")(parts))
    y = layers.Add(name="add")([x, layers.Conv2D(8, 1, name="second")(y)])
    model = Model(source, layers.Dense(2, name="head")(layers.GlobalAveragePooling2D(name="mean")(y)))
    structures = Structures(model, build_graph(model), find_changes(model).changes, _convert)
    full = Configuration(structures.full.graph.widths)
    assert structures.of(full.without({"first"})).graph.widths == {"stem": 8, "left": 4, "right": 4}
    assert structures.of(full.without({"second"})).graph.widths == {"stem": 8, "left": 4, "right": 4}
    with pytest.raises(UsageError, match="ties parts of groups"):
        _ = structures.of(full.without({"first", "second"})).graph
