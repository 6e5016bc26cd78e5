"""Export: a Keras model becomes a `.tflite` file that was run, compared and found to be what was asked for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from compressor.data import Data, Rows, check_fits, evenly, load_data, load_inputs, read_arrays, take
from compressor.export.comparison import Comparison, compare, fault, score_of
from compressor.export.conversion import (
    CALIBRATED,
    Inputs,
    TypeReport,
    calibration_rows,
    check_options,
    read_types,
    to_tflite_bytes,
)
from compressor.export.freezing import Specs, is_recurrent
from compressor.export.keras_files import InputShape, in_float32, input_specs, load_keras
from compressor.export.lean import lean
from compressor.export.running import TfliteRunner
from compressor.export.silence import quiet
from compressor.training import as_called, by_name, output_names
from profiler.errors import EdgetimeError, ModelFileError, UsageError
from profiler.files import replacing
from profiler.progress import ProgressCallback, silent, sub_progress


@dataclass(frozen=True)
class ExportResult:
    """A file that was written, and how it compares with the Keras model.

    Parameters
    ----------
    path
        The file.
    quantize, io
        As asked for.
    file_bytes
        Its size.
    checked_on
        The rows that it was run on, in words.
    comparison
        Agreement, differences and accuracy on these rows.
    types
        Types of the file's tensors, and operators that stayed float.
    notes
        What the user should know.
    """

    path: Path
    quantize: str
    io: str
    file_bytes: int
    checked_on: str
    comparison: Comparison
    types: TypeReport
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "path": str(self.path),
            "quantize": self.quantize,
            "io": self.io,
            "file_bytes": self.file_bytes,
            "checked_on": self.checked_on,
            **asdict(self.comparison),
            "accuracy_drop_points": self.comparison.drop_points,
            "constants": self.types.constants,
            "float_operators": self.types.float_operators,
            "notes": list(self.notes),
        }


def export(
    model: Any,
    out: str | os.PathLike[str],
    quantize: str = "none",
    calibration: Given | None = None,
    *,
    io: str = "float32",
    check_data: Given | None = None,
    max_drop: float = 1.0,
    min_agreement: float = 0.95,
    allow_drop: bool = False,
    input_shape: InputShape | None = None,
    progress: ProgressCallback = silent,
) -> ExportResult:
    """Write a Keras model as TFLite; the file is run and compared with the model before it gets its name.

    Parameters
    ----------
    model
        A Keras 3 model or the ``.keras`` file of one.
    out
        The ``.tflite`` file to write. On any error it is left as it was.
    quantize
        One of `RECIPES`.
    calibration
        Typical inputs for ``int8`` and ``int16``: `Data`, rows [rows, ...] (by input name where there are
        several), or a file that `load_data` or `load_inputs` reads.
    io
        Type of inputs and outputs: ``float32``, or with ``int8`` quantisation ``int8``.
    check_data
        What to compare on; default: `calibration`, else random inputs. Of `Data` the validation rows are
        taken, else the test rows, else the training rows.
    max_drop
        Percentage points of accuracy (hundredths of `Data.metric` where there is one) that may be lost.
    min_agreement
        Share of rows that must keep their class where there are no labels.
    allow_drop
        Write the file even where a limit is passed; the result's notes say so.
    input_shape
        Where the model leaves more than the batch open: the shape of its input, or of each by name, with
        batch.

    Raises
    ------
    UsageError
        Options that cannot be, or calibration data is missing.
    DataError
        The data does not fit the network.
    ModelFileError
        The ``.keras`` file cannot be read.
    EdgetimeError
        TFLite cannot express the network, quantisation changed nothing, or a limit is passed.
    """
    check_options(quantize, io, calibration is not None)
    progress(0.0, "reading the model")
    checked = opened(model, out, quantize, calibration, check_data, max_drop, min_agreement, input_shape)
    progress(0.1, "converting")
    source, removed = (checked.model, ()) if quantize == "none" else lean(checked.model, checked.rows.inputs)
    content = to_tflite_bytes(
        source,
        quantize,
        checked.known if quantize in CALIBRATED else None,
        io=io,
        input_shape=input_shape,
    )
    result = write_checked(
        checked, content, quantize, io, max_drop, min_agreement, allow_drop, sub_progress(progress, 0.5, 1.0)
    )
    progress(1.0, "done")
    return replace(result, notes=(*removed, *result.notes))


@dataclass(frozen=True)
class Checked:
    """A Keras model that is to be exported: its name in sentences, inputs, data, the rows to check on and the file to write."""

    model: Any
    name: str
    specs: Specs
    known: Data | Inputs | None
    rows: CheckRows
    target: Path


def opened(
    model: Any,
    out: str | os.PathLike[str],
    quantize: str,
    calibration: Given | None,
    check_data: Given | None,
    max_drop: float,
    min_agreement: float,
    input_shape: InputShape | None,
) -> Checked:
    """Read what an export needs, and refuse what cannot be; arguments and errors are those of `export`."""
    target = Path(out)
    if target.suffix != ".tflite":
        raise UsageError(f"{target} does not end in .tflite: name the file to write, such as net.tflite.")
    if not 0 <= max_drop <= 100:
        raise UsageError(f"The accuracy that may be lost is {max_drop:g} points: give 0 to 100.")
    if not 0 <= min_agreement <= 1:
        raise UsageError(f"The share of rows that must agree is {min_agreement:g}: give 0 to 1.")
    is_file = isinstance(model, (str, os.PathLike))
    name = str(model) if is_file else "The Keras model"
    net = in_float32(load_keras(model) if is_file else model)
    specs = input_specs(net, input_shape)
    known = None if calibration is None else load_known(calibration, specs)
    rows = check_rows(known if check_data is None else load_known(check_data, specs), specs, net)
    return Checked(net, name, specs, known, rows, target)


def write_checked(
    checked: Checked,
    content: bytes,
    quantize: str,
    io: str,
    max_drop: float,
    min_agreement: float,
    allow_drop: bool,
    progress: ProgressCallback = silent,
) -> ExportResult:
    """Write a converted network under its name if it runs, has the types that were asked for and does what the model does."""
    types = read_types(content, quantize)
    if quantize not in ("none", "auto") and not types.quantized:
        raise EdgetimeError(
            f"--quantize {quantize} changed nothing in {checked.name}: it has no weights to quantise."
        )
    mode = _in_mode(quantize)
    with replacing(checked.target) as temporary:
        temporary.write_bytes(content)
        progress(0.0, "running the file")
        try:
            runner = TfliteRunner(temporary.read_bytes(), name=str(checked.target))
            _check_types_of_io(runner, checked.specs, io)
            comparison = compare_networks(checked.model, runner, checked.rows)
        except ModelFileError as error:
            raise EdgetimeError(
                f"{checked.name} {mode} does not run: {str(error).rsplit(':', 1)[0]}; try another --quantize."
            ) from error
        problem = fault(comparison, quantize, max_drop, min_agreement, checked.rows.real)
        if problem and not allow_drop:
            raise EdgetimeError(
                f"{checked.name} {mode} {problem}, on {checked.rows.description}: try another --quantize or more "
                "typical calibration data, or accept it with --allow-drop."
            )
    notes = _notes(checked.model, quantize, types, problem, checked.rows)
    return ExportResult(
        checked.target, quantize, io, len(content), checked.rows.description, comparison, types, notes
    )


def compare_networks(model: Any, runner: TfliteRunner, rows: CheckRows) -> Comparison:
    """Run a Keras model and a `.tflite` on the same rows and compare what they answer."""
    import keras

    inputs = dict(rows.inputs)
    x: Rows = inputs if len(inputs) > 1 else next(iter(inputs.values()))
    with quiet():
        before = keras.tree.flatten(model.predict(as_called(model, list(inputs.values())), verbose=0))
    after = runner.predict(x)
    after = after if isinstance(after, list) else [after]
    comparison = compare(before, after)
    if rows.labels is None or rows.data is None:
        return comparison
    with quiet():
        scores = [
            score_of(rows.data, network, by_name(model, found), x, rows.labels)
            for network, found in ((model, before), (runner, after))
        ]
    return replace(comparison, accuracy_before=scores[0], accuracy_after=scores[1])


def _in_mode(quantize: str) -> str:
    return "in float32" if quantize == "none" else f"with --quantize {quantize}"


def _check_types_of_io(runner: TfliteRunner, specs: Specs, io: str) -> None:
    """Inputs and outputs have the types that were asked for; anything else is a bug of the converter."""
    floats = [spec for spec in specs.values() if spec[1].startswith("float")]
    inputs = list(runner.input_dtypes.values())
    outputs = list(runner.output_dtypes.values())
    wrong = inputs.count(io) != len(floats) or any(
        dtype != io for dtype in outputs if dtype in ("float32", "int8", "int16", "uint8")
    )
    if wrong:
        raise EdgetimeError(
            f"The converter made inputs {', '.join(inputs)} and outputs {', '.join(outputs)} where "
            f"{io} was asked "
            "for: choose the other --io."
        )


def _notes(
    model: Any, quantize: str, types: TypeReport, problem: str | None, rows: CheckRows
) -> tuple[str, ...]:
    notes = []
    if problem:
        notes.append(f"A limit was passed and allowed: the file {problem}.")
    if quantize in CALIBRATED and is_recurrent(model):
        notes.append(
            f"Recurrent layers were written out step by step ({types.operators} operators): "
            "integer arithmetic needs that."
        )
    if types.float_operators:
        notes.append(f"These operators stayed in float32: {types.describe_float()}.")
    if not rows.real:
        notes.append("Compared on random inputs only: give data to see agreement and accuracy.")
    return tuple(notes)


CHECK_ROWS = 1000
"""Rows that a file is checked on, drawn evenly from all that are given."""

RANDOM_ROWS = 32
"""Random rows that a file is checked on where no data is given."""

Given = Data | npt.NDArray | Inputs | str | os.PathLike[str]
"""What data may be given as: rows of the only input, of each by name, with labels, or the file of these."""


@dataclass(frozen=True)
class CheckRows:
    """Rows by input name to compare two networks on.

    `labels` say what is right (by output where there are several; None where unknown), `data` how that is judged.
    """

    inputs: Inputs
    labels: Rows | None
    data: Data | None
    description: str
    real: bool


def load_known(given: Given, specs: Specs) -> Data | Inputs:
    """Data from a file where a file is named, by the names of a network's inputs; rows as they are."""
    if isinstance(given, (str, os.PathLike)):
        file = Path(given)
        names = list(specs)
        if file.suffix == ".py" or not file.is_file():
            return load_data(file)
        arrays = read_arrays(file)
        kinds = {name.partition(".")[0] for name in arrays}
        labelled = {"x", "y"} <= kinds and not all(name in arrays for name in names)
        return load_data(file) if labelled else load_inputs(file, names)
    if isinstance(given, (Data, Mapping)):
        return given
    return {next(iter(specs)): np.asarray(given)}


def check_rows(known: Data | Inputs | None, specs: Specs, model: Any, seed: int = 0) -> CheckRows:
    """The rows to check on: held-out ones where there are any, random ones where there is no data."""
    if known is None:
        rows = _random_rows(specs, seed)
        return CheckRows(rows, None, None, f"{RANDOM_ROWS} random inputs", real=False)
    if not isinstance(known, Data):
        rows = calibration_rows(known, specs, CHECK_ROWS)
        count = len(next(iter(rows.values())))
        return CheckRows(rows, None, None, f"{count} rows without labels", real=True)
    units = _units(model, known)
    known = check_fits(known, {name: shape[1:] for name, (shape, _) in specs.items()}, units)
    part, x, y = known.held_out()
    picked = evenly(x, CHECK_ROWS)
    rows = calibration_rows(take(x, picked), specs, CHECK_ROWS)
    judged = units is not None and (known.metric is not None or any(map(known.classifies, units)))
    return CheckRows(
        rows,
        take(y, picked) if judged else None,
        known if judged else None,
        f"{len(picked)} {part} rows of {known.source}",
        real=True,
    )


def _units(model: Any, known: Data) -> dict[str, int | None] | None:
    """Values per row of each output of a Keras model, None for those that do not choose between classes.

    None for all where the labels are of one output and the model has several: only its inputs count then.
    """
    outputs = getattr(model, "outputs", None) or []
    if len(outputs) != 1 and not isinstance(known.y, Mapping):
        return None
    shapes = [tuple(tensor.shape) for tensor in outputs]
    return {
        name: shape[-1] if len(shape) == 2 else None
        for name, shape in zip(output_names(model), shapes, strict=True)
    }


def _random_rows(specs: Specs, seed: int) -> Inputs:
    """Standard normal numbers; for whole numbers 0 and 1, which every table of embeddings has."""
    generator = np.random.default_rng(seed)
    rows = {}
    for name, (shape, dtype) in specs.items():
        size = (RANDOM_ROWS, *shape[1:])
        rows[name] = (
            generator.normal(size=size)
            if np.issubdtype(dtype, np.floating)
            else generator.integers(0, 2, size)
        ).astype(dtype)
    return rows
