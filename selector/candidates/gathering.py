"""Predicting the times of networks and running each on the same rows: what a policy is fitted to."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from profiler.errors import DataError, EdgetimeWarning, ModelFileError, UsageError, missing
from profiler.progress import ProgressCallback, silent
from profiler.records import read_arrays, write_arrays
from profiler.tflite import read_network
from selector.candidates.answers import Answers, Detector
from selector.candidates.option import NetworkOption, doubts, network_option
from selector.runtime import PolicyNetwork, log_probabilities
from timemodel.model import NetworkPredictor, TimeModel
from timemodel.runtime import RowLoop

if TYPE_CHECKING:
    from compressor.data import Data

PathLike = str | os.PathLike[str]

_SUM_TOLERANCE = 0.02


class _Run(NamedTuple):
    """One network on all rows; `shapes` are those of one row of each of its inputs."""

    network: PolicyNetwork
    path: Path
    log_p: NDArray[np.float32]
    shapes: dict[str, tuple[int, ...]]


def gather(
    time_model: NetworkPredictor | PathLike,
    paths: Sequence[PathLike],
    data: Data | PathLike,
    *,
    groups: NDArray[Any] | None = None,
    detector: tuple[PathLike, Sequence[int | None]] | None = None,
    input_shape: Sequence[int] | Mapping[str, Sequence[int]] | None = None,
    cache: PathLike | None = None,
    progress: ProgressCallback = silent,
) -> Answers:
    """Predict the time of each network, run it on rows that none was trained on, and find what its outputs are.

    Parameters
    ----------
    time_model
        A time model of the device, or the file of one.
    paths
        ``.tflite`` files of classifiers of the same inputs and classes.
    data
        Rows with labels, or the file of them: those for validation count, else those for the test, else all.
    groups
        Subject, speaker or recording of each of these rows; default: those that the data has for them.
    detector
        A ``.tflite`` file with classes of its own, and which class of the others each of them means (None: it wakes the next).
    input_shape
        For files that leave more than the batch open.
    cache
        A folder where answers are kept, by the SHA-256 of network and rows: what is there is not run again.

    Warns
    -----
    EdgetimeWarning
        Part of a time is only estimated; a file of more than two cannot be read or run and is left out.
    EdgetimeWarning
        The outputs of a network are neither probabilities nor plain logits; a fitted temperature makes probabilities of them.

    Raises
    ------
    DataError
        Networks have different inputs or classes, or the labels do not fit; a network answers NaN.
    ModelFileError
        A network cannot be read or run.
    UsageError
        Fewer than two networks; the time of one is not whole, since the device does not know one of its operators.
    """
    from compressor.data import load_data, row_count

    files = list(dict.fromkeys(map(Path, paths)))
    if len(files) + (detector is not None) < 2:
        raise UsageError("To choose by input takes at least two networks: name more .tflite files.")
    model = TimeModel.load(time_model) if isinstance(time_model, (str, os.PathLike)) else time_model
    rows = load_data(data) if isinstance(data, (str, os.PathLike)) else data
    if not rows.is_classification or isinstance(rows.y, Mapping):
        raise DataError(
            f"{rows.source} is no classification by one output: policies by input need class numbers as y."
        )
    part, x, y = rows.held_out()
    y = np.asarray(y, np.int64)
    found = rows.groups_of(part) if groups is None else np.asarray(groups)
    if found is not None and found.shape != y.shape:
        raise DataError(
            f"{rows.source} has {len(y)} {part} rows and {len(found)} groups: give one group for each of these rows."
        )
    key = _digest(x)
    runs: list[_Run] = []
    options: list[NetworkOption] = []
    left_out = 0
    every = [*files, *([Path(detector[0])] if detector else [])]
    names = _names(every)
    for done, path in enumerate(every):
        progress(done / len(every), path.name)
        try:
            option = network_option(model, path, read_network(path, input_shape))
            outputs, shapes = _outputs(path, x, key, None if cache is None else Path(cache))
        except ModelFileError as error:
            if len(files) - left_out <= 2 or path not in files:
                raise
            left_out += 1
            warnings.warn(f"{path.name} is left out: {error}", EdgetimeWarning, stacklevel=2)
            continue
        options.append(option)
        known = _network(option, names[path], outputs)
        runs.append(_Run(known, path, log_probabilities(outputs, known.form), shapes))
    progress(1.0, "done")
    _check_whole(options)
    for sentence in doubts(options):
        warnings.warn(sentence, EdgetimeWarning, stacklevel=2)
    _check_inputs(runs)
    watching = runs.pop() if detector else None
    _check_classes(runs, y, rows.source)
    loop = RowLoop.of(model)
    runs = [_in_loop(run, loop) for run in runs]
    watching = None if watching is None else _in_loop(watching, loop)
    runs.sort(key=lambda run: run.network.predicted_ms)
    return Answers(
        decide_ms=loop.decide_ms,
        networks=tuple(run.network for run in runs),
        paths=tuple(run.path for run in runs),
        log_probabilities=np.stack([run.log_p for run in runs]),
        y=y,
        groups=found,
        source=f"{row_count(x)} {part} rows of {rows.source}",
        detector=None
        if watching is None or detector is None
        else _detector(watching, detector[1], runs[0].log_p.shape[1]),
    )


def _in_loop(run: _Run, loop: RowLoop) -> _Run:
    """With the time that handing it a row takes."""
    around_ms = loop.network_ms(run.shapes.values(), run.log_p.shape[1])
    return run._replace(network=replace(run.network, predicted_ms=run.network.predicted_ms + around_ms))


def form_of(outputs: NDArray[Any]) -> tuple[str, str]:
    """``"probabilities"`` or ``"logits"`` for outputs [rows, classes], and a remark where they are neither.

    >>> form_of(np.array([[0.2, 0.8]])), form_of(np.array([[-1.0, 3.0]]))
    (('probabilities', ''), ('logits', ''))
    """
    # An int8 softmax rounds each class to 1/256.
    tolerance = max(_SUM_TOLERANCE, outputs.shape[1] / 512)
    sums = outputs.sum(axis=1)
    positive = outputs.min() >= 0 and outputs.max() <= 1 + _SUM_TOLERANCE
    if positive and np.abs(sums - 1).max() <= tolerance:
        return "probabilities", ""
    if positive:
        where = int(np.abs(sums - 1).argmax())
        return (
            "logits",
            f"outputs from 0 to 1 that are no probabilities (row {where} adds up to {sums[where]:.3g})",
        )
    return "logits", ""


def _outputs(
    path: Path, x: Any, rows_digest: str, cache: Path | None
) -> tuple[NDArray[np.float32], dict[str, tuple[int, ...]]]:
    """Outputs [rows, classes] of a network, and the shape of one row of each of its inputs."""
    from compressor.export import TfliteRunner

    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise missing(
            ModelFileError(f"Cannot read {path} ({error.strerror or error}): check the name.")
        ) from error
    file = None if cache is None else cache / f"answers-{digest[:16]}-{rows_digest[:16]}.npz"
    signature = {"network": digest, "rows": rows_digest}
    kept = None if file is None else read_arrays(file, signature)
    if kept is not None and "outputs" in kept:
        shapes = {
            name.removeprefix("shape."): tuple(kept[name].tolist())
            for name in kept
            if name.startswith("shape.")
        }
        return kept["outputs"], shapes
    runner = TfliteRunner(path)
    outputs = runner.predict(x)
    if isinstance(outputs, list):
        raise DataError(
            f"{path} has {len(outputs)} outputs: a policy by input needs networks with one, a number for each class."
        )
    outputs = np.asarray(outputs, np.float32)
    if outputs.ndim != 2 or outputs.shape[1] < 2:
        raise DataError(
            f"{path} answers {outputs.shape[1:]} numbers for a row: a policy by input needs one for each of two or more classes."
        )
    finite = np.isfinite(outputs).all(axis=1)
    if not finite.all():
        raise DataError(
            f"{path} answers NaN or infinity on row {int(finite.argmin())} ({int((~finite).sum())} of {len(finite)} rows): "
            "leave it out, or export it again."
        )
    shapes = {name: shape[1:] for name, shape in runner.input_shapes.items()}
    if file is not None:
        arrays = {
            "outputs": outputs,
            **{f"shape.{name}": np.array(shape, int) for name, shape in shapes.items()},
        }
        write_arrays(file, signature, arrays)
    return outputs, shapes


def _check_whole(options: Sequence[NetworkOption]) -> None:
    """A policy rests on times: refuse those that are not whole."""
    for one in options:
        if one.at_least:
            unknown = one.why_unknown or ", ".join(one.uncovered)
            raise UsageError(
                f"{one.path} takes at least {one.predicted_ms:.3g} ms, and what is not known on this device is {unknown}: "
                "leave it out, or profile the device with these operators."
            )


def _network(option: NetworkOption, name: str, outputs: NDArray[np.float32]) -> PolicyNetwork:
    path = option.path
    form, remark = form_of(outputs)
    if remark:
        warnings.warn(
            f"{path} gives {remark}: they are taken as logits, and a fitted temperature makes probabilities of them.",
            EdgetimeWarning,
            stacklevel=3,
        )
    return PolicyNetwork(
        file=path.name,
        name=name,
        predicted_ms=option.predicted_ms,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        form=form,
        dtype=option.dtype,
        predicted_mj=option.energy_mj,
    )


def _names(paths: Sequence[Path]) -> dict[Path, str]:
    """The shortest name of each file that no other one has."""
    for name in (lambda path: path.stem, lambda path: f"{path.parent.name}/{path.stem}"):
        names = {path: name(path) for path in paths}
        if len(set(names.values())) == len(paths):
            return names
    return {path: str(path) for path in paths}


def _check_inputs(runs: Sequence[_Run]) -> None:
    first = runs[0]
    for other in runs[1:]:
        if sorted(other.shapes.values()) != sorted(first.shapes.values()):
            raise DataError(
                f"{first.path} takes rows of shape {_shapes(first.shapes)} and {other.path} of {_shapes(other.shapes)}: "
                "give networks of the same inputs."
            )


def _check_classes(runs: Sequence[_Run], y: NDArray[np.int64], source: str) -> None:
    first = runs[0]
    for other in runs[1:]:
        if other.log_p.shape[1] != first.log_p.shape[1]:
            raise DataError(
                f"{first.path} tells {first.log_p.shape[1]} classes apart and {other.path} {other.log_p.shape[1]}: "
                "give networks of the same classes."
            )
    if y.max() >= first.log_p.shape[1]:
        where = int(y.argmax())
        raise DataError(
            f"{source}: y[{where}] is class {y[where]}, but the networks tell {first.log_p.shape[1]} classes apart (from 0): "
            "number the classes from 0, or name the networks of this data."
        )


def _detector(run: _Run, answers: Sequence[int | None], classes: int) -> Detector:
    network, path, log_p, _ = run
    if len(answers) != log_p.shape[1]:
        raise UsageError(
            f"{path} tells {log_p.shape[1]} classes apart, and what {len(answers)} of them mean is given: give one for each."
        )
    wrong = [one for one in answers if one is not None and not 0 <= one < classes]
    if wrong:
        raise UsageError(
            f"A class of {path} is to mean class {wrong[0]}, but the others tell 0 to {classes - 1} apart."
        )
    return Detector(network, path, log_p, tuple(answers))


def _shapes(shapes: Mapping[str, tuple[int, ...]]) -> str:
    from compressor.data import format_shape

    return " and ".join(format_shape(shape) for shape in shapes.values())


def _digest(x: Any) -> str:
    """SHA-256 of all rows, with their shapes and types."""
    known = hashlib.sha256()
    arrays = x if isinstance(x, Mapping) else {"": x}
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        known.update(f"{name} {array.dtype.str} {array.shape}".encode())
        known.update(array.data)
    return known.hexdigest()
