"""Everything a search needs, made from the files that the user named."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compressor.data import Data
from compressor.export_convert import to_tflite_bytes
from compressor.export_load import load_keras
from compressor.finetune import FineTuner, Schedule, TrainingError
from compressor.graph import ChannelGraph, Widths, build_graph
from compressor.importance import Importance, measure_importance, normalised, strongest
from compressor.lowering import ConvertingLowering, Lowering, LoweringError, learn_lowering
from compressor.methods.base import SearchOverError, Trial
from compressor.options import Options
from compressor.surgery import cut
from compressor.task import Task, task_of
from compressor.timing import PredictedTime
from profiler import files
from profiler.errors import UsageError
from profiler.network import Network
from profiler.progress import ProgressCallback
from profiler.tflite_reader import read_network


@dataclass(frozen=True)
class Prepared:
    """The original network, taken apart.

    Attributes
    ----------
    name
        The model's file.
    task, tuner
        What is learned and how; `tuner` learns from the original.
    times
        Predicted time at any widths, for the file that will be exported.
    original
        The network as it is, as a trial: its score is on validation rows.
    float_network
        Of the float32 original.
    convert
        From a Keras model to the bytes of the file.
    notes
        What the user should know.
    """

    name: str
    model: Any
    graph: ChannelGraph
    task: Task
    tuner: FineTuner
    importance: Importance
    times: PredictedTime
    time_model: Any
    original: Trial
    float_network: Network
    quantize: str
    calibration: Any
    notes: tuple[str, ...]

    def build(self, widths: Widths) -> Any:
        """The original cut to these widths: its most important channels, with their weights."""
        return cut(self.model, strongest(self.importance, widths), self.graph)

    def evaluator(self, schedule: Schedule, seed: int) -> Evaluator:
        """What judges candidates by a short fine-tuning."""
        return Evaluator(self, schedule, seed)


class Evaluator:
    """Judges candidates by a short fine-tuning.

    Attributes
    ----------
    last
        The network that was trained last.
    deadline
        A candidate that is not done by then is not judged.
    epoch_seconds
        What an epoch over all training rows takes, by the last candidate; 0 before there is one.
    """

    def __init__(self, prepared: Prepared, schedule: Schedule, seed: int) -> None:
        self._prepared, self._schedule, self._seed = prepared, schedule, seed
        self._first = True
        self.last: Any = None
        self.deadline = math.inf
        self.epoch_seconds = 0.0

    def __call__(self, widths: Widths) -> tuple[float, float]:
        """Validation score and loss after a short fine-tuning; -inf and inf where it diverged.

        Raises
        ------
        SearchOverError
            The time was used up before it was done.
        """
        self.last = self._prepared.build(widths)
        try:
            outcome = self._prepared.tuner.fit(self.last, self._schedule, self._seed, deadline=self.deadline)
        except TrainingError:
            return -math.inf, math.inf
        if outcome.epochs:
            rows = len(self._prepared.task.data.x)
            seen = min(rows, self._schedule.most_rows or rows)
            self.epoch_seconds = outcome.seconds / outcome.epochs * rows / seen
        if not outcome.complete and not self._first:
            raise SearchOverError
        self._first = False
        return outcome.score, outcome.loss


def prepare(
    path: str | os.PathLike[str],
    data: Data,
    time_model: Any,
    quantize: str,
    calibration: Any,
    setting: str | None,
    importance: str,
    seed: int,
    options: Options,
    progress: ProgressCallback,
) -> Prepared:
    """Load, check, split, convert and measure importance.

    Raises
    ------
    UsageError
        The model has nothing that can be cut, or is none that can be taken apart.
    DataError
        The data does not fit it.
    """
    name = Path(path).name
    model = load_keras(path)
    graph = build_graph(model)
    task = task_of(model, data)
    if not graph.groups:
        reasons = "; ".join(f"{f.layer}: {f.reason}" for f in graph.frozen)
        raise UsageError(f"{name} has no channels that can be removed{f' ({reasons})' if reasons else ''}.")
    given = data
    data = data.with_test(options.test_share, seed).with_validation(options.validation_share, seed)
    task = Task(task.head, data)
    tuner = FineTuner(task, model)
    progress(0.2, "measuring importance")
    if importance == "taylor" or importance == "magnitude":
        channels = measure_importance(model, graph, importance, data.x, data.y, task.loss, seed)
    else:
        raise UsageError(f"There is no importance {importance!r}: choose taylor or magnitude.")
    rows = data.x if calibration is None else calibration
    convert = converter(quantize, rows)
    progress(0.4, "converting")
    float_network = read_network(to_tflite_bytes(model), name=name)
    lowering, notes = _lowering(model, graph, convert, float_network if quantize == "none" else None, seed)
    bound = _Setting(time_model, setting)
    times = PredictedTime(bound, lowering)
    times.calibrate(graph.widths)
    score, loss = tuner.evaluate(model)
    original = Trial(graph.widths, times.exact(graph.widths), score, loss)
    notes += _splits(given)
    notes += [f"Left alone: {f.layer} ({f.reason})." for f in graph.frozen]
    uncovered = bound.predict(times.network(graph.widths)).uncovered
    if uncovered:
        notes.append(f"The time model never measured {', '.join(uncovered)}: their times are estimates.")
    return Prepared(
        name, model, graph, task, tuner, normalised(channels), times, bound, original, float_network, quantize,
        rows, tuple(notes),
    )  # fmt: skip


def save_model(model: Any, path: Path) -> None:
    """Write a ``.keras`` file, whole or not at all."""
    with files.replacing(path) as temporary:
        model.save(temporary)


def converter(quantize: str, calibration: Any) -> Callable[[Any], Network]:
    """From a Keras model to the network in the file that it is exported to."""
    rows = calibration if quantize != "none" else None

    def convert(model: Any) -> Network:
        return read_network(to_tflite_bytes(model, quantize, rows), name=model.name)

    return convert


def _splits(given: Data) -> list[str]:
    """What to know where rows were split off: they are only a fair judge of a network that never saw them."""
    parts = [name for name, rows in (("test", given.x_test), ("validation", given.x_val)) if rows is None]
    if not parts:
        return []
    names = " and ".join("x_test" if part == "test" else "x_val" for part in parts)
    return [
        f"{' and '.join(parts).capitalize()} rows were split off the training rows: if the network was trained on "
        f"them, scores on them flatter it; give {names} that it never saw."
    ]


def _lowering(
    model: Any, graph: ChannelGraph, convert: Callable[[Any], Network], base: Network | None, seed: int
) -> tuple[Lowering, list[str]]:
    try:
        return learn_lowering(model, graph, convert, base, seed), []
    except LoweringError as reason:
        note = f"Every candidate is converted to know its time, which is slower, because {reason}."
        return ConvertingLowering(model, graph, convert), [note]


class _Setting:
    """A time model with one of its settings chosen."""

    def __init__(self, time_model: Any, setting: str | None) -> None:
        self._time_model = time_model
        self._options = {} if setting is None else {"setting": setting}
        self.device = time_model.device
        self.name = setting

    def setting(self) -> Any:
        """The setting's own model."""
        return self._time_model.setting(self.name)

    def predict_layers_ms(self, layers: Any) -> Any:
        """As `timemodel.TimeModel.predict_layers_ms`."""
        return self._time_model.predict_layers_ms(layers, **self._options)

    def predict(self, network: Network) -> Any:
        """As `timemodel.TimeModel.predict`."""
        return self._time_model.predict(network, **self._options)
