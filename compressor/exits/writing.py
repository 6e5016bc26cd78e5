"""The segments of a network with exits as one `.tflite` file, run in order and compared with the Keras network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compressor.data import Rows
from compressor.exits.heads import ANSWER, Branched, hidden_names
from compressor.exits.one_file import Part, join
from compressor.export import Comparison, TfliteRunner, argument_names, compare, fault, to_tflite_bytes
from compressor.training import input_names, outputs_of
from profiler.errors import EdgetimeError
from profiler.files import replacing
from profiler.network import Network
from profiler.progress import ProgressCallback, silent
from profiler.tflite import only_signature, read_network, read_signatures


@dataclass(frozen=True)
class WrittenExits:
    """A file with a signature per segment, and how its answers compare with those of the Keras network, exit by exit."""

    path: Path
    signatures: tuple[str, ...]
    comparisons: tuple[Comparison, ...]


def write_exits(
    branched: Branched,
    path: Path,
    quantize: str,
    calibration: Rows,
    check: Rows,
    progress: ProgressCallback = silent,
) -> WrittenExits:
    """Write every segment into one file that was run on the rows `check` before it gets its name.

    For ``int8`` each segment is calibrated with what the ones before it make of the rows `calibration`. Raises EdgetimeError
    where the file answers otherwise than the Keras network.
    """
    segments = branched.segments()
    parts, rows = [], calibration
    for number, segment in enumerate(segments):
        progress(number / (len(segments) + 1), f"converting segment {number + 1} of {len(segments)}")
        parts.append(_part(segment, number, quantize, rows))
        if number + 1 < len(segments):
            rows = _handed_on(segment, rows)
    with replacing(path) as temporary:
        temporary.write_bytes(join(parts))
        progress(len(segments) / (len(segments) + 1), "running the segments in order")
        found = run_segments(temporary, check)
        wanted = outputs_of(branched.model, check)
        comparisons = tuple(
            compare([wanted[name]], [answer], [True])
            for name, answer in zip(branched.exits, found, strict=True)
        )
        for name, comparison in zip(branched.exits, comparisons, strict=True):
            problem = fault(comparison, quantize, 100, 0.5 if quantize != "none" else 0.99, real=True)
            if problem:
                raise EdgetimeError(
                    f"{path}: {name.replace('_', ' ')} {problem}, on {comparison.rows} rows: "
                    + (
                        "try --quantize none."
                        if quantize != "none"
                        else "this is a bug of edgetime, please report it."
                    )
                )
    return WrittenExits(path, tuple(part.signature for part in parts), comparisons)


def run_segments(path: Path, x: Rows) -> list[NDArray[np.float32]]:
    """Answers of every exit for all rows, exits [rows, classes], by running the file's segments in order."""
    answers, given = [], x
    for signature in read_signatures(path):
        runner = TfliteRunner(only_signature(path, signature), name=f"{path}, {signature}")
        outputs = runner.predict(given)
        by_name = dict(
            zip(runner.output_dtypes, outputs if isinstance(outputs, list) else [outputs], strict=True)
        )
        answers.append(by_name.pop(ANSWER))
        given = by_name
    return answers


def read_segments(path: Path) -> dict[str, Network]:
    """The network of each segment by its signature."""
    return {
        name: read_network(only_signature(path, name), name=f"{path.name}, {name}")
        for name in read_signatures(path)
    }


def _part(segment: Any, number: int, quantize: str, rows: Rows) -> Part:
    given = input_names(segment)
    wanted = argument_names(given)
    if number:
        wanted = dict(zip(given, hidden_names(len(given)), strict=True))
    inputs = {plain: wanted[name] for name, plain in argument_names(given).items()}
    content = to_tflite_bytes(segment, quantize, _by_name(given, rows) if quantize != "none" else None)
    outputs = [ANSWER, *hidden_names(len(segment.outputs) - 1)]
    return Part(content, f"segment_{number + 1}", inputs, outputs[: len(segment.outputs)])


def _by_name(names: list[str], rows: Rows) -> Mapping[str, Any]:
    """Rows of a segment by the names of its inputs: by place where these are tensors that another segment gave."""
    if not isinstance(rows, Mapping):
        return {names[0]: rows}
    return rows if set(rows) == set(names) else dict(zip(names, rows.values(), strict=True))


def _handed_on(segment: Any, rows: Rows) -> Rows:
    """What a segment hands to the next one, by place."""
    import keras

    names = input_names(segment)
    by_name = _by_name(names, rows)
    outputs = segment.predict([by_name[name] for name in names], verbose=0)
    hidden = keras.tree.flatten(outputs)[1:]
    return {str(place): array for place, array in enumerate(hidden)}
