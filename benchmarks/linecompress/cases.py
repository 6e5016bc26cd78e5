"""Networks, rows to choose operating points on, and other rows to judge them on."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import fft, signal
from scipy.io import wavfile

from benchmarks.compression import tasks_image
from compressor.data import Data
from compressor.export import TfliteRunner

CHOOSING_ROWS = 2000
TRAINING_ROWS = 16_000


@dataclass
class Case:
    """One network and its rows.

    Parameters
    ----------
    name, content
        The network, and its file's bytes.
    x, y
        Rows to calibrate and train with.
    x_choose, y_choose, x_test, y_test
        Rows to choose on, and to judge. Labels are None where the data has none: then the float network's class is right.
    scored
        Whether it has no classes: an autoencoder, whose outputs are to stay as they were.
    """

    name: str
    content: bytes
    x: npt.NDArray
    y: npt.NDArray | None
    x_choose: npt.NDArray
    y_choose: npt.NDArray | None
    x_test: npt.NDArray
    y_test: npt.NDArray | None
    scored: bool = False

    @property
    def measure(self) -> str:
        """What `judge` gives."""
        if self.scored:
            return "variance of the float outputs kept"
        return "top-1" if self.y_test is not None else "top-1 agreement with float"

    @cached_property
    def data(self) -> Data:
        """For `pack`; the float network's classes where there are no labels."""
        answer = TfliteRunner(self.content).predict
        if self.scored:
            rows = np.zeros(len(self.x), np.int64), np.zeros(len(self.x_choose), np.int64)
            return Data(self.x, rows[0], self.x_choose, rows[1])
        y = self.y if self.y is not None else answer(self.x).argmax(axis=1)
        held = self.y_choose if self.y_choose is not None else answer(self.x_choose).argmax(axis=1)
        return Data(self.x, y, self.x_choose, held)

    @cached_property
    def _float(self) -> dict[str, npt.NDArray]:
        answer = TfliteRunner(self.content).predict
        return {"choose": answer(self.x_choose), "test": answer(self.x_test)}

    def judge(self, content: bytes, part: str) -> tuple[float, float]:
        """Top-1 and top-5 (or one score twice) of a network on the rows of one part, in percent."""
        x, y = (self.x_choose, self.y_choose) if part == "choose" else (self.x_test, self.y_test)
        wanted = self._float[part]
        outputs = wanted if content == self.content else TfliteRunner(content).predict(x)
        if self.scored:
            kept = 100 * (
                1 - float(np.square(outputs - wanted).sum() / np.square(wanted - wanted.mean(axis=0)).sum())
            )
            return kept, kept
        right = wanted.argmax(axis=1) if y is None else y
        best = np.argsort(-outputs, axis=1)[:, :5]
        return 100 * float(np.mean(best[:, 0] == right)), 100 * float(
            np.mean((best == right[:, None]).any(axis=1))
        )


def cases(shared: Path, work: Path, larger: Path | None) -> dict[str, Callable[[], Case]]:
    """The networks by name, each read when it is asked for."""
    models = shared / "models"
    found: dict[str, Callable[[], Case]] = {
        "ResNet-8": lambda: _images(
            "ResNet-8", models / "pretrainedResnet.tflite", shared, work, lambda x: x
        ),
        "DS-CNN keywords": lambda: _keywords(models / "kws_ref_model_float32.tflite", shared),
        "ToyADMOS autoencoder": lambda: _anomalies(models / "ad01_fp32.tflite", shared),
    }
    if larger is not None:
        found["ResNet-9"] = lambda: _images("ResNet-9", larger, shared, work, lambda x: (x - 127.5) / 64)
    return found


def _images(name: str, file: Path, shared: Path, work: Path, prepare: Callable[[Any], Any]) -> Case:
    arrays = tasks_image.cached(shared / "tasks", work)
    x, y = prepare(arrays["x_train"].astype(np.float32)), arrays["y_train"]
    order = np.random.default_rng(0).permutation(len(x))
    train, choose = order[:TRAINING_ROWS], order[TRAINING_ROWS : TRAINING_ROWS + CHOOSING_ROWS]
    test = prepare(arrays["x_test"].astype(np.float32))
    return Case(name, file.read_bytes(), x[train], y[train], x[choose], y[choose], test, arrays["y_test"])


def _recordings(shared: Path) -> list[npt.NDArray]:
    """Spoken digits at 16 kHz, one second each; those of the last two speakers last."""
    found = []
    with zipfile.ZipFile(shared / "tasks" / "fsdd.zip") as stored:
        names = [name for name in stored.namelist() if name.endswith(".wav")]
        for name in sorted(names, key=lambda one: (one.split("_")[-2], one)):
            rate, samples = wavfile.read(io.BytesIO(stored.read(name)))
            wave = signal.resample_poly(samples.astype(np.float64) / 32768, 16_000, rate)[:16_000]
            found.append(np.pad(wave, (0, 16_000 - len(wave))))
    return found


def _mel(bins: int, mels: int, low: float, high: float, rate: float = 16_000) -> npt.NDArray:
    """Triangular filters [bins, mels]."""
    edges = 1127 * np.log1p(np.array([low, high]) / 700)
    points = 700 * np.expm1(np.linspace(*edges, mels + 2) / 1127)
    at = np.linspace(0, rate / 2, bins)[:, None]
    left, middle, right = points[:-2], points[1:-1], points[2:]
    return np.maximum(0, np.minimum((at - left) / (middle - left), (right - at) / (right - middle)))


def _spectra(wave: npt.NDArray, window: int, hop: int, size: int) -> npt.NDArray:
    frames = np.lib.stride_tricks.sliding_window_view(wave, window)[::hop]
    return np.abs(np.fft.rfft(frames * np.hanning(window), size, axis=1))


def _parts(name: str, content: bytes, x: npt.NDArray, scored: bool) -> Case:
    """Four speakers for training and choosing, two others for the test."""
    test = x[len(x) * 2 // 3 :]
    order = np.random.default_rng(0).permutation(len(x) * 2 // 3)
    known = x[: len(order)][order]
    cut = len(known) // 2
    return Case(name, content, known[:cut], None, known[cut:], None, test, None, scored)


def _keywords(file: Path, shared: Path) -> Case:
    """MFCCs as the network was trained on: 30 ms windows, 20 ms hop, 40 bands of 20 to 4000 Hz, 10 coefficients."""
    mel = _mel(257, 40, 20, 4000)
    rows = []
    for wave in _recordings(shared):
        bands = np.log(_spectra(wave, 480, 320, 512) @ mel + 1e-6)
        rows.append(fft.dct(bands, type=2, axis=1)[:49, :10] / np.sqrt(80))
    return _parts("DS-CNN keywords", file.read_bytes(), np.asarray(rows, np.float32)[..., None], False)


def _anomalies(file: Path, shared: Path) -> Case:
    """Five frames of 128 bands in decibel, as the network was trained on; here of speech and not of toy cars."""
    mel = _mel(513, 128, 0, 8000)
    rows = []
    for wave in _recordings(shared):
        bands = 10 * np.log10(np.square(_spectra(wave, 1024, 512, 1024)) @ mel + 1e-10)
        # Frames behind the word's end hold nothing.
        sounding = int((bands.max(axis=1) > -90).sum())
        rows += [bands[start : start + 5].reshape(-1) for start in range(0, sounding - 5, 5)]
    return _parts("ToyADMOS autoencoder", file.read_bytes(), np.asarray(rows, np.float32), True)
