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
        The class that the file gave and the right one [rows]; in a regression values [rows, values].
    cluster, unit
        As in `Rows`, each [rows].
    """

    said: NDArray[Any]
    label: NDArray[Any]
    cluster: NDArray[Any]
    unit: NDArray[Any]

    @property
    def credit(self) -> NDArray[np.float64]:
        """What each row adds to the score, which is the mean of it [rows].

        1 for a right class and 0 for a wrong one; in a regression 1 less the squared error over the variance of the labels, so
        that the score is the share of variance that is explained.
        """
        if self.label.ndim == 1:
            return (self.said == self.label).astype(np.float64)
        error = ((self.said.astype(np.float64) - self.label) ** 2).sum(axis=1)
        return 1 - error / self.label.astype(np.float64).var(axis=0).sum()

    @property
    def score(self) -> float:
        """Share of right answers, or of variance that is explained."""
        return float(self.credit.mean())

    def save(self, path: Path) -> None:
        """Write an ``.npz``, whole or not at all."""
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **{name: getattr(self, name) for name in _FIELDS})

    @classmethod
    def load(cls, path: Path) -> Answers:
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as stored:
            return cls(*(stored[name] for name in _FIELDS))


def answers_of(file: Path, rows: Rows, outputs: int) -> Answers:
    """Run a ``.tflite`` file on rows."""
    found = np.asarray(TfliteRunner(file).predict(rows.x))
    if found.shape != (len(rows), outputs):
        raise ValueError(f"{file} gave {found.shape}, not {(len(rows), outputs)}")
    said = found if rows.y.ndim > 1 else found.argmax(axis=1).astype(np.int64)
    return Answers(said, rows.y, rows.cluster, rows.unit)
