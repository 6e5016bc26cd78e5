"""What an exported file answered to every test row, kept so that statistics can be computed afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.compression.tasks import Rows
from compressor.export import TfliteRunner
from profiler.files import replacing

_FIELDS = ("said", "label", "cluster", "unit")


@dataclass(frozen=True)
class Answers:
    """The answers of one file.

    Attributes
    ----------
    said, label
        The class that the file gave and the right one [rows].
    cluster, unit
        As in `Rows`, each [rows].
    """

    said: NDArray[np.int64]
    label: NDArray[np.int64]
    cluster: NDArray[Any]
    unit: NDArray[Any]

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Whether each answer is right [rows]."""
        return self.said == self.label

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        return float(self.correct.mean())

    @property
    def macro_f1(self) -> float:
        """F1 of each class that occurs, mean over classes."""
        scores = []
        for kind in np.unique(self.label):
            both = int(((self.said == kind) & (self.label == kind)).sum())
            either = int((self.said == kind).sum() + (self.label == kind).sum())
            scores.append(2 * both / either)
        return float(np.mean(scores))

    def save(self, path: Path) -> None:
        """Write an ``.npz``, whole or not at all."""
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **{name: getattr(self, name) for name in _FIELDS})

    @classmethod
    def load(cls, path: Path) -> Answers:
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as stored:
            return cls(*(stored[name] for name in _FIELDS))


def answers_of(file: Path, rows: Rows, classes: int) -> Answers:
    """Run a ``.tflite`` file on rows."""
    outputs = np.asarray(TfliteRunner(file).predict(rows.x))
    if outputs.shape != (len(rows), classes):
        raise ValueError(f"{file} gave {outputs.shape}, not {(len(rows), classes)}")
    return Answers(outputs.argmax(axis=1).astype(np.int64), rows.y, rows.cluster, rows.unit)
