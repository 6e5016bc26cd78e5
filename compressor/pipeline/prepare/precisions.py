"""`--quantize auto` of a compression: the number types that a file can have, each with its own staircase of times.

A network is trained in float32 and quantised afterwards, so that one training tells of every precision what it scores: its file is
run on the validation rows. ``mixed`` gives each operator its own type, as a search on the original network found it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from compressor.costs import MIXED, Configuration, PredictedTime, Structures
from compressor.data import Rows, evenly, row_count, take
from compressor.export import (
    calibration_rows,
    export,
    file_outputs,
    input_specs,
    opened,
    to_tflite_bytes,
    write_checked,
)
from compressor.training import Task, outputs_of
from compressor.weights.quantization import Assignment, QuantizableNetwork, search
from profiler.errors import EdgetimeError, UsageError
from profiler.progress import ProgressCallback, sub_progress
from profiler.tflite import Buffer, read_model, read_network
from timemodel.model import NetworkPredictor

FLOAT32 = "float32"

_SEARCH_ROWS = 64
_SEARCH_TRIALS = 16
_JUDGED_ROWS = 2000
"""Validation rows on which files are run; what quantising loses is known from fewer rows than what a network scores."""

_FASTER = 0.97
"""A mix is taken where it takes at most this share of the time of the fastest uniform precision."""


@dataclass(frozen=True)
class Precision:
    """One way to make a file of a network: what it is called, the file of a Keras model, and what it takes at any widths."""

    name: str
    content: Callable[[Any], bytes]
    times: PredictedTime


@dataclass(frozen=True)
class Precisions:
    """All precisions of a compression, and the rows that quantised files are judged on.

    Parameters
    ----------
    by_name
        ``float32``, ``int8``, ``dynamic`` and ``mixed``, as far as the device's model knows their times.
    task
        Loss and score.
    """

    by_name: Mapping[str, Precision]
    task: Task
    calibration: Any

    def scores(self, model: Any, score: float, loss: float) -> dict[str, tuple[float, float]]:
        """Score and loss of a network's file in each precision; `score` and `loss` are those of the network itself.

        A precision in which this network cannot be converted is left out; where none is left, EdgetimeError says why.
        """
        x, y = self._rows()
        # What quantising changes is known from some of the rows.
        few = row_count(x) < _all_rows(self.task)
        plain = self._judged(outputs_of(model, x), x, y) if few else (score, loss)
        found: dict[str, tuple[float, float]] = {}
        failed: EdgetimeError | None = None
        for name, precision in self.by_name.items():
            if name == FLOAT32:
                found[name] = (score, loss)
                continue
            try:
                outputs = file_outputs(self.task, precision.content(model), x)
            except EdgetimeError as error:
                # A mix, too, is of the operators of the whole network: without some of its blocks there is none.
                failed = error
                continue
            judged = self._judged(outputs, x, y)
            found[name] = (score + judged[0] - plain[0], loss + judged[1] - plain[1])
        if failed is not None and not found:
            raise failed
        return found

    def export(self, model: Any, out: str | os.PathLike[str], name: str, **options: Any) -> Any:
        """Write a network's file in a precision, as `compressor.export.export` does."""
        if name != MIXED:
            quantize = "none" if name == FLOAT32 else name
            return export(model, out, quantize, None if name == FLOAT32 else self.calibration, **options)
        allow_drop = bool(options.get("allow_drop", False))
        checked = opened(model, out, "auto", self.calibration, options.get("check_data"), 100, 0.0, None)
        return write_checked(
            checked, self.by_name[MIXED].content(model), "auto", "float32", 1.0, 0.95, allow_drop
        )

    def _rows(self) -> tuple[Rows, Rows]:
        data = self.task.data
        assert data.x_val is not None
        assert data.y_val is not None
        if _all_rows(self.task) <= _JUDGED_ROWS:
            return data.x_val, data.y_val
        picked = evenly(data.x_val, _JUDGED_ROWS)
        return take(data.x_val, picked), take(data.y_val, picked)

    def _judged(self, outputs: Rows, x: Rows, y: Rows) -> tuple[float, float]:
        loss = float(self.task.loss(y, outputs))
        return self.task.score(outputs, x, y), loss


def _all_rows(task: Task) -> int:
    assert task.data.x_val is not None
    return row_count(task.data.x_val)


def find_precisions(
    structures: Structures,
    task: Task,
    time_model: NetworkPredictor,
    calibration: Any,
    seed: int,
    progress: ProgressCallback,
) -> tuple[Precisions, list[str]]:
    """The precisions that a model's files can have on a device, and notes for the user on those that they cannot."""
    model, full = structures.full.model, Configuration(structures.full.graph.widths)
    found: dict[str, Precision] = {}
    notes: list[str] = []
    contents: dict[str, Callable[[Any], bytes]] = {
        FLOAT32: to_tflite_bytes,
        "int8": lambda made: to_tflite_bytes(made, "int8", calibration),
        "dynamic": lambda made: to_tflite_bytes(made, "dynamic"),
    }
    for number, (name, content) in enumerate(contents.items()):
        progress(0.15 * number, f"converting as {name}")
        _add(found, notes, name, content, structures, time_model, seed)
    if {FLOAT32, "int8"} <= found.keys():
        try:
            least_ms = min(one.times.exact(full) for one in found.values())
            part = sub_progress(progress, 0.45, 0.9)
            assignment = _mix(model, time_model, calibration, least_ms, seed, part)
        except EdgetimeError as error:
            assignment = None
            notes.append(f"No mix of number types was looked for: {error}")
        if assignment is not None:
            mixed = _mixed_content(model, assignment, calibration)
            _add(found, notes, MIXED, mixed, structures, time_model, seed)
    if len(found) < 2:
        raise UsageError(
            f"{time_model.device} knows the times of no two number types of this network, so there is nothing to choose: "
            "give --quantize none or int8."
        )
    return Precisions(found, task, calibration), notes


def _add(
    found: dict[str, Precision],
    notes: list[str],
    name: str,
    content: Callable[[Any], bytes],
    like: Structures,
    time_model: NetworkPredictor,
    seed: int,
) -> None:
    """Add a precision where the network converts and its time is known."""
    try:
        structures = Structures(
            like.full.model,
            like.full.graph,
            like.blocks,
            lambda made: read_network(content(made), name=made.name),
            seed=seed,
        )
        times = PredictedTime(time_model, structures)
        if structures.full.reason:
            notes.append(f"{name} takes no part: {structures.full.reason}.")
            return
        full = Configuration(like.full.graph.widths)
        unknown = time_model.predict(times.network(full))
        if unknown.at_least:
            notes.append(
                f"{name} takes no part: {time_model.device} does not know all of its time: {unknown.not_known}."
            )
            return
        times.calibrate(full)
    except EdgetimeError as error:
        notes.append(f"{name} takes no part: {str(error).rstrip('.')}.")
        return
    found[name] = Precision(name, content, times)


def _mix(
    model: Any,
    time_model: NetworkPredictor,
    calibration: Any,
    least_ms: float,
    seed: int,
    progress: ProgressCallback,
) -> Assignment | None:
    """The fastest mix of number types of the original network; None where it is not faster than `least_ms`."""
    network = _quantizable(model, calibration)
    if not network.units:
        return None

    def predict_ms(content: bytes) -> float:
        return float(time_model.predict(read_network(content)).predicted_ms)

    front = search(network, network.rows, predict_ms, trials=_SEARCH_TRIALS, seed=seed, progress=progress)
    mixes = [one for one in front if one.mixed and one.predicted_ms < _FASTER * least_ms]
    return mixes[0].assignment if mixes else None


def _quantizable(model: Any, calibration: Any) -> QuantizableNetwork:
    rows = calibration_rows(calibration, input_specs(model), _SEARCH_ROWS)
    return QuantizableNetwork(to_tflite_bytes(model), rows)


def _mixed_content(model: Any, assignment: Assignment, calibration: Any) -> Callable[[Any], bytes]:
    """The file of a network of the same structure, its operators as in `assignment` of the original's."""
    structure = _operators(to_tflite_bytes(model))

    def content(made: Any) -> bytes:
        network = _quantizable(made, calibration)
        if _operators(network.content) != structure:
            raise EdgetimeError("The converter makes other operators of a network that was cut.")
        return network.build(assignment)

    return content


def _operators(content: bytes) -> list[str]:
    return [operator.op for operator in read_model(Buffer(content)).graphs[0].operators]
