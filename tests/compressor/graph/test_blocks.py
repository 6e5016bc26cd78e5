"""Blocks that can go as a whole: a network without them computes what it does where they pass on what they read."""

import keras
import numpy as np
import pytest
from keras import layers
from small_networks import attention_network, residual_network, resnet, transfer_network

from compressor.graph import build_graph, find_blocks, layers_of, without
from compressor.testing.law import stirred


def dense_stack():
    return stirred(
        keras.Sequential(
            [
                layers.Input((6,)),
                layers.Dense(8, activation="relu", name="first"),
                layers.Dense(8, name="second"),
                layers.BatchNormalization(name="norm"),
                layers.ReLU(name="rectified"),
                layers.Dense(8, activation="tanh", name="third"),
                layers.Dense(3, name="head"),
            ]
        )
    )


def gru_stack():
    """Two recurrent layers of one size behind a convolution."""
    source = keras.Input((5, 3))
    x = layers.Conv1D(6, 3, padding="same", name="conv")(source)
    x = layers.GRU(6, return_sequences=True, name="gru_1")(x)
    x = layers.LayerNormalization(name="norm")(layers.GRU(6, return_sequences=True, name="gru_2")(x))
    x = layers.GlobalAveragePooling1D()(x)
    return stirred(keras.Model(source, layers.Dense(2, name="head")(x)))


def operators_network():
    """A residual branch that is added by ``+``, in front."""
    source = keras.Input((8,))
    x = layers.Dense(6, name="stem")(source)
    x = layers.Dense(6, name="back")(layers.Dense(4, activation="relu", name="forth")(x)) + x
    return stirred(keras.Model(source, layers.Dense(2, name="head")(x)))


NETWORKS = {
    "attention": attention_network,
    "a model inside": transfer_network,
    "dense": dense_stack,
    "operators": operators_network,
    "recurrent": gru_stack,
    "residual": resnet,
    "squeeze and excite": residual_network,
}


def rows_for(model, count=3):
    shapes = [tensor.shape[1:] for tensor in model.inputs]
    rows = [np.random.default_rng(1).normal(size=(count, *shape)).astype("float32") for shape in shapes]
    return rows if len(rows) > 1 else rows[0]


def passing_on(model, blocks):
    """The same network, in which the layers of blocks give back what their block reads: made by Keras' own cloning."""
    ends = {block.result: block for block in blocks}
    read = {}

    def call(layer, *arguments, **keywords):
        tensors = keras.tree.flatten((arguments, keywords))
        for block in blocks:
            if layer.name == block.reader:
                read[block.id] = tensors[block.operand]
        return read[ends[layer.name].id] if layer.name in ends else layer(*arguments, **keywords)

    sources = model.inputs if len(model.inputs) > 1 else model.inputs[0]
    functional = keras.Model(sources, model.outputs[0])
    return keras.models.clone_model(functional, call_function=call, clone_function=lambda layer: layer)


def removable(model):
    return list(find_blocks(model).removable.values())


def test_residual_blocks_can_go_whether_their_shortcut_has_layers_or_not():
    found = find_blocks(resnet())
    branches = [block for block in found.removable.values() if block.branch]
    assert [block.id for block in branches] == [
        *("stage0_0_1", "stage0_1_1"),
        *("stage1_0_1", "stage1_1_1"),
        *("stage2_0_1", "stage2_1_1"),
    ]
    assert not found.refused


def test_of_two_branches_with_layers_the_longer_one_can_go():
    model = resnet()
    first = {block.id: block for block in removable(model)}["stage1_0_1"]
    smaller = without(model, [first])
    assert "stage1_0_0" in {layer.name for layer in smaller.layers}
    assert [kind for layer in smaller.layers if (kind := type(layer).__name__) == "Add"] == ["Add"] * 5


def two_branches(joined):
    source = keras.Input((4,))
    short = layers.Dense(6, name="short")(source)
    inner = layers.Dense(5, name="inner")(source)
    return source, *joined(short, inner, layers.Dense(6, name="outer")(inner))


@pytest.mark.parametrize(
    ("joined", "reason"),
    [
        (
            lambda short, inner, outer: (layers.Add(name="add")([short, outer]), inner),
            "its longer branch is read elsewhere, too",
        ),
        (
            lambda short, inner, outer: (layers.Add(name="add")([short, outer]), outer),
            "its longer branch is read elsewhere, too",
        ),
        (
            lambda short, inner, outer: (
                layers.Add(name="add")([layers.Dense(1, name="one")(short), outer]),
                short,
            ),
            "its shorter branch has another shape",
        ),
    ],
)
def test_a_longer_branch_that_cannot_go_is_named(joined, reason):
    source, added, other = two_branches(joined)
    model = keras.Model(source, layers.Concatenate()([layers.Dense(3)(added), layers.Dense(3)(other)]))
    found = find_blocks(model)
    assert not [block for block in found.removable.values() if block.branch]
    assert ("add", reason) in [(one.layer, one.reason) for one in found.refused]


def test_a_branch_that_begins_at_an_input_of_its_own_stays():
    one, other = keras.Input((4,)), keras.Input((3,))
    x = layers.Dense(6)(layers.Dense(5)(one))
    model = keras.Model([one, other], layers.Add(name="add")([x, layers.Dense(6)(other)]))
    assert [(f.layer, f.reason) for f in find_blocks(model).refused] == [
        ("add", "its longer branch begins at an input of its own")
    ]


def test_the_rectifier_behind_an_addition_goes_with_it_where_the_shortcut_was_rectified():
    model = resnet()
    kinds = {name: type(layer).__name__ for name, layer in layers_of(model)}
    branches = {block.id: block for block in removable(model) if block.branch}
    assert kinds[branches["stage1_1_1"].result] == "ReLU"
    assert kinds[branches["stage0_0_1"].result] == "Add"  # the stem is not rectified


def test_the_halves_of_a_transformer_block_can_go():
    branches = [block for block in removable(attention_network()) if block.branch]
    assert [block.layers[:2] for block in branches] == [("norm_1", "attention"), ("norm_2", "wide")]


def test_layers_in_a_row_take_their_normalisation_and_activation_along():
    assert [block.layers for block in removable(dense_stack())] == [
        ("second", "norm", "rectified"),
        ("third",),
    ]


def test_a_layer_that_is_used_twice_stays():
    source = keras.Input((4,))
    shared = layers.Dense(4, name="shared")
    model = keras.Model(source, layers.Dense(2)(shared(shared(source))))
    found = find_blocks(model)
    assert not found.removable
    assert ("shared", "a layer of its is used elsewhere too") in [(f.layer, f.reason) for f in found.refused]


def test_a_branch_that_something_else_reads_stays():
    source = keras.Input((4,))
    x = layers.Dense(6, name="stem")(source)
    y = layers.Dense(5, name="inner")(x)
    z = layers.Dense(6, name="outer")(y)
    model = keras.Model(source, layers.Concatenate()([layers.Add()([x, z]), y]))
    assert not [block for block in removable(model) if block.branch]


def test_what_makes_an_output_stays():
    source = keras.Input((4,))
    model = keras.Model(source, layers.Dense(4, name="only")(source))
    assert not find_blocks(model).removable


@pytest.mark.parametrize("kind", sorted(set(NETWORKS) - {"a model inside"}))
def test_without_blocks_a_network_computes_what_it_does_where_they_pass_on_what_they_read(kind):
    model = NETWORKS[kind]()
    blocks, x = removable(model), rows_for(model)
    assert blocks
    rng = np.random.default_rng(0)
    chosen = [[block] for block in blocks] + [blocks]
    chosen += [[block for block in blocks if rng.random() < 0.5] for _ in range(3)]
    for some in chosen:
        smaller = without(model, some)
        gone = {name for block in some for name in block.layers}
        assert {layer.name for layer in smaller.layers} == {layer.name for layer in model.layers} - gone
        np.testing.assert_allclose(
            smaller(x, training=False), passing_on(model, some)(x, training=False), rtol=1e-5, atol=1e-6
        )


def test_a_block_of_a_model_inside_can_go():
    model = transfer_network()
    (branch,) = [block for block in removable(model) if block.branch]
    assert branch.id == "backbone/side"
    smaller = without(model, [branch])
    assert "backbone/side" not in dict(layers_of(smaller))
    inner = model.get_layer("backbone")
    side = inner.get_layer("side")
    side.set_weights([np.zeros_like(value) for value in side.get_weights()])
    x = rows_for(model)
    np.testing.assert_allclose(smaller(x, training=False), model(x, training=False), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", sorted(NETWORKS))
def test_groups_that_are_left_keep_their_names_and_widths(kind):
    model = NETWORKS[kind]()
    groups = build_graph(model).widths
    for block in removable(model):
        left = build_graph(without(model, [block])).widths
        assert left.items() <= groups.items()
