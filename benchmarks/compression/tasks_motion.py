"""Motion: activities from phone and watch; seven subjects are the test, some of the others the validation."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.compression.tasks import Rows, Split, Task, channels

FILE = "motion.npz"
SENSORS = ("phone_acc", "phone_gyro", "watch_acc", "watch_gyro")
VALIDATION_SUBJECTS = 4


def load(folder: Path, work: Path, seed: int) -> Split:
    """A seed's split: with each seed other training subjects are the validation.

    Windows of one execution overlap; whole subjects are held out, so none straddles the parts.
    """
    with np.load(folder / FILE, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    subjects = np.unique(arrays["subject_train"])
    held = np.random.default_rng([seed, 3]).permutation(subjects)[:VALIDATION_SUBJECTS]
    is_held = np.isin(arrays["subject_train"], held)
    mean = arrays["x_train"][~is_held].mean(axis=(0, 1))
    deviation = arrays["x_train"][~is_held].std(axis=(0, 1))
    parts = {}
    for part in ("train", "test"):
        subject = arrays[f"subject_{part}"].astype(np.int64)
        unit = 100_000 * subject + arrays[f"execution_{part}"].astype(np.int64)
        x = ((arrays[f"x_{part}"] - mean) / deviation).astype(np.float32)[..., None]
        parts[part] = Rows(x, arrays[f"y_{part}"].astype(np.int64), subject, unit)
    return Split(parts["train"].at(~is_held), parts["train"].at(is_held), parts["test"])


def augment(x: NDArray[Any], generator: np.random.Generator | None = None) -> NDArray[Any]:
    """Each sensor louder or softer by some percent, its zero moved a little, shifted by up to 4 samples."""
    generator = generator or _generator()
    count, steps = x.shape[:2]
    later = np.clip(generator.integers(-4, 5, (count, 1)) + np.arange(steps), 0, steps - 1)
    moved = x[np.arange(count)[:, None], later]
    loudness = np.repeat(1 + 0.1 * generator.standard_normal((count, 1, len(SENSORS), 1)), 3, axis=2)
    zero = 0.1 * generator.standard_normal((count, 1, 3 * len(SENSORS), 1))
    noise = 0.05 * generator.standard_normal(moved.shape, dtype=np.float32)
    return (moved * loudness + zero + noise).astype(np.float32)


@functools.cache
def _generator() -> np.random.Generator:
    return np.random.default_rng(8)


def network(width: float = 1.0) -> Any:
    """As DeepSense: three convolutions for each sensor, three that merge them, two GRU layers, mean over time."""
    import keras
    from keras import layers

    inputs = keras.Input((64, 3 * len(SENSORS), 1), name="windows")
    branches = []
    for number, sensor in enumerate(SENSORS):
        x = layers.Cropping2D(((0, 0), (3 * number, 3 * (len(SENSORS) - 1 - number))), name=f"{sensor}_only")(
            inputs
        )
        for depth, (kernel, strides) in enumerate((((5, 3), 2), ((3, 1), 1), ((3, 1), 2))):
            x = layers.Conv2D(channels(width, 64), kernel, strides=(strides, 1), use_bias=False,
                              name=f"{sensor}_conv{depth}")(x)  # fmt: skip
            x = layers.BatchNormalization(name=f"{sensor}_norm{depth}")(x)
            x = layers.ReLU(name=f"{sensor}_relu{depth}")(x)
        branches.append(x)
    x = layers.Concatenate(name="sensors")(branches)
    for depth in range(3):
        x = layers.Conv2D(channels(width, 64), (3, 1), use_bias=False, name=f"merge_conv{depth}")(x)
        x = layers.BatchNormalization(name=f"merge_norm{depth}")(x)
        x = layers.ReLU(name=f"merge_relu{depth}")(x)
    x = layers.Reshape((x.shape[1], x.shape[-1]), name="steps")(x)
    x = layers.Dropout(0.2, name="drop")(x)
    x = layers.GRU(channels(width, 64), return_sequences=True, unroll=True, name="gru0")(x)
    x = layers.GRU(channels(width, 64), return_sequences=True, unroll=True, name="gru1")(x)
    x = layers.GlobalAveragePooling1D(name="mean")(x)
    return keras.Model(inputs, layers.Dense(5, activation="softmax", name="answer")(x), name="motion")


TASKS = {
    "motion": Task("motion", (FILE,), 5, True, load, network, augment,
                   "activities from phone and watch, 12 training subjects; DeepSense-like, 15 convolutions, 2 GRU layers"),
}  # fmt: skip
