"""Rows of data that calibrate a packed network, and judge it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from compressor.data import Data, load_data, load_inputs, row_count, take
from compressor.export import TfliteRunner
from compressor.weights.line_compress.job import Job
from profiler.errors import DataError

_CALIBRATION_ROWS = 256
_JUDGED_ROWS = 5000


class PackingRows:
    """Rows that calibrate, and with labels judge."""

    def __init__(self, inputs: Mapping[str, npt.NDArray] | None, data: Data | None, job: Job) -> None:
        self.inputs = inputs
        self.data = data
        self._job = job
        self._known: dict[bytes, float] = {}
        self._wanted: tuple[Any, Any] | None = None

    @classmethod
    def read(cls, data: str | os.PathLike[str] | Data | None, job: Job) -> PackingRows:
        """Read a file of rows; DataError where they are not what the network takes."""
        if data is None:
            return cls(None, None, job)
        runner = TfliteRunner(job.content, str(job.source))
        names = list(runner.input_shapes)
        if isinstance(data, Data):
            labelled: Data | None = data
            inputs = dict(data.x) if isinstance(data.x, Mapping) else {names[0]: data.x}
        else:
            inputs = load_inputs(data, names)
            try:
                labelled = load_data(data)
            except DataError as error:
                if "no array `y`" not in str(error):
                    raise
                labelled = None
        for name, shape in runner.input_shapes.items():
            given = inputs[name].shape[1:]
            if tuple(given) != tuple(shape[1:]):
                shown = str(data.source if isinstance(data, Data) else data)
                raise DataError(
                    f"{shown}: rows of {name} have shape {list(given)}, but {job.source} takes {list(shape[1:])}: "
                    "give rows as the network takes them."
                )
        return cls(inputs, labelled, job)

    @property
    def labelled(self) -> bool:
        """Whether accuracy can be told."""
        return self.data is not None and self.data.is_classification

    def calibration(self) -> dict[str, npt.NDArray]:
        """A fair sample of the rows."""
        assert self.inputs is not None
        count = len(next(iter(self.inputs.values())))
        chosen = np.random.default_rng(0).permutation(count)[:_CALIBRATION_ROWS]
        return {name: array[chosen] for name, array in self.inputs.items()}

    def distance(self, content: bytes) -> float:
        """How far a network's outputs are from those of the one that is packed, on held-out rows if there are any."""
        if self._wanted is None:
            rows = self.calibration() if self.data is None else self._judged()[1]
            self._wanted = rows, TfliteRunner(self._job.content).predict(rows)
        rows, wanted = self._wanted
        return distance(wanted, TfliteRunner(content).predict(rows))

    def _judged(self) -> tuple[str, Any, npt.NDArray]:
        assert self.data is not None
        name, x, y = self.data.held_out()
        count = row_count(x)
        chosen = np.random.default_rng(1).permutation(count)[:_JUDGED_ROWS]
        return f"{len(chosen):,} {name} rows", take(x, chosen), np.asarray(take(y, chosen))

    @property
    def judged_on(self) -> str:
        """Which rows give the accuracy."""
        return self._judged()[0]

    def accuracy(self, content: bytes) -> float:
        """Share of held-out rows that a network classifies rightly."""
        if content not in self._known:
            _, x, y = self._judged()
            answers = np.asarray(TfliteRunner(content).predict(x))
            if answers.ndim != 2:
                raise DataError("Accuracy needs a network that gives one number for each class: use --ratio.")
            classes = max(answers.shape[1], 2)
            if y.min(initial=0) < 0 or y.max(initial=0) >= classes:
                raise DataError(
                    f"Labels of --data go from {y.min()} to {y.max()}, but {self._job.source} has {classes} classes, numbered from "
                    "0: give labels that are numbers of its classes."
                )
            right = (answers[:, 0] > 0.5) == y if answers.shape[1] == 1 else answers.argmax(axis=1) == y
            self._known[content] = float(np.mean(right))
        return self._known[content]


def distance(before: Any, after: Any) -> float:
    """How far outputs are from what they were: Kullback-Leibler divergence of probabilities, else relative squared error."""
    if isinstance(before, list):
        return float(sum(distance(one, other) for one, other in zip(before, after, strict=True)))
    p, q = np.asarray(before, np.float64), np.asarray(after, np.float64)
    p, q = p.reshape(len(p), -1), q.reshape(len(q), -1)
    if p.shape[1] > 1 and (p >= 0).all() and np.allclose(p.sum(axis=1), 1, atol=0.02):
        p, q = (np.maximum(one, 1e-7) for one in (p, q))
        return float((p * np.log(p / q)).sum(axis=1).mean())
    return float(np.square(p - q).sum() / max(float(np.square(p - p.mean(axis=0)).sum()), 1e-30))
