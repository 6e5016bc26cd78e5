"""The demo's task: scikit-learn's 1,797 scanned handwritten digits of 8x8 pixels, and a small network that reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from profiler.progress import ProgressCallback, silent

WIDTHS = (16, 16, 24, 24, 40)
"""Filters of the network's five convolutions."""

TEST_ROWS, VALIDATION_ROWS = 540, 257
"""Digits that are held back for the test, and for choosing; 1,000 are left to train on."""


@dataclass(frozen=True)
class Digits:
    """Rows to train on, to choose by and to test with: `x` float32 [rows, 8, 8, 1] from 0 to 1, `y` int64 [rows]."""

    x: npt.NDArray[np.float32]
    y: npt.NDArray[np.int64]
    x_val: npt.NDArray[np.float32]
    y_val: npt.NDArray[np.int64]
    x_test: npt.NDArray[np.float32]
    y_test: npt.NDArray[np.int64]

    def save(self, path: Any) -> None:
        """Write the rows as ``edgetime compress`` and the other verbs read them (``.npz``)."""
        from profiler.files import replacing

        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **{name: getattr(self, name) for name in self.__dataclass_fields__})


def load_digits(seed: int = 0) -> Digits:
    """The digits in three parts, each with the same share of every class; the seed decides which go where."""
    from sklearn.datasets import load_digits as load
    from sklearn.model_selection import train_test_split

    bunch = load()
    x = (bunch.images / 16.0).astype(np.float32)[..., None]
    y = bunch.target.astype(np.int64)
    x, x_test, y, y_test = train_test_split(x, y, test_size=TEST_ROWS, stratify=y, random_state=seed)
    x, x_val, y, y_val = train_test_split(x, y, test_size=VALIDATION_ROWS, stratify=y, random_state=seed)
    return Digits(x, y, x_val, y_val, x_test, y_test)


def build_network(widths: Sequence[int] = WIDTHS) -> Any:
    """A `keras.Model` of convolutions: two at 16x16 pixels, two at 8x8, one at 4x4, then the mean of each channel."""
    import keras
    from keras import layers

    source = x = keras.Input((8, 8, 1), name="image")
    x = layers.UpSampling2D(2, interpolation="bilinear", name="enlarge")(x)
    for index, width in enumerate(widths, start=1):
        x = layers.Conv2D(width, 3, padding="same", use_bias=False, name=f"conv{index}")(x)
        x = layers.BatchNormalization(name=f"norm{index}")(x)
        x = layers.ReLU(name=f"relu{index}")(x)
        if index % 2 == 0:
            x = layers.MaxPooling2D(name=f"pool{index}")(x)
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    return keras.Model(source, layers.Dense(10, activation="softmax", name="digit")(x), name="digits")


def train_network(
    digits: Digits,
    widths: Sequence[int] = WIDTHS,
    epochs: int = 30,
    seed: int = 0,
    progress: ProgressCallback = silent,
) -> Any:
    """Train the network from scratch on the training rows alone: Adam, its rate falling along a cosine."""
    import keras

    keras.utils.set_random_seed(seed)
    model = build_network(widths)
    steps = epochs * -(-len(digits.x) // 32)
    rate = keras.optimizers.schedules.CosineDecay(3e-3, steps)
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    report = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: progress((epoch + 1) / epochs, f"epoch {epoch + 1} of {epochs}")
    )
    model.fit(digits.x, digits.y, batch_size=32, epochs=epochs, verbose=0, callbacks=[report])
    return model
