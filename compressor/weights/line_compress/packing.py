"""`pack`: a `.tflite` file's weights as lines, for a file of a wanted size, or of no more than a wanted loss."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from compressor.data import Data, load_data, load_inputs, row_count, take
from compressor.export.running import TfliteRunner
from compressor.weights.line_compress import loops
from compressor.weights.line_compress.calibration import Watcher, bias_of
from compressor.weights.line_compress.choice import Packed, TensorToPack, choose, within
from compressor.weights.line_compress.container import read_lct, write_lct
from compressor.weights.line_compress.lines import Lines, paper_runs
from compressor.weights.line_compress.tensors import StoredTensor, stored_tensors
from profiler.errors import BudgetError, DataError, ModelFileError, UsageError, missing
from profiler.files import check_writable, write_bytes
from profiler.progress import ProgressCallback, silent, sub_progress

PathLike = str | os.PathLike[str]

LEVELS = ("paper", "dp", "finetune")
CODINGS = ("entropy", "fixed")

_CALIBRATION_ROWS = 256
_JUDGED_ROWS = 5000
_LADDER = 1.6
_FINE = 16
_RATIO = 7.5
_TOLERANCE = 0.05
_SPREAD = 1.02
_MADE_UP_FOR = (1.5, 0.5)
"""Points of accuracy that training is trusted to win back, one after the other."""


@dataclass(frozen=True)
class PackResult:
    """What `pack` wrote.

    Parameters
    ----------
    path
        The `.lct` file.
    level, coding
        How it was packed.
    nbytes
        Its size.
    float32_bytes
        Size of the network's file when all its weights are float32.
    source_bytes
        Size of the file that was packed, which is less where that had int8 or float16 weights already.
    bits_per_weight
        Of the packed tensors, everything that is stored for them counted.
    on_lines
        Share of weights in segments of three or more; the others are words of their own.
    accuracy_before, accuracy_after
        Share of rows classified rightly, where there were labels.
    judged_on
        Which rows.
    """

    path: Path
    level: str
    coding: str
    nbytes: int
    float32_bytes: int
    source_bytes: int
    bits_per_weight: float
    on_lines: float
    accuracy_before: float | None = None
    accuracy_after: float | None = None
    judged_on: str | None = None

    @property
    def ratio(self) -> float:
        """How many times smaller the file is than in float32."""
        return self.float32_bytes / self.nbytes

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {**fields, "path": str(self.path), "ratio": self.ratio}


def unpack(source: PathLike, output: PathLike) -> None:
    """Write the `.tflite` that a `.lct` holds, with decoded weights; see `read_lct` for what it raises."""
    if Path(output).suffix != ".tflite":
        raise UsageError(f"{output} does not end in .tflite: name the file so.")
    write_bytes(output, read_lct(source))


def pack(
    source: PathLike,
    output: PathLike,
    level: str = "dp",
    *,
    ratio: float | None = None,
    tolerance: float | None = None,
    max_accuracy_drop: float | None = None,
    data: PathLike | Data | None = None,
    coding: str = "entropy",
    epochs: float = 2,
    seed: int = 0,
    progress: ProgressCallback = silent,
) -> PackResult:
    """Pack a `.tflite` file's weights as lines into a `.lct` file.

    Parameters
    ----------
    source, output
        The files.
    level
        ``paper``: runs of weights that are monotonic up to a tolerance, as published. ``dp``: the segments that cost the
        network's outputs least for their bits. ``finetune``: the same, then trained to answer as the float network does.
    ratio
        Wanted size: bytes of the file in float32 over bytes of the `.lct`.
    tolerance
        In place of it, how far weights may be off, as a share of the range of their tensor. For ``paper`` it is the step back
        that a run may take; for ``dp`` a bound of every weight's error.
    max_accuracy_drop
        In place of it, points of accuracy that may be lost: the smallest file is searched for.
    data
        Rows that calibrate, judge and train: `.npz` or Python file of `compressor.data.load_data`. Without labels they calibrate.
    coding
        ``entropy`` for the smallest file, ``fixed`` for words of so many bits each, which decode at memory speed.
    epochs
        Of ``finetune``.

    Raises
    ------
    ModelFileError
        The network is damaged or has no weights to pack.
    UsageError, DataError
        Something does not go together; the message says what.
    BudgetError
        The ratio cannot be reached, or not within the loss.
    MissingExtraError
        numba or constriction is not installed.
    """
    _check(output, level, coding, ratio, tolerance, max_accuracy_drop, data)
    loops.check_installed()
    check_writable(output)
    job = _Job.read(Path(source), coding == "entropy")
    rows = _Rows.read(data, job)
    if max_accuracy_drop is not None and not rows.labelled:
        raise UsageError("--max-accuracy-drop needs labels to judge with: give --data with x and y.")
    if level == "paper" or tolerance is not None:
        packed = _by_tolerance(job, level, ratio, tolerance, max_accuracy_drop, rows)
    elif level == "dp":
        size = _RATIO if ratio is None and max_accuracy_drop is None else ratio
        packed = _Prices(job, rows, progress).search(size, max_accuracy_drop)
    else:
        packed = _finetuned(job, rows, ratio, max_accuracy_drop, epochs, seed, progress)
    write_bytes(output, packed.content)
    return packed.result(Path(output), level, coding, job, rows)


def _check(
    output: PathLike,
    level: str,
    coding: str,
    ratio: float | None,
    tolerance: float | None,
    drop: float | None,
    data: PathLike | Data | None,
) -> None:
    if level not in LEVELS:
        raise UsageError(f"There is no level {level!r}: choose one of {', '.join(LEVELS)}.")
    if coding not in CODINGS:
        raise UsageError(f"There is no coding {coding!r}: choose one of {', '.join(CODINGS)}.")
    if Path(output).suffix != ".lct":
        raise UsageError(f"{output} does not end in .lct: name the file so.")
    if sum(goal is not None for goal in (ratio, tolerance, drop)) > 1:
        raise UsageError("Give one of --ratio, --tolerance and --max-accuracy-drop.")
    if ratio is not None and not 1 < ratio < 1000:
        raise UsageError(f"A ratio of {ratio:g} cannot be: give a number above 1, such as {_RATIO}.")
    if tolerance is not None and not 0 <= tolerance <= 1:
        raise UsageError(f"A tolerance of {tolerance:g} cannot be: give a share of the range, such as 0.05.")
    if drop is not None and drop < 0:
        raise UsageError(f"An accuracy drop of {drop:g} cannot be: give points, such as 1.")
    if drop is not None and data is None:
        raise UsageError("--max-accuracy-drop needs labels to judge with: give --data with x and y.")
    if level == "finetune" and data is None:
        raise UsageError("Level finetune needs rows to train on: give --data.")
    if level == "finetune" and tolerance is not None:
        raise UsageError("Level finetune moves weights, so no tolerance holds: give --ratio or --max-accuracy-drop.")


@dataclass(frozen=True)
class _Job:
    """The network to pack."""

    source: Path
    content: bytes
    tensors: list[StoredTensor]
    entropy: bool

    @classmethod
    def read(cls, source: Path, entropy: bool) -> _Job:
        try:
            content = source.read_bytes()
        except FileNotFoundError:
            raise missing(ModelFileError(f"{source} does not exist: check the name.")) from None
        except OSError as error:
            raise ModelFileError(f"Cannot read {source} ({error.strerror or error}).") from error
        from profiler.tflite import read_network

        read_network(source)  # says in one sentence what is wrong with a file that is none
        tensors = stored_tensors(content, str(source))
        if not any(tensor.weights for tensor in tensors):
            raise ModelFileError(f"{source} has no weights to pack: name a network with some.")
        for tensor in tensors:
            if not np.isfinite(tensor.read(content)).all():
                raise ModelFileError(
                    f"{source}: tensor {tensor.name!r} holds NaN or infinity, which no line can follow: train it again."
                )
        return cls(source, content, tensors, entropy)

    @property
    def weights(self) -> list[int]:
        """Positions of the tensors that are packed."""
        return [number for number, tensor in enumerate(self.tensors) if tensor.weights]

    @property
    def float32_bytes(self) -> int:
        """Size of the file with all weights in float32."""
        return len(self.content) + sum(
            (4 - tensor.dtype.itemsize) * tensor.size for tensor in self.tensors if tensor.weights
        )

    def write(self, lines: Sequence[Lines], means: Mapping[int, npt.NDArray]) -> PackedNetwork:
        """The packed network. `means` is what weights see on average: biases make up for what their error then adds."""
        corrected = bytearray(self.content)
        for number, one in zip(self.weights, lines, strict=True):
            self._correct_bias(corrected, number, one, means)
        return self.write_with(bytes(corrected), lines)

    def write_with(self, corrected: bytes, lines: Sequence[Lines]) -> PackedNetwork:
        """The packed network with the biases of `corrected`."""
        return PackedNetwork(write_lct(corrected, lines, self.entropy), list(lines), corrected)

    def with_one(self, number: int, lines: Lines, means: Mapping[int, npt.NDArray]) -> bytes:
        """The network with one tensor's weights decoded from lines, all else as it was."""
        changed = bytearray(self.content)
        self._correct_bias(changed, number, lines, means)
        self.tensors[number].write(changed, lines.weights())
        return bytes(changed)

    def _correct_bias(
        self, content: bytearray, number: int, lines: Lines, means: Mapping[int, npt.NDArray]
    ) -> None:
        tensor = self.tensors[number]
        bias = bias_of(tensor, self.tensors)
        if bias is not None and number in means:
            lost = ((tensor.read(self.content) - lines.weights()) * means[number]).sum(axis=1)
            bias.write(content, bias.read(self.content).reshape(-1) + lost)


@dataclass(frozen=True)
class PackedNetwork:
    """A `.lct` that is not written yet, and the `.tflite` whose biases it has."""

    content: bytes
    lines: list[Lines]
    corrected: bytes

    def tflite(self) -> bytes:
        """The network with decoded weights."""
        return read_lct(self.content)

    def result(self, path: Path, level: str, coding: str, job: _Job, rows: _Rows) -> PackResult:
        sizes = [job.tensors[number].size for number in job.weights]
        on_lines = sum(one.on_lines * size for one, size in zip(self.lines, sizes, strict=True)) / sum(sizes)
        from compressor.weights.line_compress.coding import encode

        stored = sum(len(encode(one, job.entropy)) + 8 for one in self.lines)
        found = PackResult(
            path, level, coding, len(self.content), job.float32_bytes, len(job.content), 8 * stored / sum(sizes), on_lines
        )  # fmt: skip
        if not rows.labelled:
            return found
        return replace(
            found,
            accuracy_before=rows.accuracy(job.content),
            accuracy_after=rows.accuracy(self.tflite()),
            judged_on=rows.judged_on,
        )


class _Rows:
    """Rows that calibrate, and with labels judge."""

    def __init__(self, inputs: Mapping[str, npt.NDArray] | None, data: Data | None, job: _Job) -> None:
        self.inputs = inputs
        self.data = data
        self._job = job
        self._known: dict[bytes, float] = {}

    @classmethod
    def read(cls, data: PathLike | Data | None, job: _Job) -> _Rows:
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
            right = (answers[:, 0] > 0.5) == y if answers.shape[1] == 1 else answers.argmax(axis=1) == y
            self._known[content] = float(np.mean(right))
        return self._known[content]


def _by_tolerance(
    job: _Job,
    level: str,
    ratio: float | None,
    tolerance: float | None,
    drop: float | None,
    rows: _Rows,
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
    job: _Job,
    ratio: float | None,
    drop: float | None,
    rows: _Rows,
) -> PackedNetwork:
    """Of settings that make the file smaller and smaller, the first that meets the ratio, or the last within the loss."""
    made: dict[int, PackedNetwork] = {}

    def enough(number: int) -> bool:
        made[number] = at(float(settings[number]))
        if ratio is not None:
            return job.float32_bytes >= ratio * len(made[number].content)
        assert drop is not None
        return 100 * (rows.accuracy(job.content) - rows.accuracy(made[number].tflite())) > drop

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
            raise BudgetError(f"{job.source} cannot be packed {ratio:g} times smaller, only {best:.2f} times: ask for less.")
        return made[high]
    if low < 0:
        loss = 100 * (rows.accuracy(job.content) - rows.accuracy(made[0].tflite()))
        raise BudgetError(
            f"Packing {job.source} loses {loss:.2f} points at least, where {drop:g} are allowed: allow more, "
            "or use level dp or finetune."
        )
    return made[low]


class _Prices:
    """Every tensor packed as its effect on the outputs allows, at one price of a bit for all of them."""

    def __init__(self, job: _Job, rows: _Rows, progress: ProgressCallback) -> None:
        self._job, self._rows, self._progress = job, rows, progress
        self._tensors = [TensorToPack(job.tensors[number].read(job.content)) for number in job.weights]
        self._means: dict[int, npt.NDArray] = {}
        if rows.inputs is not None:
            self._tensors, self._means = _calibrated(job, self._tensors, rows, sub_progress(progress, 0.0, 0.3))
        else:
            for tensor in self._tensors:
                tensor.sensitivity = 1 / max(float(np.square(tensor.rows).sum()), 1e-300)
        weights = sum(tensor.rows.size for tensor in self._tensors)
        # Where a tensor of these has lost all, at no bit, a fourth of it is lost with each bit more: the price near 4 bits.
        start = len(self._tensors) * 4.0**-4 / weights
        self._ladder = start * _LADDER ** np.arange(-14.0, 15.0)
        self._explored: set[float] = set()

    def search(self, ratio: float | None, drop: float | None) -> PackedNetwork:
        """The network of a size, or the smallest within a loss."""
        _search(self._exploring, self._ladder, self._job, ratio, drop, self._rows)
        # All that was tried is mixed at prices in between.
        fine = np.geomspace(self._ladder[0], self._ladder[-1], _FINE * (self._ladder.size - 1) + 1)
        return _search(self._at, fine, self._job, ratio, drop, self._rows)

    def _exploring(self, price: float) -> PackedNetwork:
        if price not in self._explored:
            self._explored.add(price)
            for tensor in self._tensors:
                (tensor.add_entropy if self._job.entropy else tensor.add_fixed)(price)
            self._progress(min(0.3 + 0.08 * len(self._explored), 0.95), "cutting weights into lines")
        return self._at(price)

    def _at(self, price: float) -> PackedNetwork:
        return self._job.write([way.segments for way in choose(self._tensors, price)], self._means)


def _finetuned(
    job: _Job,
    rows: _Rows,
    ratio: float | None,
    drop: float | None,
    epochs: float,
    seed: int,
    progress: ProgressCallback,
) -> PackedNetwork:
    """The lines of level ``dp`` at the same size, or at a loss that training makes up for, with trained words."""
    from compressor.weights.line_compress.finetuning import train

    assert rows.inputs is not None
    prices = _Prices(job, rows, sub_progress(progress, 0.0, 0.4))
    aims = [(ratio or _RATIO, None)] if drop is None else [(None, drop + more) for more in _MADE_UP_FOR]
    tried: list[PackedNetwork] = []
    for number, (size, loss) in enumerate(aims):
        # Trained words are spread a little wider, which the entropy coder pays for.
        start = prices.search(size * _SPREAD if size and job.entropy else size, loss)
        share = sub_progress(progress, 0.4 + 0.6 * number / len(aims), 0.4 + 0.6 * (number + 1) / len(aims))
        inputs = list(rows.inputs.values())
        lines, biases = train(
            job.content, start.corrected, job.tensors, start.lines, inputs, epochs, seed, share
        )
        found = job.write_with(biases, lines)
        if rows.labelled and rows.accuracy(found.tflite()) < rows.accuracy(start.tflite()):
            found = start
        tried.append(found)
        if drop is None or 100 * (rows.accuracy(job.content) - rows.accuracy(found.tflite())) <= drop:
            return found
    return prices.search(None, drop)


def _calibrated(
    job: _Job, tensors: list[TensorToPack], rows: _Rows, progress: ProgressCallback
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
