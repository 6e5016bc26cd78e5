"""`pack`: a `.tflite` file's weights as lines, for a file of a wanted size, or of no more than a wanted loss."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from compressor.data import Data
from compressor.weights.line_compress import loops
from compressor.weights.line_compress.coding import encode
from compressor.weights.line_compress.container import read_lct
from compressor.weights.line_compress.job import Job, PackedNetwork
from compressor.weights.line_compress.judging import PackingRows
from compressor.weights.line_compress.pricing import PriceSearch, by_tolerance
from profiler.errors import UsageError
from profiler.files import check_writable, write_bytes
from profiler.progress import ProgressCallback, silent, sub_progress

PathLike = str | os.PathLike[str]

LEVELS = ("paper", "dp", "finetune")
CODINGS = ("entropy", "fixed")

_RATIO = 7.5
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
    _check(output, level, coding, ratio, tolerance, max_accuracy_drop, data, epochs)
    loops.check_installed()
    check_writable(output)
    job = Job.read(Path(source), coding == "entropy")
    rows = PackingRows.read(data, job)
    if max_accuracy_drop is not None and not rows.labelled:
        raise UsageError("--max-accuracy-drop needs labels to judge with: give --data with x and y.")
    if level == "paper" or tolerance is not None:
        packed = by_tolerance(job, level, ratio, tolerance, max_accuracy_drop, rows)
    elif level == "dp":
        size = _RATIO if ratio is None and max_accuracy_drop is None else ratio
        packed = PriceSearch(job, rows, progress).search(size, max_accuracy_drop)
    else:
        packed = _finetuned(job, rows, ratio, max_accuracy_drop, epochs, seed, progress)
    result = _result(packed, Path(output), level, coding, job, rows)
    write_bytes(output, packed.content)
    return result


def _check(
    output: PathLike,
    level: str,
    coding: str,
    ratio: float | None,
    tolerance: float | None,
    drop: float | None,
    data: PathLike | Data | None,
    epochs: float,
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
    if level == "finetune" and not 0 < epochs < 1e6:
        raise UsageError(f"{epochs:g} epochs cannot be: give a number above 0, such as 2.")
    if level == "finetune" and data is None:
        raise UsageError("Level finetune needs rows to train on: give --data.")
    if level == "finetune" and tolerance is not None:
        raise UsageError(
            "Level finetune moves weights, so no tolerance holds: give --ratio or --max-accuracy-drop."
        )


def _finetuned(
    job: Job,
    rows: PackingRows,
    ratio: float | None,
    drop: float | None,
    epochs: float,
    seed: int,
    progress: ProgressCallback,
) -> PackedNetwork:
    """The lines of level ``dp`` at the same size, or at a loss that training makes up for, with trained words."""
    from compressor.weights.line_compress.finetuning import train

    assert rows.inputs is not None
    prices = PriceSearch(job, rows, sub_progress(progress, 0.0, 0.4))
    aims = [(ratio or _RATIO, None)] if drop is None else [(None, drop + more) for more in _MADE_UP_FOR]
    for number, (size, loss) in enumerate(aims):
        # Trained words are spread a little wider, which the entropy coder pays for.
        start = prices.search(size * _SPREAD if size and job.entropy else size, loss)
        share = sub_progress(progress, 0.4 + 0.6 * number / len(aims), 0.4 + 0.6 * (number + 1) / len(aims))
        inputs = list(rows.inputs.values())
        lines, biases = train(
            job.content, start.corrected, job.tensors, start.lines, inputs, epochs, seed, share
        )
        found = job.write_with(biases, lines)
        if rows.distance(found.tflite()) > rows.distance(start.tflite()):
            found = start
        if drop is None or 100 * (rows.accuracy(job.content) - rows.accuracy(found.tflite())) <= drop + 1e-9:
            return found
    return prices.search(None, drop)


def _result(
    packed: PackedNetwork, path: Path, level: str, coding: str, job: Job, rows: PackingRows
) -> PackResult:
    sizes = [job.tensors[number].size for number in job.weights]
    on_lines = sum(one.on_lines * size for one, size in zip(packed.lines, sizes, strict=True)) / sum(sizes)
    stored = sum(len(encode(one, job.entropy)) + 8 for one in packed.lines)
    found = PackResult(
        path, level, coding, len(packed.content), job.float32_bytes, len(job.content), 8 * stored / sum(sizes), on_lines
    )  # fmt: skip
    if not rows.labelled:
        return found
    return replace(
        found,
        accuracy_before=rows.accuracy(job.content),
        accuracy_after=rows.accuracy(packed.tflite()),
        judged_on=rows.judged_on,
    )
