"""Where a network can be cut: what crosses, when that is, and which places are proposed."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import layers

from compressor.exits.cuts import ExitPlace, find_places, named, propose
from compressor.exits.flat import flat, steps
from compressor.export import to_tflite_bytes
from compressor.testing.device import FormulaTimeModel
from profiler.errors import EdgetimeError, UsageError
from profiler.tflite import read_network


def cuts_of(model) -> list[ExitPlace]:
    whole = flat(model)
    return find_places(whole, read_network(to_tflite_bytes(whole)), FormulaTimeModel())


def residual_network() -> keras.Model:
    x = source = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 3, padding="same", name="stem")(x)
    x = layers.ReLU(name="stem_relu")(x)
    for number in (1, 2):
        y = layers.Conv2D(8, 3, padding="same", use_bias=False, name=f"conv{number}")(x)
        y = layers.ReLU(name=f"relu{number}")(layers.BatchNormalization(name=f"bn{number}")(y))
        x = layers.Add(name=f"add{number}")([x, y])
    x = layers.MaxPooling2D(name="pool")(x)
    x = layers.Conv2D(16, 3, padding="same", name="conv3")(x)
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    return keras.Model(source, layers.Dense(4, activation="softmax", name="head")(x), name="residual")


def test_cuts_lie_where_the_runtime_writes_a_result_and_say_what_crosses():
    found = {cut.after: cut.crossing_bytes for cut in cuts_of(residual_network())}
    one = 4 * 8 * 8 * 8
    # Within a block the shortcut crosses too; a convolution and what is fused into it are never torn apart.
    assert found == {
        "stem_relu": one, "relu1": 2 * one, "add1": one, "relu2": 2 * one, "add2": one, "pool": one // 4,
        "conv3": 4 * 4 * 4 * 16, "mean": 4 * 16,
    }  # fmt: skip


def test_time_grows_from_cut_to_cut_up_to_the_whole():
    found = cuts_of(residual_network())
    shares = [cut.share for cut in found]
    assert shares == sorted(shares)
    assert 0 < shares[0] < shares[-1] <= 1
    whole = FormulaTimeModel().predict(read_network(to_tflite_bytes(residual_network()))).predicted_ms
    assert found[-1].predicted_ms == pytest.approx(found[-1].share * whole)
    assert found[2].describe().startswith(f"after add1: {found[2].share:.0%} of the time, 2.05 kB cross")


def test_models_inside_the_model_are_read_through():
    inside = [layers.Conv2D(8, 3, padding="same", name="a"), layers.ReLU(name="b")]
    inner = keras.Sequential([keras.Input((8, 8, 8)), *inside], name="block")
    source = keras.Input((8, 8, 3))
    x = inner(layers.Conv2D(8, 3, padding="same", name="stem")(source))
    x = layers.GlobalAveragePooling2D()(x)
    model = keras.Model(source, layers.Dense(3, name="head")(x))
    whole = flat(model)
    assert [step.layer.name for step in steps(whole)][:3] == ["stem", "a", "b"]
    rows = np.random.default_rng(0).normal(size=(5, 8, 8, 3))
    np.testing.assert_allclose(whole.predict(rows, verbose=0), model.predict(rows, verbose=0), atol=1e-6)
    assert {cut.after for cut in cuts_of(model)} >= {"stem", "b"}


def test_no_cut_where_an_input_still_comes():
    left, right = keras.Input((16,), name="left"), keras.Input((16,), name="right")
    x = layers.Dense(8, activation="relu", name="first")(left)
    x = layers.Dense(8, activation="relu", name="second")(x)
    both = layers.Concatenate(name="both")([x, right])
    x = layers.Dense(8, activation="relu", name="third")(both)
    model = keras.Model([left, right], layers.Dense(2, name="head")(x))
    assert {cut.after for cut in cuts_of(model)} == {"both", "third"}


def cut(after: str, share: float, size: int) -> ExitPlace:
    return ExitPlace(after, (), size, share, share)


def test_exits_are_spread_evenly_in_time_and_moved_to_where_less_crosses():
    places = [
        ("a", 0.05, 900),
        ("b", 0.26, 800),
        ("c", 0.33, 800),
        ("d", 0.38, 200),
        ("e", 0.66, 300),
        ("f", 0.9, 100),
    ]
    known = [cut(*place) for place in places]
    # Two exits: at a third and at two thirds, give or take 35% of a third; "f" is small, but too late.
    assert [one.after for one in propose(known, 2, "net")] == ["d", "e"]
    # One exit: at a half, give or take 35% of that.
    assert [one.after for one in propose(known, 1, "net")] == ["d"]


def test_exits_too_near_to_each_other_are_one():
    known = [cut("a", 0.33, 100), cut("b", 0.34, 90)]
    assert [one.after for one in propose(known, 2, "net")] == ["b"]


def test_a_network_without_a_place_says_so():
    with pytest.raises(EdgetimeError, match="net has no place for an exit"):
        propose([replace(cut("a", 0.99, 4))], 1, "net")


def test_layers_to_cut_after_must_be_such():
    known = [cut("a", 0.3, 8), cut("b", 0.6, 4)]
    assert [one.after for one in named(known, ["b", "a"], "net")] == ["a", "b"]
    with pytest.raises(UsageError, match="net cannot be cut after 'c'; it can after a, b"):
        named(known, ["c"], "net")
    with pytest.raises(UsageError, match="--exits is 1 or more, not 0"):
        propose(known, 0, "net")
