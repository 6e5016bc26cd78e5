"""Text: which of four languages 16 characters of a caption are; captions of the test sets are the test."""

from __future__ import annotations

import functools
import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.compression.tasks import Rows, Split, Task, channels, decoded_once

FOLDER = Path("multi30k", "data", "task1", "raw")
LANGUAGES = ("cs", "de", "en", "fr")
LENGTH = 16
SIZES = {"train": 4000, "val": 500, "test_2016_flickr": 1000}
"""Captions of each part in each language."""
CHARACTERS = " abcdefghijklmnopqrstuvwxyz"
"""What is told apart; accents and all else are one more character, so that no single letter gives a language away."""
OTHER = len(CHARACTERS)


def numbers(text: str) -> NDArray[np.int64]:
    """The characters of a text.

    >>> numbers("A bé!").tolist()
    [1, 0, 2, 27, 27]
    """
    return np.array([found if (found := CHARACTERS.find(c)) >= 0 else OTHER for c in text.lower()], np.int64)


def pieces(captions: Sequence[str], generator: np.random.Generator) -> NDArray[np.float32]:
    """One piece of `LENGTH` characters from a random place of each caption [captions, LENGTH]."""
    found = np.zeros((len(captions), LENGTH), np.float32)
    for row, caption in enumerate(captions):
        known = numbers(caption)
        first = int(generator.integers(0, max(1, len(known) - LENGTH)))
        piece = known[first : first + LENGTH]
        found[row, : len(piece)] = piece
    return found


def read(folder: Path) -> dict[str, NDArray[Any]]:
    """``x_PART`` and ``y_PART`` of each part, one piece of each caption."""
    arrays: dict[str, NDArray[Any]] = {}
    for number, (part, count) in enumerate(SIZES.items()):
        generator = np.random.default_rng([number, 20])
        rows = []
        for language in LANGUAGES:
            with gzip.open(folder / FOLDER / f"{part}.{language}.gz", "rt", encoding="utf-8") as lines:
                rows.append(pieces([line.strip() for line in lines][:count], generator))
        arrays[f"x_{part}"] = np.concatenate(rows)
        arrays[f"y_{part}"] = np.repeat(np.arange(len(LANGUAGES)), [len(some) for some in rows])
    return arrays


def load(folder: Path, work: Path, seed: int) -> Split:
    """All seeds have the same split; captions of one picture in four languages are one cluster."""
    arrays = decoded_once(work / "data" / "languages.npz", lambda: read(folder))
    parts = []
    for number, part in enumerate(SIZES):
        y = arrays[f"y_{part}"].astype(np.int64)
        picture = 100_000 * number + np.tile(np.arange(len(y) // len(LANGUAGES)), len(LANGUAGES))
        parts.append(Rows(arrays[f"x_{part}"], y, picture, picture))
    return Split(*parts)


def augment(x: NDArray[Any], generator: np.random.Generator | None = None) -> NDArray[Any]:
    """One character in twenty is another one."""
    generator = generator or _generator()
    return np.where(generator.random(x.shape) < 0.05, np.float32(OTHER), x)


@functools.cache
def _generator() -> np.random.Generator:
    return np.random.default_rng(9)


def network(width: float = 1.0) -> Any:
    """Characters as vectors, two GRU layers, a dense layer."""
    import keras
    from keras import layers

    inputs = keras.Input((LENGTH,), name="characters")
    x = layers.Embedding(OTHER + 1, channels(width, 32), name="letters")(inputs)
    x = layers.GRU(channels(width, 64), return_sequences=True, unroll=True, name="gru0")(x)
    x = layers.GRU(channels(width, 64), unroll=True, name="gru1")(x)
    return keras.Model(
        inputs, layers.Dense(len(LANGUAGES), activation="softmax", name="answer")(x), name="text"
    )


TASKS = {
    "text": Task("text", (str(FOLDER / "train.en.gz"),), len(LANGUAGES), False, load, network, augment,
                 "the language of 16 characters of a caption, 16,000 training captions; two GRU layers"),
}  # fmt: skip
