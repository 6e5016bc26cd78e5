"""Images: CIFAR-10 in 18,000 training, 2,000 validation and 10,000 test images; classes, and colours as a regression."""

from __future__ import annotations

import functools
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.compression.tasks import Rows, Split, Task, channels, decoded_once
from profiler.errors import DataError

FILE = "cifar10.zip"
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
VALIDATION_SHARE = 0.1
SHIFT = 3


def decode(archive: Path) -> dict[str, NDArray[Any]]:
    """All images of the archive: ``x_train`` uint8 [n, 32, 32, 3], ``y_train`` [n], and the same for test."""
    import tensorflow as tf

    arrays: dict[str, NDArray[Any]] = {}
    with zipfile.ZipFile(archive) as stored:
        names = sorted(name for name in stored.namelist() if name.endswith(".jpg"))
        for part in ("train", "test"):
            images, labels = [], []
            for name in names:
                folder, kind, _ = name.split("/")[-3:]
                if folder == part:
                    images.append(tf.io.decode_jpeg(stored.read(name), channels=3).numpy())
                    labels.append(CLASSES.index(kind))
            if not images:
                raise DataError(f"{archive} holds no {part} images: fetch it again.")
            arrays[f"x_{part}"], arrays[f"y_{part}"] = np.stack(images), np.array(labels, np.int64)
    return arrays


def cached(folder: Path, work: Path) -> dict[str, NDArray[Any]]:
    """The decoded images; decoding is done once and kept in `work`."""
    return decoded_once(work / "data" / "cifar10.npz", lambda: decode(folder / FILE))


def load(folder: Path, work: Path, seed: int) -> Split:
    """A seed's split: the same share of each class is held out of the training images for validation."""
    arrays = cached(folder, work)
    labels = arrays["y_train"]
    generator = np.random.default_rng([seed, 7])
    held = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = generator.permutation(np.flatnonzero(labels == label))
        held[members[: round(VALIDATION_SHARE * len(members))]] = True
    train = _rows(arrays["x_train"], labels, 0)
    return Split(train.at(~held), train.at(held), _rows(arrays["x_test"], arrays["y_test"], len(labels)))


def load_small(folder: Path, work: Path, seed: int) -> Split:
    """The same at 16x16 pixels: means of 2x2."""
    return _changed(load(folder, work, seed), _halved)


def load_colour(folder: Path, work: Path, seed: int) -> Split:
    """From the upper half of an image of 16x16 pixels the mean colour of its lower half."""
    return _changed(load(folder, work, seed), _upper)


def _upper(rows: Rows) -> Rows:
    small = _halved(rows)
    middle = small.x.shape[1] // 2
    return Rows(
        np.ascontiguousarray(small.x[:, :middle]),
        small.x[:, middle:].mean(axis=(1, 2)),
        rows.cluster,
        rows.unit,
    )


def _changed(split: Split, change: Callable[[Rows], Rows]) -> Split:
    return Split(change(split.train), change(split.validation), change(split.test))


def _halved(rows: Rows) -> Rows:
    count, height, width, colours = rows.x.shape
    small = rows.x.reshape(count, height // 2, 2, width // 2, 2, colours).mean(axis=(2, 4))
    return Rows(small, rows.y, rows.cluster, rows.unit)


def _rows(images: NDArray[np.uint8], labels: NDArray[np.int64], first: int) -> Rows:
    numbers = first + np.arange(len(labels))
    return Rows((images.astype(np.float32) - 127.5) / 64, labels, numbers, numbers)


def augment(
    x: NDArray[Any], generator: np.random.Generator | None = None, shift: int = SHIFT
) -> NDArray[Any]:
    """Half of the images mirrored, all shifted by up to `shift` pixels, borders repeated."""
    generator = generator or _generator()
    count, height, width = x.shape[:3]
    padded = np.pad(x, ((0, 0), (shift, shift), (shift, shift), (0, 0)), mode="edge")
    rows = generator.integers(0, 2 * shift + 1, (count, 1)) + np.arange(height)
    columns = generator.integers(0, 2 * shift + 1, (count, 1)) + np.arange(width)
    mirrored = generator.random(count) < 0.5
    columns[mirrored] = columns[mirrored, ::-1]
    return padded[np.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]


def mirror(x: NDArray[Any], generator: np.random.Generator | None = None) -> NDArray[Any]:
    """Half of the images mirrored."""
    generator = generator or _generator()
    mirrored = generator.random(len(x)) < 0.5
    return np.where(mirrored[:, None, None, None], x[:, :, ::-1], x)


def augment_small(x: NDArray[Any], generator: np.random.Generator | None = None) -> NDArray[Any]:
    """As `augment` for images of half the size."""
    return augment(x, generator, SHIFT // 2)


@functools.cache
def _generator() -> np.random.Generator:
    return np.random.default_rng(5)


def network(width: float = 1.0) -> Any:
    """Six convolutions of 3x3 with batch normalisation, mean over the image, a dense layer.

    The first of each stage halves the image, the very first one too: at the same time per epoch that learns more than
    narrower layers on the whole image.
    """
    import keras
    from keras import layers

    inputs = x = keras.Input((32, 32, 3), name="image")
    for stage, base in enumerate((32, 64, 128)):
        for number in (0, 1):
            x = layers.Conv2D(channels(width, base), 3, strides=2 - number, padding="same", use_bias=False,
                              name=f"conv{stage}{number}")(x)  # fmt: skip
            x = layers.BatchNormalization(name=f"norm{stage}{number}")(x)
            x = layers.ReLU(name=f"relu{stage}{number}")(x)
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    return keras.Model(inputs, layers.Dense(10, activation="softmax", name="answer")(x), name="image")


def mobile_network(width: float = 1.0) -> Any:
    """Inverted residuals as in MobileNetV2."""
    import keras
    from keras import layers

    def convolution(x: Any, filters: int, kernel: int, strides: int, name: str, active: bool = True) -> Any:
        x = layers.Conv2D(filters, kernel, strides=strides, padding="same", use_bias=False, name=name)(x)
        x = layers.BatchNormalization(name=f"{name}_norm")(x)
        return layers.ReLU(6.0, name=f"{name}_relu")(x) if active else x

    inputs = keras.Input((32, 32, 3), name="image")
    x = convolution(inputs, channels(width, 32), 3, 2, "stem")
    for number, (base, strides) in enumerate(((24, 1), (24, 1), (48, 2), (48, 1), (64, 2), (64, 1))):
        before, name = x, f"block{number}"
        x = convolution(x, 4 * x.shape[-1], 1, 1, f"{name}_expand")
        x = layers.DepthwiseConv2D(3, strides=strides, padding="same", use_bias=False, name=f"{name}_depth")(
            x
        )
        x = layers.BatchNormalization(name=f"{name}_depth_norm")(x)
        x = layers.ReLU(6.0, name=f"{name}_depth_relu")(x)
        x = convolution(x, channels(width, base), 1, 1, f"{name}_project", active=False)
        if strides == 1 and before.shape[-1] == x.shape[-1]:
            x = layers.Add(name=f"{name}_add")([before, x])
    x = convolution(x, channels(width, 128), 1, 1, "head")
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    return keras.Model(inputs, layers.Dense(10, activation="softmax", name="answer")(x), name="image_mobile")


def residual_network(
    width: float = 1.0, shape: tuple[int, int, int] = (32, 32, 3), blocks: int = 3, outputs: int = 10,
    activation: str | None = "softmax",
) -> Any:  # fmt: skip
    """As He et al. (2016) for CIFAR-10: three stages of 16, 32 and 64 channels, each of so many blocks of two convolutions.

    Three blocks make a ResNet-20, nine a ResNet-56. A stage begins with a convolution of 1x1 on the shortcut.
    """
    import keras
    from keras import layers

    def convolution(x: Any, filters: int, kernel: int, strides: int, name: str) -> Any:
        x = layers.Conv2D(filters, kernel, strides=strides, padding="same", use_bias=False, name=name)(x)
        return layers.BatchNormalization(name=f"{name}_norm")(x)

    inputs = keras.Input(shape, name="image")
    x = layers.ReLU(name="stem_relu")(convolution(inputs, channels(width, 16), 3, 1, "stem"))
    for stage, base in enumerate((16, 32, 64)):
        for number in range(blocks):
            name, strides = f"s{stage}b{number}", 2 if stage and not number else 1
            filters = channels(width, base)
            y = layers.ReLU(name=f"{name}_relu1")(convolution(x, filters, 3, strides, f"{name}_conv1"))
            y = convolution(y, filters, 3, 1, f"{name}_conv2")
            if strides != 1 or x.shape[-1] != filters:
                x = convolution(x, filters, 1, strides, f"{name}_short")
            x = layers.ReLU(name=f"{name}_relu2")(layers.Add(name=f"{name}_add")([x, y]))
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    answer = layers.Dense(outputs, activation=activation, name="answer")(x)
    return keras.Model(inputs, answer, name="residual")


def _residual(
    blocks: int, shape: tuple[int, int, int] = (32, 32, 3), **others: Any
) -> Callable[[float], Any]:
    return lambda width: residual_network(width, shape, blocks, **others)


_ABOUT = "CIFAR-10, 18,000 training images"
TASKS = {
    task.name: task
    for task in (
        Task("image", (FILE,), 10, False, load, network, augment, f"{_ABOUT}; VGG-like, six 3x3 convolutions"),
        Task("image-small", (FILE,), 10, False, load_small, _residual(2, (16, 16, 3)), augment_small,
             f"{_ABOUT} at 16x16; ResNet-14"),
        Task("image-resnet20", (FILE,), 10, False, load, _residual(3), augment, f"{_ABOUT}; ResNet-20"),
        Task("image-resnet56", (FILE,), 10, False, load, _residual(9), augment, f"{_ABOUT}; ResNet-56"),
        Task("image-mobile", (FILE,), 10, False, load, mobile_network, augment,
             f"{_ABOUT}; MobileNetV2-like, six inverted residuals"),
        Task("image-colour", (FILE,), 3, False, load_colour,
             _residual(2, (8, 16, 3), outputs=3, activation=None), mirror,
             f"{_ABOUT} at 16x16: the mean colour of the lower half from the upper half; ResNet-14, regression", True),
    )
}  # fmt: skip
