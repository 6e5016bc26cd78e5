"""Sound: spoken digits as log-mel pictures; one speaker is the test, another one the validation."""

from __future__ import annotations

import functools
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.io import wavfile

from benchmarks.compression.tasks import Rows, Split, Task, channels, decoded_once
from profiler.errors import DataError

FILE = "fsdd.zip"
RATE_HZ = 8000
MELS = 32
FRAMES = 32
WINDOW = 400
HOP = 200
TRANSFORM = 512
LOWEST_HZ = 60.0
GAIN_KNOTS = 5
VOICES = 2


def mel_filters(mels: int = MELS, bins: int = TRANSFORM // 2 + 1, rate_hz: float = RATE_HZ) -> NDArray[Any]:
    """Triangles that overlap by half, evenly spaced in mel from `LOWEST_HZ` to half the rate [mels, bins]."""

    def mel(hertz: Any) -> Any:
        return 2595 * np.log10(1 + np.asarray(hertz) / 700)

    edges_mel = np.linspace(mel(LOWEST_HZ), mel(rate_hz / 2), mels + 2)
    edges = 700 * (10 ** (edges_mel / 2595) - 1)
    at = np.linspace(0, rate_hz / 2, bins)
    rising = (at - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - at) / (edges[2:] - edges[1:-1])[:, None]
    return np.maximum(0, np.minimum(rising, falling))


def log_mel(samples: NDArray[Any]) -> NDArray[np.float32]:
    """The log-mel picture of a recording [FRAMES, MELS, 1]: its middle 0.8 s, mean 0 and deviation 1."""
    wanted = (FRAMES - 1) * HOP + WINDOW
    samples = samples.astype(np.float64)
    short = max(0, wanted - len(samples))
    samples = np.pad(samples, (short // 2, short - short // 2))
    first = (len(samples) - wanted) // 2
    samples = samples[first : first + wanted]
    starts = HOP * np.arange(FRAMES)
    frames = samples[starts[:, None] + np.arange(WINDOW)] * np.hanning(WINDOW)
    power = np.abs(np.fft.rfft(frames, TRANSFORM)) ** 2
    loud = power @ _filters().T
    # What is 60 dB below the loudest is silence, whatever the microphone hummed.
    picture = np.log(np.maximum(loud, 1e-6 * max(float(loud.max()), 1e-12)))
    return ((picture - picture.mean()) / (picture.std() + 1e-6)).astype(np.float32)[..., None]


@functools.cache
def _filters() -> NDArray[Any]:
    return mel_filters()


def read(archive: Path) -> dict[str, NDArray[Any]]:
    """All recordings: ``x`` [n, FRAMES, MELS, 1], ``y`` [n] the digit, ``speaker`` [n], ``recording`` [n]."""
    pictures, digits, speakers, names = [], [], [], []
    with zipfile.ZipFile(archive) as stored:
        for name in sorted(n for n in stored.namelist() if n.endswith(".wav")):
            rate, samples = wavfile.read(io.BytesIO(stored.read(name)))
            if rate != RATE_HZ:
                raise DataError(f"{archive}: {name} has {rate} samples a second, not {RATE_HZ}.")
            digit, speaker, _ = Path(name).stem.split("_")
            pictures.append(log_mel(samples))
            digits.append(int(digit))
            speakers.append(speaker)
            names.append(Path(name).stem)
    if not names:
        raise DataError(f"{archive} holds no recordings: fetch it again.")
    return {
        "x": np.stack(pictures),
        "y": np.array(digits, np.int64),
        "speaker": np.array(speakers),
        "recording": np.array(names),
    }


def cached(folder: Path, work: Path) -> dict[str, NDArray[Any]]:
    """The pictures; they are computed once and kept in `work`."""
    return decoded_once(work / "data" / "fsdd.npz", lambda: read(folder / FILE))


def load(folder: Path, work: Path, seed: int) -> Split:
    """A seed's split: with each seed another speaker is the test, and another one the validation.

    One speaker is few: a digit that he says in a way of his own is right or wrong fifty times at once. So the validation
    holds each of his recordings also as `VOICES` other people might have said it. The margins of `compress` count these
    copies as rows of their own, and are too narrow for that.
    """
    arrays = cached(folder, work)
    speakers = np.unique(arrays["speaker"])
    rows = Rows(arrays["x"], arrays["y"], arrays["speaker"], arrays["recording"])
    test = speakers[seed % len(speakers)]
    held = speakers[(seed + len(speakers) // 2) % len(speakers)]
    return Split(
        rows.at((rows.cluster != test) & (rows.cluster != held)),
        _in_other_voices(rows.at(rows.cluster == held), seed),
        rows.at(rows.cluster == test),
    )


def _in_other_voices(rows: Rows, seed: int) -> Rows:
    generator = np.random.default_rng([seed, 11])
    pictures = [rows.x, *(augment(rows.x, generator) for _ in range(VOICES))]
    again = [np.concatenate([values] * len(pictures)) for values in (rows.y, rows.cluster, rows.unit)]
    return Rows(np.concatenate(pictures), *again)


def augment(x: NDArray[Any], generator: np.random.Generator | None = None) -> NDArray[Any]:
    """As other people might have said it: at another pace, a longer or shorter vocal tract, another microphone.

    Time stretched by up to 15% and shifted by up to 4 frames, bands warped by up to 15% and shifted by up to 1.5, a
    gain that changes smoothly over the bands, a stretch of time and one of bands flattened, a little noise.
    """
    generator = generator or _generator()
    count, frames, bands = x.shape[:3]
    middle = (frames - 1) / 2
    pace = np.exp(generator.uniform(-0.15, 0.15, (count, 1)))
    times = middle + pace * (np.arange(frames) - middle) + generator.uniform(-4, 4, (count, 1))
    tract = np.exp(generator.uniform(-0.15, 0.15, (count, 1)))
    pitches = tract * np.arange(bands) + generator.uniform(-1.5, 1.5, (count, 1))
    moved = _between(times, frames) @ x[..., 0] @ _between(pitches, bands).transpose(0, 2, 1)
    knots = 0.3 * generator.standard_normal((count, 1, GAIN_KNOTS), dtype=np.float32)
    moved = moved + knots @ _between(np.linspace(0, GAIN_KNOTS - 1, bands)[None], GAIN_KNOTS)[0].T
    silence = moved.mean(axis=(1, 2), keepdims=True)
    for axis, length in ((1, frames), (2, bands)):
        first = generator.integers(0, length, (count, 1))
        width = generator.integers(0, 6, (count, 1))
        hidden = (np.arange(length) >= first) & (np.arange(length) < first + width)
        moved = np.where(np.expand_dims(hidden, 3 - axis), silence, moved)
    loud = 0.15 * generator.uniform(0, 1, (count, 1, 1)).astype(np.float32)
    return (moved + loud * generator.standard_normal(moved.shape, dtype=np.float32))[..., None]


def _between(places: NDArray[Any], length: int) -> NDArray[np.float32]:
    """Matrices that read a line of `length` values at fractional places [count, n], each [n, length]."""
    places = np.clip(places, 0, length - 1)
    return np.maximum(0, 1 - np.abs(places[..., None] - np.arange(length))).astype(np.float32)


@functools.cache
def _generator() -> np.random.Generator:
    return np.random.default_rng(6)


def network(width: float = 1.0) -> Any:
    """Five convolutions of 3x3 with batch normalisation, mean over time and bands, a dense layer."""
    import keras
    from keras import layers

    inputs = x = keras.Input((FRAMES, MELS, 1), name="log_mel")
    for number, (base, strides) in enumerate(((32, 1), (32, 2), (64, 2), (64, 1), (64, 2))):
        x = layers.Conv2D(channels(width, base), 3, strides=strides, padding="same", use_bias=False,
                          name=f"conv{number}")(x)  # fmt: skip
        x = layers.BatchNormalization(name=f"norm{number}")(x)
        x = layers.ReLU(name=f"relu{number}")(x)
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    x = layers.Dropout(0.2, name="drop")(x)
    return keras.Model(inputs, layers.Dense(10, activation="softmax", name="answer")(x), name="sound")


TASKS = {
    "sound": Task("sound", (FILE,), 10, True, load, network, augment,
                  "spoken digits, 2,000 training recordings of four speakers; five 3x3 convolutions"),
}  # fmt: skip
