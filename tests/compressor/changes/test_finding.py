"""What each dimension offers in a network, and what it refuses."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
from keras import layers

from compressor.changes import (
    Dimension,
    changed,
    find_changes,
    in_effect,
    names_in_effect,
    register_dimension,
    registry,
)
from compressor.changes.branches import ParallelBranch
from compressor.changes.kernels import SmallerKernel
from compressor.changes.pairs import ThinPair, factors
from compressor.graph import RemovableBlock, build_graph, find_blocks
from compressor.testing import check_change
from compressor.testing.law import outputs_of, stirred
from profiler.errors import UsageError
from profiler.network import Layer, Tensor


def refused(model, dimension, **known):
    return {
        one.layer: one.reason for one in find_changes(model, **known).refused if one.dimension == dimension
    }


def ids(model, dimension, **known):
    return [name for name in find_changes(model, **known).changes if f":{dimension}" in name]


def convolutions(*kinds):
    """Layers in a row on a picture of 16 by 16."""
    return stirred(
        keras.Sequential(
            [layers.Input((16, 16, 3)), *kinds, layers.GlobalAveragePooling2D(), layers.Dense(2)]
        )
    )


def test_kernels_of_7_become_5_or_3_and_those_of_3_stay():
    model = convolutions(
        layers.Conv2D(4, 7, padding="same", name="seven"), layers.Conv2D(4, (1, 5), padding="same", name="flat"),
        layers.Conv2D(4, 3, padding="same", name="three"),
    )  # fmt: skip
    assert ids(model, "kernel") == ["seven:kernel=5x5", "seven:kernel=3x3", "flat:kernel=1x3"]
    assert [
        one.words for one in find_changes(model).changes.values() if "flat" in one.id and ":" in one.id
    ] == ["1x5 kernels of flat became 1x3"]


def test_a_branch_beside_a_shortcut_and_the_layers_in_it_are_all_offered():
    source = keras.Input((16, 16, 4))
    x = layers.Conv2D(4, 3, padding="same", activation="relu", name="inner")(source)
    x = layers.Add(name="sum")([source, layers.Conv2D(4, 3, padding="same", name="last")(x)])
    model = stirred(keras.Model(source, layers.Dense(2)(layers.GlobalAveragePooling2D()(x))))
    found = [c for c in find_changes(model).changes.values() if isinstance(c, RemovableBlock)]
    assert [one.layers for one in found] == [("inner", "last", "sum"), ("inner",), ("last",)]


def test_kernels_whose_middle_is_no_kernel_of_the_same_network_are_refused_with_the_reason():
    source = keras.Input((16, 3))
    x = layers.Conv1D(4, 5, padding="causal", name="causal")(source)
    x = layers.Conv1D(4, 5, padding="valid", name="valid")(x)
    x = layers.Conv1DTranspose(4, 5, padding="same", name="transposed")(x)
    x = layers.Conv1D(4, 5, 3, padding="same", name="strided")(x)
    model = keras.Model(source, layers.Dense(2)(layers.GlobalAveragePooling1D()(x)))
    found = refused(model, "kernel")
    assert "no middle" in found["causal"]
    assert "larger outputs" in found["valid"]
    assert "transposed" in found["transposed"]
    assert ids(model, "kernel") == ["strided:kernel=3"]  # 12 steps by 3: both kernels look at the same middle


def test_kernels_over_time_of_depthwise_and_separable_convolutions_are_cut_in_the_middle():
    source = keras.Input((16, 3))
    x = layers.DepthwiseConv1D(5, strides=3, padding="same", depth_multiplier=2, name="depthwise")(source)
    x = layers.SeparableConv1D(4, 7, padding="same", name="separable")(x)
    model = stirred(keras.Model(source, layers.Dense(2)(layers.GlobalAveragePooling1D()(x))))
    names = ["depthwise:kernel=3", "separable:kernel=5", "separable:kernel=3"]
    assert ids(model, "kernel") == names
    for name in names[:2]:
        check_change(find_changes(model).changes[name], model)


def test_a_kernel_whose_middle_moves_with_the_stride_is_refused():
    model = convolutions(layers.Conv2D(4, 7, 4, padding="same", name="wide"))
    assert ids(model, "kernel") == ["wide:kernel=5x5"]
    assert refused(model, "kernel") == {"wide": "with its strides 3x3 would not lie in the middle of 7x7"}


def file_of(*found):
    return SimpleNamespace(layers=found)


def conv_layer(side=5, read=3, made=8, size=16):
    return Layer(
        "conv_2d",
        (
            Tensor((1, size, size, read)),
            Tensor((made, side, side, read), constant=True),
            Tensor((made,), constant=True),
        ),
        (Tensor((1, size, size, made)),),
        {
            "kernel_height": side,
            "kernel_width": side,
            "stride_height": 1,
            "stride_width": 1,
            "activation": "relu",
        },
    )


def dense_layer(read, made):
    return Layer(
        "fully_connected",
        (Tensor((1, read)), Tensor((made, read), constant=True)),
        (Tensor((1, made)),),
        {"activation": "relu"},
    )


def by_macs(found):
    return np.array([1e-3 + layer.macs * 1e-6 for layer in found])


def test_a_smaller_kernel_that_saves_no_time_on_the_device_is_refused_with_both_times():
    model = convolutions(layers.Conv2D(8, 5, padding="same", activation="relu", name="conv"))
    known = {"file": file_of(conv_layer())}
    assert ids(model, "kernel", **known, layers_ms=by_macs) == ["conv:kernel=3x3"]
    flat = {**known, "layers_ms": lambda found: np.full(len(found), 0.25)}
    assert ids(model, "kernel", **flat) == []
    assert refused(model, "kernel", **flat)["conv"] == (
        "3x3 kernels are predicted to take 0.25 ms where 5x5 take 0.25 ms"
    )


def dense_model(read=64, made=32):
    return stirred(
        keras.Sequential(
            [layers.Input((read,)), layers.Dense(made, activation="relu", name="wide"), layers.Dense(3)]
        )
    )


def test_ranks_are_the_highest_at_which_two_layers_take_three_quarters_and_half_of_the_one():
    known = {"file": file_of(dense_layer(64, 32)), "layers_ms": by_macs}
    # One takes 0.001 + 2048e-6 ms, two 0.002 + 96e-6 ms for each rank.
    assert ids(dense_model(), "rank", **known) == ["wide:rank=2"]
    free = {**known, "layers_ms": lambda found: np.array([layer.macs * 1e-6 for layer in found])}
    assert ids(dense_model(), "rank", **free) == ["wide:rank=16", "wide:rank=10"]


def test_two_layers_that_take_longer_than_the_one_are_refused_with_both_times():
    known = {"file": file_of(dense_layer(64, 32)), "layers_ms": lambda found: np.full(len(found), 0.1)}
    assert refused(dense_model(), "rank", **known)["wide"] == (
        "two layers are predicted to take 0.2 ms or more, which is over 75% of its 0.1 ms"
    )
    assert "time model" in refused(dense_model(), "rank", file=known["file"])["wide"]
    assert "not known alone" in refused(dense_model(), "rank")["wide"]


def test_two_thin_layers_stand_in_for_one_and_of_full_rank_they_are_the_same():
    model = convolutions(layers.Conv2D(6, 3, 2, padding="same", activation="tanh", name="conv"))
    pair = ThinPair("conv:rank=5", ("conv",), "Conv2D", 5, (3, 3, 3, 6), "")
    made = check_change(pair, model)
    assert [layer.name for layer in made.layers[:2]] == ["conv_thin", "conv"]
    assert made.get_layer("conv_thin").kernel.shape == (3, 3, 3, 5)
    assert build_graph(made, pair.fixed).widths == build_graph(model).widths == {"conv": 6}
    dense, x = dense_model(), np.random.default_rng(0).normal(size=(2, 64)).astype("float32")
    first, second = factors(dense.get_layer("wide").kernel.numpy(), 32)
    np.testing.assert_allclose(
        x @ first @ second, x @ dense.get_layer("wide").kernel.numpy(), rtol=1e-4, atol=1e-4
    )


def test_steps_before_a_recurrent_layer_can_go_and_those_that_weights_count_cannot():
    steps = [
        layers.Input((16, 3)),
        layers.Conv1D(4, 3, padding="same", name="conv"),
        layers.GRU(4, return_sequences=True, name="gru"),
    ]
    free = keras.Sequential([*steps, layers.GlobalAveragePooling1D(), layers.Dense(2)])
    assert ids(free, "steps") == ["conv:steps=1/2", "conv:steps=1/4", "gru:steps=1/2", "gru:steps=1/4"]
    bound = keras.Sequential(
        [
            layers.Input((16, 3)),
            layers.GRU(4, return_sequences=True, name="gru2"),
            layers.Flatten(),
            layers.Dense(2),
        ]
    )
    assert "needs all of them" in refused(bound, "steps")["gru2"]
    masked = keras.Sequential(
        [layers.Input((16, 3)), layers.Masking(), layers.GRU(4, name="gru3"), layers.Dense(2)]
    )
    assert refused(masked, "steps")["gru3"] == "a mask says which steps count"
    out = keras.Sequential([layers.Input((16, 3)), layers.GRU(4, return_sequences=True, name="gru4")])
    assert refused(out, "steps")["gru4"] == "the network's output would be shorter"


def test_one_branch_stays_and_those_whose_channels_are_tied_to_others_are_refused():
    source = keras.Input((8, 8, 4))
    x = layers.Conv2D(3, 1, name="left")(source)
    y = layers.Conv2D(5, 3, padding="same", name="right")(source)
    z = layers.Concatenate()([x, y])
    free = keras.Model(source, layers.Dense(2)(layers.GlobalAveragePooling2D()(z)))
    assert ids(free, "branch") == ["left:branch", "right:branch"]
    both = changed(free, [find_changes(free).changes[name] for name in ("right:branch", "left:branch")])
    assert [layer.name for layer in both.layers if layer.weights][:1] == ["left"]  # one must stay
    z = layers.Add()([z, layers.Conv2D(8, 1, name="beside")(source)])
    tied = keras.Model(source, layers.Dense(2)(layers.GlobalAveragePooling2D()(z)))
    assert "tied to those of layers outside" in refused(tied, "branch")["left"]


def test_layers_inside_a_branch_can_go_alone():
    source = keras.Input((8, 8, 4))
    x = layers.Conv2D(4, 3, padding="same", name="stem")(source)
    y = layers.Conv2D(4, 3, padding="same", activation="relu", name="inner")(x)
    x = layers.Add()([x, layers.Conv2D(4, 3, padding="same", name="outer")(y)])
    model = keras.Model(source, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))
    assert {"inner", "outer", "stem"} <= set(find_blocks(model).removable)


def test_of_one_place_the_strongest_counts_and_nothing_of_a_block_that_is_gone():
    def kernel(layer, side):
        return SmallerKernel(f"{layer}:kernel={side}", (layer,), "kernel", (7,), (side,), (1,), "")

    block = RemovableBlock("a", ("a", "a_norm"), "a", 0, False)
    row = RemovableBlock("a_norm", ("a_norm",), "a_norm", 0, False)
    every = [block, row, kernel("a", 3), kernel("b", 5), kernel("b", 3)]
    assert [change.id for change in in_effect(every)] == ["a", "b:kernel=3"]
    branch = ParallelBranch("row", ("a", "a_norm"), "join", 2, "a_norm", "")
    assert in_effect([block, branch]) == [branch]


def test_a_pair_is_left_out_where_it_would_be_no_thinner_than_the_smaller_kernel():
    model = stirred(
        keras.Sequential(
            [
                layers.Input((9, 9, 1)),
                layers.Conv2D(16, 7, padding="same", name="wide"),
                layers.GlobalAveragePooling2D(),
            ]
        )
    )
    pair = ThinPair("wide:rank=12", ("wide",), "Conv2D", 12, (7, 7, 1, 16), "")
    every = {**find_changes(model).changes, pair.id: pair}
    assert pair.words == "wide became two layers of rank 12 of 16"
    for side, thin in ((5, True), (3, False)):  # 25 and 9 weights read by each channel
        names = [f"wide:kernel={side}x{side}", pair.id]
        assert (pair.id in names_in_effect(every, names)) is thin
        made = changed(model, [every[name] for name in names])
        assert ("wide_thin" in {layer.name for layer in made.layers}) is thin


def test_changes_are_made_together_and_what_a_block_took_is_passed_over():
    model = convolutions(
        layers.Conv2D(4, 5, padding="same", name="stem"),
        layers.Conv2D(4, 5, padding="same", activation="relu", name="row"),
    )
    every = find_changes(model).changes
    names = ["row", "row:kernel=3x3", "stem:kernel=3x3", "stem:steps=1/2", "stem:steps=1/4"]
    made = changed(model, [every[name] for name in names])
    assert [layer.name for layer in made.layers][:2] == ["stem_pixels", "stem"]
    assert made.get_layer("stem").kernel.shape == (3, 3, 3, 4)
    assert made.get_layer("stem_pixels").strides == (4, 4)
    assert outputs_of(made).shape == outputs_of(model).shape


class _Own(Dimension):
    name = "own"

    def find(self, network):
        if network.model.name == "broken":
            raise ZeroDivisionError("by zero")
        return [], [self.refuse("stem", "because")]


def test_a_dimension_of_ones_own_is_asked_and_one_that_fails_is_named(monkeypatch):
    monkeypatch.setattr(registry, "_registered", {})
    register_dimension("own", _Own)
    model = dense_model()
    assert refused(model, "own") == {"stem": "because"}
    broken = keras.Sequential([layers.Input((4,)), layers.Dense(2)], name="broken")
    assert refused(broken, "own") == {"": "it failed with ZeroDivisionError: by zero"}
    with pytest.raises(UsageError, match="taken"):
        register_dimension("kernel", _Own)
