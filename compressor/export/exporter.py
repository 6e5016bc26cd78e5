"""Export: a Keras model becomes a `.tflite` file that was run, compared and found to be what was asked for."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from compressor.data import Data, Rows
from compressor.export.check_rows import CheckRows, Given, check_rows, load_known
from compressor.export.comparison import Comparison, compare, fault, is_probabilities, lost_in_words, score_of
from compressor.export.conversion import (
    CALIBRATED,
    Inputs,
    TypeReport,
    check_options,
    read_types,
    to_tflite_bytes,
)
from compressor.export.freezing import Specs, is_recurrent
from compressor.export.keras_files import InputShape, in_float32, input_specs, load_keras
from compressor.export.lean import lean
from compressor.export.left_out import silent_changes
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
    """A Keras model that is to be exported: its name in sentences, inputs, data, the rows to check on and the file to write.

    `notes` say what the file does otherwise than the model, whatever the precision.
    """

    model: Any
    name: str
    specs: Specs
    known: Data | Inputs | None
    rows: CheckRows
    target: Path
    notes: tuple[str, ...] = ()


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
    source = load_keras(model) if is_file else model
    net = in_float32(source)
    specs = input_specs(net, input_shape)
    known = None if calibration is None else load_known(calibration, specs)
    rows = check_rows(known if check_data is None else load_known(check_data, specs), specs, net)
    return Checked(net, name, specs, known, rows, target, silent_changes(source))


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
    notes = (*checked.notes, *_notes(checked.model, quantize, types, problem, checked.rows))
    lost = lost_in_words(comparison)
    if lost and not problem:
        notes = (
            *notes,
            f"The file {lost}: they hardly vary beside the others, with which they share one scale.",
        )
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
    comparison = compare(before, after, _classes(model, before, rows))
    if rows.labels is None or rows.data is None:
        return comparison
    with quiet():
        scores = [
            score_of(rows.data, network, by_name(model, found), x, rows.labels)
            for network, found in ((model, before), (runner, after))
        ]
    return replace(comparison, accuracy_before=scores[0], accuracy_after=scores[1])


def _classes(model: Any, outputs: Sequence[npt.NDArray], rows: CheckRows) -> list[bool]:
    """Which outputs choose between classes: those whose labels are class numbers, and probabilities."""
    names = output_names(model)
    labelled = rows.data is not None and rows.labels is not None and rows.data.metric is None
    labels = rows.labels if isinstance(rows.labels, Mapping) else {"": rows.labels}
    return [
        is_probabilities(np.asarray(output))
        or (
            labelled
            and rows.data is not None
            and any(rows.data.classifies(key) for key in labels if key in ("", name))
        )
        for name, output in zip(names, outputs, strict=True)
    ]


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
