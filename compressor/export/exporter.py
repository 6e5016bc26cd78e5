"""Export: a Keras model becomes a `.tflite` file that was run, compared and found to be what was asked for."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from compressor.data import Rows
from compressor.export.comparison import Comparison, compare, fault, score_of
from compressor.export.conversion import CALIBRATED, check_options, to_tflite_bytes
from compressor.export.freezing import Specs, is_recurrent
from compressor.export.keras_files import InputShape, in_float32, input_specs, load_keras
from compressor.export.rows import CheckRows, Given, check_rows, load_known
from compressor.export.running import TfliteRunner
from compressor.export.silence import quiet
from compressor.export.tensor_types import TypeReport, read_types
from compressor.training import as_called, by_name
from profiler.errors import EdgetimeError, ModelFileError, UsageError
from profiler.files import replacing
from profiler.progress import ProgressCallback, silent

__all__ = ["ExportResult", "export", "to_tflite_bytes"]


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
        ``none``, ``float16``, ``dynamic``, ``int8`` or ``int16``; see `to_tflite_bytes`.
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

    Returns
    -------
    ExportResult

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
    target = Path(out)
    if target.suffix != ".tflite":
        raise UsageError(f"{target} does not end in .tflite: name the file to write, such as net.tflite.")
    if not 0 <= max_drop <= 100:
        raise UsageError(f"The accuracy that may be lost is {max_drop:g} points: give 0 to 100.")
    if not 0 <= min_agreement <= 1:
        raise UsageError(f"The share of rows that must agree is {min_agreement:g}: give 0 to 1.")
    check_options(quantize, io, calibration is not None)
    progress(0.0, "reading the model")
    is_file = isinstance(model, (str, os.PathLike))
    name = str(model) if is_file else "The Keras model"
    net = in_float32(load_keras(model) if is_file else model)
    specs = input_specs(net, input_shape)
    known = None if calibration is None else load_known(calibration, specs)
    rows = check_rows(known if check_data is None else load_known(check_data, specs), specs, net)
    progress(0.1, "converting")
    content = to_tflite_bytes(
        net, quantize, known if quantize in CALIBRATED else None, io=io, input_shape=input_shape
    )
    types = read_types(content, quantize)
    if quantize != "none" and not types.quantized:
        raise EdgetimeError(
            f"--quantize {quantize} changed nothing in {name}: it has no weights to quantise."
        )
    with replacing(target) as temporary:
        temporary.write_bytes(content)
        progress(0.5, "running the file")
        try:
            runner = TfliteRunner(temporary.read_bytes(), name=str(target))
            _check_types_of_io(runner, specs, io)
            comparison = compare_networks(net, runner, rows)
        except ModelFileError as error:
            raise EdgetimeError(
                f"{name} {_in_mode(quantize)} does not run: {str(error).rsplit(':', 1)[0]}; try another --quantize."
            ) from error
        problem = fault(comparison, quantize, max_drop, min_agreement, rows.real)
        if problem and not allow_drop:
            raise EdgetimeError(
                f"{name} {_in_mode(quantize)} {problem}, on {rows.description}: try another --quantize or more "
                "typical calibration data, or accept it with --allow-drop."
            )
    progress(1.0, "done")
    notes = _notes(net, quantize, types, problem, rows)
    return ExportResult(target, quantize, io, len(content), rows.description, comparison, types, notes)


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
