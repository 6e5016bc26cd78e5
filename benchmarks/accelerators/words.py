"""Spoken digits of known speakers, and networks for them: other recordings of each seed are the test.

Whole speakers held out (`benchmarks.compression`) leave a few points of accuracy open, and a factor in cost hangs on each of
them. Here all six speakers are in all parts, so that costs at equal accuracy can be told apart.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.compression.tasks import Rows, Split, Task, channels, get_task
from benchmarks.compression.tasks_sound import FRAMES, MELS, VOICES, augment, cached

TEST, VALIDATION = 1000, 400
"""Recordings of the 3,000."""
MOBILE = ((32, 1), (64, 2), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1))
"""Channels and strides of its blocks."""
HEAD = 512
"""Units of the first dense layer of the VGG-like network, as in `benchmarks.networks.own.small_vgg`."""


def load(folder: Path, work: Path, seed: int) -> Split:
    """A seed's split; test and validation hold each recording also as other people might have said it."""
    arrays = cached(folder, work)
    rows = Rows(arrays["x"], arrays["y"], arrays["recording"], arrays["recording"])
    order = np.random.default_rng([seed, 16]).permutation(len(rows))
    test, validation, train = np.split(order, [TEST, TEST + VALIDATION])
    return Split(
        rows.at(train),
        _in_other_voices(rows.at(validation), 2 * seed),
        _in_other_voices(rows.at(test), 2 * seed + 1),
    )


def _in_other_voices(rows: Rows, seed: int) -> Rows:
    generator = np.random.default_rng([seed, 17])
    pictures = [rows.x, *(augment(rows.x, generator) for _ in range(VOICES))]
    again = [np.concatenate([values] * len(pictures)) for values in (rows.y, rows.cluster, rows.unit)]
    return Rows(np.concatenate(pictures), *again)


def vgg_network(width: float = 1.0) -> Any:
    """Like VGG: three convolutions of 3x3, each followed by pooling, and two dense layers, of which the first is large."""
    import keras
    from keras import layers

    inputs = x = keras.Input((FRAMES, MELS, 1), name="log_mel")
    for number, base in enumerate((16, 32, 64)):
        x = layers.Conv2D(channels(width, base), 3, padding="same", use_bias=False, name=f"conv{number}")(x)
        x = layers.BatchNormalization(name=f"norm{number}")(x)
        x = layers.ReLU(name=f"relu{number}")(x)
        x = layers.MaxPooling2D(2, name=f"pool{number}")(x)
    x = layers.Flatten(name="flat")(x)
    x = layers.Dropout(0.2, name="drop")(x)
    x = layers.Dense(channels(width, HEAD), activation="relu", name="dense")(x)
    return keras.Model(inputs, layers.Dense(10, activation="softmax", name="answer")(x), name="words_vgg")


def mobile_network(width: float = 1.0) -> Any:
    """The first half of MobileNet (version 1) at half its width: depthwise and pointwise convolutions in turns."""
    import keras
    from keras import layers

    def active(x: Any, name: str) -> Any:
        return layers.ReLU(name=f"{name}_relu")(layers.BatchNormalization(name=f"{name}_norm")(x))

    inputs = keras.Input((FRAMES, MELS, 1), name="log_mel")
    x = layers.Conv2D(channels(width, 16), 3, strides=2, padding="same", use_bias=False, name="stem")(inputs)
    x = active(x, "stem")
    for number, (base, strides) in enumerate(MOBILE):
        depth, point = f"depth{number}", f"point{number}"
        x = layers.DepthwiseConv2D(3, strides=strides, padding="same", use_bias=False, name=depth)(x)
        x = layers.Conv2D(channels(width, base), 1, use_bias=False, name=point)(active(x, depth))
        x = active(x, point)
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    x = layers.Dropout(0.2, name="drop")(x)
    return keras.Model(inputs, layers.Dense(10, activation="softmax", name="answer")(x), name="words_mobile")


def _task(name: str, network: Callable[[float], Any], about: str) -> Task:
    return dataclasses.replace(
        get_task("sound"),
        name=name,
        by_cluster=True,
        load=load,
        network=network,
        about=f"spoken digits; {about}",
    )


TASKS = {
    task.name: task
    for task in (
        _task(
            "conv",
            get_task("sound").network,
            "five 3x3 convolutions, mean, a dense layer (`benchmarks.compression`'s)",
        ),
        _task("vgg", vgg_network, "VGG-like, three 3x3 convolutions and a large dense layer"),
        _task("mobile", mobile_network, "the first half of MobileNet at half width"),
    )
}
