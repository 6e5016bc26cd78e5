"""Searching for the file of a wanted size, or of a wanted loss."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from compressor.export import TfliteRunner
from compressor.weights.line_compress.calibration import Watcher
from compressor.weights.line_compress.choice import TensorToPack, choose, within
from compressor.weights.line_compress.job import Job, PackedNetwork
from compressor.weights.line_compress.judging import PackingRows, distance
from compressor.weights.line_compress.lines import paper_runs
from profiler.errors import BudgetError
from profiler.progress import ProgressCallback, sub_progress

_LADDER = 1.6
_FINE = 16
_TOLERANCE = 0.05
"""Of level ``paper``, where nothing else is asked for."""


def by_tolerance(
    job: Job,
    level: str,
    ratio: float | None,
    tolerance: float | None,
    drop: float | None,
    rows: PackingRows,
) -> PackedNetwork:
    """Every tensor with the same tolerance, given or searched for."""
    values = [job.tensors[number].read(job.content) for number in job.weights]

    def at(share: float) -> PackedNetwork:
        if level == "paper":
            return job.write([paper_runs(value, share) for value in values], {})
        return job.write([within(value, share) for value in values], {})

    if ratio is None and drop is None:
        return at(_TOLERANCE if tolerance is None else tolerance)
    return _search(at, np.concatenate([[0.0], np.geomspace(0.002, 1.0, 28)]), job, ratio, drop, rows)


def _search(
    at: Callable[[float], PackedNetwork],
    settings: npt.NDArray[np.float64],
    job: Job,
    ratio: float | None,
    drop: float | None,
    rows: PackingRows,
) -> PackedNetwork:
    """Of settings that make the file smaller and smaller, the first that meets the ratio, or the last within the loss."""
    made: dict[int, PackedNetwork] = {}

    def enough(number: int) -> bool:
        made[number] = at(float(settings[number]))
        if ratio is not None:
            return job.float32_bytes >= ratio * len(made[number].content)
        assert drop is not None
        return 100 * (rows.accuracy(job.content) - rows.accuracy(made[number].tflite())) > drop + 1e-9

    low, high = -1, len(settings)
    while high - low > 1:
        middle = (low + high) // 2
        if enough(middle):
            high = middle
        else:
            low = middle
    if ratio is not None:
        if high == len(settings):
            best = max(job.float32_bytes / len(one.content) for one in made.values())
            raise BudgetError(
                f"{job.source} cannot be packed {ratio:g} times smaller, only {best:.2f} times: ask for less."
            )
        return made[high]
    if low < 0:
        loss = 100 * (rows.accuracy(job.content) - rows.accuracy(made[0].tflite()))
        raise BudgetError(
            f"Packing {job.source} loses {loss:.2f} points at least, where {drop:g} are allowed: allow more, "
            "or use level dp or finetune."
        )
    return made[low]


class PriceSearch:
    """Every tensor packed as its effect on the outputs allows, at one price of a bit for all of them."""

    def __init__(self, job: Job, rows: PackingRows, progress: ProgressCallback) -> None:
        self._job, self._rows, self._progress = job, rows, progress
        self.tensors = [TensorToPack(job.tensors[number].read(job.content)) for number in job.weights]
        self.means: dict[int, npt.NDArray] = {}
        if rows.inputs is not None:
            self.tensors, self.means = _calibrated(job, self.tensors, rows, sub_progress(progress, 0.0, 0.3))
        else:
            for tensor in self.tensors:
                tensor.sensitivity = 1 / max(float(np.square(tensor.rows).sum()), 1e-300)
        weights = sum(tensor.rows.size for tensor in self.tensors)
        # Where a tensor of these has lost all, at no bit, a fourth of it is lost with each bit more: the price near 4 bits.
        start = len(self.tensors) * 4.0**-4 / weights
        self._ladder = start * _LADDER ** np.arange(-14.0, 15.0)
        self._explored: set[float] = set()

    def recoded(self, job: Job) -> PriceSearch:
        """The same of another coding; rows do not run again."""
        other = copy.copy(self)
        other._job, other._explored = job, set()
        other.tensors = [replace(tensor, ways=[]) for tensor in self.tensors]
        return other

    def search(self, ratio: float | None, drop: float | None) -> PackedNetwork:
        """The network of a size, or the smallest within a loss."""
        _search(self._exploring, self._ladder, self._job, ratio, drop, self._rows)
        # All that was tried is mixed at prices in between.
        fine = np.geomspace(self._ladder[0], self._ladder[-1], _FINE * (self._ladder.size - 1) + 1)
        return _search(self._at, fine, self._job, ratio, drop, self._rows)

    def _exploring(self, price: float) -> PackedNetwork:
        if price not in self._explored:
            self._explored.add(price)
            for tensor in self.tensors:
                (tensor.add_entropy if self._job.entropy else tensor.add_fixed)(price)
            self._progress(min(0.3 + 0.08 * len(self._explored), 0.95), "cutting weights into lines")
        return self._at(price)

    def _at(self, price: float) -> PackedNetwork:
        return self._job.write([way.segments for way in choose(self.tensors, price)], self.means)


def _calibrated(
    job: Job, tensors: list[TensorToPack], rows: PackingRows, progress: ProgressCallback
) -> tuple[list[TensorToPack], dict[int, npt.NDArray]]:
    """What each tensor sees on rows of data, and how much the outputs change when its weights do."""
    sample = rows.calibration()
    progress(0.0, "running calibration rows")
    seen = Watcher(job.content).watch(sample, job.tensors)
    means = {number: one.mean for number, one in seen.items() if one.biased}
    before = TfliteRunner(job.content).predict(sample)
    found = []
    for done, (number, tensor) in enumerate(zip(job.weights, tensors, strict=True)):
        progress(0.4 + 0.6 * done / len(tensors), "measuring what each tensor's weights change")
        calibrated = TensorToPack(tensor.rows, seen.get(number))
        rough = calibrated.rough()
        after = TfliteRunner(job.with_one(number, rough.segments, means)).predict(sample)
        calibrated.sensitivity = max(distance(before, after), 1e-12) / max(rough.loss, 1e-300)
        found.append(calibrated)
    return found, means
