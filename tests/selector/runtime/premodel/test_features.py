"""Cheap features of inputs, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selector.runtime.premodel.features import features_of, kind_of, names_of


def image(height=16, width=16, value=0):
    return np.full((1, height, width, 3), value, np.uint8)


def feature(x, name, kind="image"):
    return float(features_of(kind, x, [name])[0, 0])


def test_there_are_29_features_of_images():
    assert len(names_of("image")) == 29


def test_perceived_brightness_weighs_the_colours():
    red, green = image(), image()
    red[..., 0], green[..., 1] = 255, 255
    assert feature(red, "perceived_brightness") == pytest.approx(np.sqrt(0.241), abs=1e-5)
    assert feature(green, "perceived_brightness") == pytest.approx(np.sqrt(0.691), abs=1e-5)
    assert feature(red, "brightness") == pytest.approx(1 / 3, abs=1e-5)


def test_contrast_is_the_standard_deviation_of_grey():
    half = image()
    half[:, :, 8:] = 255
    assert feature(half, "contrast") == pytest.approx(0.5, abs=1e-5)
    assert feature(image(value=99), "contrast") == pytest.approx(0, abs=1e-6)


def test_a_bright_dot_is_a_keypoint_and_a_plain_edge_is_none():
    dot = image()
    dot[0, 8, 8] = 255
    assert feature(dot, "keypoints") >= 1
    edge = image()
    edge[:, :, 8:] = 255
    assert feature(edge, "keypoints") == 0
    assert feature(image(value=50), "keypoints") == 0


def test_hue_and_angle_are_shares_of_bins():
    red = image()
    red[..., 0] = 255
    hues = features_of("image", red, [f"hue_{i}" for i in range(1, 8)])[0]
    assert hues.tolist() == [1, 0, 0, 0, 0, 0, 0]
    grey = image(value=80)
    assert features_of("image", grey, ["hue_1", "hue_7"]).tolist() == [[0, 0]]
    edge = image()
    edge[:, :, 8:] = 255  # grows to the right: angle 0
    assert feature(edge, "edge_angle_1") == 1


def test_the_object_is_what_differs_from_the_rim():
    box = image(20, 20)
    box[0, 8:12, 4:14] = 255
    assert feature(box, "aspect_ratio") == pytest.approx(10 / 4)
    assert feature(box, "area_by_perimeter") == pytest.approx(40 / 28)
    assert feature(image(), "aspect_ratio") == 1


def test_long_edges_fall_into_later_bins_than_short_ones():
    line, speckles = image(20, 20), image(20, 20)
    line[:, :, 10:] = 255
    speckles[0, 3::6, 3::6] = 255
    names = [f"edge_length_{i}" for i in range(1, 8)]
    mean = [features_of("image", x, names)[0] @ np.arange(1, 8) for x in (line, speckles)]
    assert mean[0] > mean[1]


def test_images_mean_the_same_in_any_range():
    values = np.random.default_rng(0).integers(0, 256, (3, 12, 12, 3))
    names = names_of("image")
    as_bytes = features_of("image", values.astype(np.uint8), names)
    for other in (
        values.astype(np.float32),
        (values / 255).astype(np.float32),
        (values - 128).astype(np.int8),
    ):
        assert np.allclose(features_of("image", other, names), as_bytes, atol=1e-3)


def test_signals_by_hand():
    steps = np.arange(64)
    slow, fast = np.sin(2 * np.pi * steps * 2 / 64), np.sin(2 * np.pi * steps * 16 / 64 + 0.1)
    x = np.stack([slow, fast])[..., None]
    found = features_of("signal", x, ["energy", "zero_crossings", "spectral_centroid", "dominant", "peaks"])
    assert found[:, 0] == pytest.approx([0.5, 0.5], abs=1e-4)
    assert found[:, 3] == pytest.approx([2 / 32, 16 / 32])
    assert found[:, 2] == pytest.approx([2 / 32, 16 / 32], abs=1e-3)
    assert found[0, 1] < found[1, 1]
    assert found[0, 4] < found[1, 4]


def test_texts_and_tokens_by_hand():
    names = ["length", "words", "longest_word", "digits", "capitals"]
    assert features_of("text", np.array(["A cat, 42"]), names)[0].tolist() == pytest.approx(
        [9, 3, 4, 2 / 9, 1 / 9]
    )
    tokens = np.array([[5, 5, 9, 0, 0]], np.int32)
    assert features_of("tokens", tokens, ["length", "distinct", "mean_number", "largest_number", "repeats"])[
        0
    ].tolist() == pytest.approx([3, 2 / 3, 19 / 3, 9, 1])


def test_answers_by_hand():
    log_p = np.log(np.array([[0.2, 0.7, 0.1]], np.float32))
    found = features_of("answer", log_p, ["margin", "top", "sorted_1", "sorted_3", "of_class_1"])[0]
    assert found.tolist() == pytest.approx([0.5, 0.7, np.log(0.7), np.log(0.1), np.log(0.2)], abs=1e-5)


def test_kinds_of_rows():
    assert kind_of(np.zeros((2, 32, 32, 3), np.float32)) == "image"
    assert kind_of(np.zeros((2, 128, 9), np.float32)) == "signal"
    assert kind_of(np.zeros((2, 20), np.int32)) == "tokens"
    assert kind_of(np.array(["a", "b"])) == "text"


ROWS = {
    "image": np.random.default_rng(1).random((5, 11, 9, 3)).astype(np.float32),
    "signal": np.random.default_rng(2).normal(size=(5, 40, 2)),
    "tokens": np.random.default_rng(3).integers(0, 9, (5, 7)),
    "text": np.array(["", "a", "Two words.", "3 3 3", "Ünï"]),
    "answer": np.log(np.random.default_rng(4).dirichlet(np.ones(4), 5)),
}


@pytest.mark.parametrize("kind", list(ROWS))
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_rows_and_names_do_not_depend_on_each_other(kind, data):
    names = names_of(kind, 4)
    some = data.draw(st.lists(st.sampled_from(names), min_size=1, max_size=4, unique=True))
    row = data.draw(st.integers(0, 4))
    everything = features_of(kind, ROWS[kind], names)
    assert np.isfinite(everything).all()
    alone = features_of(kind, ROWS[kind][row : row + 1], some)
    assert np.allclose(alone[0], everything[row, [names.index(name) for name in some]], atol=1e-4)


def test_what_never_changes_gives_finite_numbers():
    for kind, x in (
        ("image", np.zeros((2, 8, 8, 1))),
        ("signal", np.zeros((2, 5))),
        ("tokens", np.zeros((2, 3), int)),
    ):
        assert np.isfinite(features_of(kind, x, names_of(kind))).all()
