"""The law of every dimension on random networks: changed is masked."""

import itertools

import keras
import numpy as np
import pytest
from keras import layers
from small_networks import attention_network, recurrent_network, residual_network

from compressor.changes import changed, find_changes, names_in_effect
from compressor.graph import find_blocks
from compressor.testing import check_change
from compressor.testing.law import stirred


def random_convolutions(seed):
    """Convolutions of random kinds, kernels and strides, on a picture of random sides."""
    rng = np.random.default_rng(seed)
    source = keras.Input((int(rng.integers(12, 18)), int(rng.integers(12, 18)), 2))
    x = source
    for number in range(4):
        kernel = tuple(int(n) for n in rng.choice([1, 3, 4, 5, 7], 2))
        stride = int(rng.choice([1, 1, 2]))
        kind = rng.choice(["Conv2D", "DepthwiseConv2D", "SeparableConv2D"])
        wide = {} if kind == "DepthwiseConv2D" else {"filters": int(rng.integers(2, 6))}
        dilation = int(rng.choice([1, 2])) if stride == 1 else 1
        x = getattr(layers, kind)(
            **wide, kernel_size=kernel, strides=stride, padding="same", dilation_rate=dilation,
            activation="relu", name=f"{kind.lower()}_{number}",
        )(x)  # fmt: skip
    return stirred(keras.Model(source, layers.Dense(2)(layers.GlobalAveragePooling2D()(x))), seed)


def inception(seed):
    """Two or three branches that are joined, with a normalisation behind them, twice."""
    rng = np.random.default_rng(seed)
    source = keras.Input((9, 9, 3))
    x = layers.Conv2D(4, 3, padding="same", name="stem")(source)
    for stage in range(2):
        parts = [layers.Conv2D(int(rng.integers(2, 5)), 1, name=f"point_{stage}")(x)]
        y = layers.Conv2D(3, 3, padding="same", activation="relu", name=f"near_{stage}")(x)
        parts.append(layers.Conv2D(int(rng.integers(2, 5)), 5, padding="same", name=f"far_{stage}")(y))
        if rng.random() < 0.6:
            parts.append(x if stage else layers.MaxPooling2D(3, 1, padding="same")(x))
        rng.shuffle(parts)
        x = layers.ReLU()(layers.BatchNormalization()(layers.Concatenate(name=f"join_{stage}")(parts)))
        x = layers.Conv2D(4, 1, name=f"mix_{stage}")(x) if rng.random() < 0.5 else x
    return stirred(keras.Model(source, layers.Dense(2)(layers.Flatten()(x))), seed)


def sequences(seed):
    """Convolutions over time, then recurrent layers, in a row or as a Functional model."""
    rng = np.random.default_rng(seed)
    steps, kind = int(rng.integers(8, 20)), rng.choice(["GRU", "LSTM", "SimpleRNN"])
    inner = [
        layers.Input((steps, 3)),
        layers.Conv1D(4, 5, padding="same", strides=int(rng.choice([1, 2])), name="conv"),
        layers.Bidirectional(getattr(layers, kind)(3, return_sequences=True), name="both"),
        getattr(layers, kind)(5, name="last"),
        layers.Dense(2),
    ]
    model = keras.Sequential(inner if rng.random() < 0.5 else [*inner[:1], *inner[3:]])
    return stirred(model if rng.random() < 0.5 else keras.Model(model.inputs[0], model.outputs[0]), seed)


NETWORKS = {
    **{f"convolutions {seed}": lambda seed=seed: random_convolutions(seed) for seed in range(3)},
    **{f"branches {seed}": lambda seed=seed: inception(seed) for seed in range(2)},
    **{f"sequences {seed}": lambda seed=seed: sequences(seed) for seed in range(2)},
    "attention": attention_network,
    "two recurrent inputs": lambda: recurrent_network(8),
    "squeeze and excite": residual_network,
}


@pytest.fixture(scope="module", params=sorted(NETWORKS))
def network(request):
    return NETWORKS[request.param]()


def test_a_changed_network_computes_what_the_one_does_in_which_nothing_is_left_of_the_change(network):
    found = find_changes(network).changes
    assert found
    for change in found.values():
        check_change(change, network)


def joined_beside_a_shortcut():
    """Branches whose concatenation a layer reads that a shortcut makes removable, so that it would be added to the stem."""
    source = keras.Input((6, 6, 2))
    x = layers.Conv2D(8, 3, padding="same", name="stem")(source)
    parts = [layers.Conv2D(4, side, padding="same", name=f"side_{side}")(x) for side in (1, 3)]
    y = layers.Conv2D(8, 1, name="up")(layers.Concatenate(name="join")(parts))
    x = layers.Add(name="add")([x, y])
    return keras.Model(source, layers.Dense(2, name="head")(layers.GlobalAveragePooling2D()(x)))


def test_a_block_whose_place_would_be_taken_by_channels_that_tie_half_a_group_is_refused():
    found = find_changes(joined_beside_a_shortcut())
    assert "up" not in found.changes
    assert [one.layer for one in found.refused if "parts of a group" in one.reason] == ["up"]


def joined_beside_the_input():
    """The same beside the network's input, which cannot become narrower."""
    source = keras.Input((6, 4))
    parts = [layers.Conv1D(2, side, padding="same", name=f"side_{side}")(source) for side in (1, 3)]
    y = layers.Conv1D(4, 3, padding="same", name="up")(layers.Concatenate(name="join")(parts))
    return keras.Model(source, layers.LSTM(2, name="last")(layers.Add(name="add")([source, y])))


@pytest.mark.parametrize("make", [joined_beside_a_shortcut, joined_beside_the_input])
def test_of_two_changes_together_neither_makes_layers_narrower_that_are_in_none_of_them(make):
    model = make()
    found = {**find_blocks(model).removable, **find_changes(model).changes}
    assert {"up", "side_1:branch"} <= set(found)
    for pair in itertools.combinations(found.values(), 2):
        made = changed(model, pair)
        assert made.output_shape == model.output_shape
        for layer in made.layers:
            if layer.weights and layer.name in {one.name for one in model.layers}:
                shapes = [one.get_layer(layer.name).output.shape[-1] for one in (model, made)]
                assert shapes[0] == shapes[1], ([one.id for one in pair], layer.name)
    assert names_in_effect(found, ["up", "side_1:branch"]) == ["up"]
    assert names_in_effect(found, ["side_1:branch"]) == ["side_1:branch"]
