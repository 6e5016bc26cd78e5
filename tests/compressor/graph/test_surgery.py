import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keras import layers
from small_networks import (
    attention_network,
    plain_network,
    recurrent_network,
    residual_network,
    resnet,
    transfer_network,
)

from benchmarks.surgery import awake
from compressor.graph import build_graph, cut, masked, resize
from compressor.testing.law import assert_law_holds, outputs_of, some_of_each, stirred


def block(x, kind, index, width):
    name = f"{kind}{index}"
    channels = x.shape[-1]
    if kind == "conv":
        return layers.Conv2D(width, 3, padding="same", activation="sigmoid", name=name)(x)
    if kind == "bn_before":
        x = layers.Activation("softplus")(layers.BatchNormalization()(x))
        return layers.Conv2D(width, 1, use_bias=False, name=name)(x)
    if kind == "bn_after":
        return layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(width, 1, name=name)(x)))
    if kind == "depthwise":
        return layers.DepthwiseConv2D(3, padding="same", depth_multiplier=1 + index % 2, name=name)(x)
    if kind == "grouped":
        return layers.Conv2D(channels * 2, 3, padding="same", groups=channels, name=name)(x)
    if kind == "separable":
        return layers.SeparableConv2D(width, 3, padding="same", depth_multiplier=2, name=name)(x)
    if kind == "residual":
        y = layers.Conv2D(width, 1, activation="tanh", name=name)(x)
        return layers.Add()([x, layers.Conv2D(channels, 3, padding="same", name=f"{name}_back")(y)])
    if kind == "concat":
        return layers.Concatenate()([x, layers.Conv2D(width, 1, name=name)(x), x])
    if kind == "squeeze":
        gate = layers.Dense(width, activation="relu", name=name)(layers.GlobalAveragePooling2D()(x))
        gate = layers.Dense(channels, activation="hard_sigmoid", name=f"{name}_gate")(gate)
        return layers.Multiply()([x, layers.Reshape((1, 1, channels))(gate)])
    if kind == "transposed":
        return layers.MaxPooling2D()(layers.Conv2DTranspose(width, 2, strides=2, name=name)(x))
    if kind == "prelu":
        return layers.PReLU(shared_axes=[1, 2] if index % 2 else None)(x)
    return layers.Conv2D(width, 1, name=name)(layers.UpSampling2D()(layers.AveragePooling2D(2)(x)))


KINDS = (
    "conv", "bn_before", "bn_after", "depthwise", "grouped", "separable",
    "residual", "concat", "squeeze", "transposed", "prelu", "pooled",
)  # fmt: skip


def generated(stem, blocks, flat, hidden):
    x = source = keras.Input((4, 4, 2))
    x = layers.Conv2D(stem, 3, padding="same", name="stem")(x)
    for index, (kind, width) in enumerate(blocks):
        x = block(x, kind, index, width)
    x = layers.Flatten()(x) if flat else layers.GlobalAveragePooling2D()(x)
    x = layers.Dense(hidden, activation="gelu", name="hidden")(x)
    return stirred(keras.Model(source, layers.Dense(2, name="head")(x)))


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    stem=st.integers(1, 5),
    blocks=st.lists(st.tuples(st.sampled_from(KINDS), st.integers(1, 5)), min_size=1, max_size=5),
    flat=st.booleans(),
    hidden=st.integers(1, 4),
    seed=st.integers(0, 2**16),
)
def test_masked_equals_removed_on_generated_networks(stem, blocks, flat, hidden, seed):
    model = generated(stem, blocks, flat, hidden)
    keep = some_of_each(model, seed)
    smaller = assert_law_holds(model, keep)
    widths = {name: len(kept) for name, kept in keep.items()}
    assert smaller.count_params() == build_graph(model).parameters(widths)
    # A convolution in groups of which one is left is an ordinary one: its width may then be cut as well.
    found = build_graph(smaller).widths
    assert {name: found[name] for name in widths} == widths
    assert smaller.output_shape == model.output_shape


@pytest.mark.parametrize(
    "make",
    [plain_network, residual_network, resnet, recurrent_network, attention_network, transfer_network],
)
def test_masked_equals_removed_on_known_networks(make):
    model = make()
    assert_law_holds(model, some_of_each(model, seed=3))


@pytest.mark.parametrize("family", ["MobileNetV2", "MobileNetV3Small"])
def test_masked_equals_removed_on_published_families(family):
    keras.utils.set_random_seed(0)
    options = {"alpha": 0.35} if family == "MobileNetV2" else {}
    make = getattr(keras.applications, family)
    model = stirred(make((32, 32, 3), weights=None, classes=5, classifier_activation=None, **options))
    images = np.random.default_rng(0).uniform(0, 255, (6, 32, 32, 3)).astype("float32")
    graph = build_graph(model)
    assert graph.frozen == ()
    keep = some_of_each(model, seed=5)
    awake(model, images, keep)
    silenced, smaller = masked(model, keep, graph), cut(model, keep, graph)
    assert smaller.count_params() < 0.8 * model.count_params()
    expected = np.asarray(silenced(images, training=False))
    found = np.asarray(smaller(images, training=False))
    # Weighed by what differs from image to image: networks that look at nothing would agree as well.
    between = np.abs(expected - expected[:1]).max()
    assert between > 0.05 * np.abs(expected).max()
    assert np.abs(expected - np.asarray(model(images, training=False))).max() > 0.1 * between
    assert np.abs(found - expected).max() < 1e-3 * between


def test_what_is_kept_keeps_its_weights():
    model = plain_network()
    smaller = cut(model, {"a": [0, 4], "c": [1, 2, 6]})
    kernel, bias = model.get_layer("a").get_weights()
    np.testing.assert_array_equal(smaller.get_layer("a").get_weights()[0], kernel[..., [0, 4]])
    np.testing.assert_array_equal(smaller.get_layer("a").get_weights()[1], bias[[0, 4]])
    np.testing.assert_array_equal(
        smaller.get_layer("b").get_weights()[0], model.get_layer("b").get_weights()[0][:, :, [0, 4]]
    )
    np.testing.assert_array_equal(
        smaller.get_layer("head").get_weights()[0], model.get_layer("head").get_weights()[0][[1, 2, 6]]
    )


def test_flatten_takes_a_channel_out_at_every_position():
    model = keras.Sequential(
        [
            layers.Input((2, 1, 1)),
            layers.Conv2D(3, 1, name="a"),
            layers.Flatten(),
            layers.Dense(1, name="head"),
        ]
    )
    model.get_layer("head").set_weights([np.arange(6, dtype="float32")[:, None], np.zeros(1, "float32")])
    smaller = cut(model, {"a": [0, 2]})
    assert smaller.get_layer("head").get_weights()[0].ravel().tolist() == [0, 2, 3, 5]


def test_keeping_all_changes_nothing_and_leaves_the_model_alone():
    model = residual_network()
    before = [w.copy() for w in model.get_weights()]
    np.testing.assert_array_equal(outputs_of(cut(model, {})), outputs_of(model))
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_resize_makes_the_same_structure_at_any_width():
    model = residual_network()
    wide = resize(model, {"stem": 17, "expand": 3})
    assert build_graph(wide).widths == {**build_graph(model).widths, "stem": 17, "expand": 3}
    assert wide.output_shape == model.output_shape


def test_a_cut_network_is_saved_and_loaded(tmp_path):
    smaller = cut(residual_network(), {"stem": [0, 3], "last": [1]})
    smaller.save(tmp_path / "smaller.keras")
    loaded = keras.saving.load_model(tmp_path / "smaller.keras")
    np.testing.assert_allclose(outputs_of(loaded), outputs_of(smaller), rtol=1e-6)
