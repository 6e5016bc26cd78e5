"""Everything a search needs, made from the files that the user named; and what judges its candidates."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from compressor.costs import (
    STEERINGS,
    CandidateCost,
    Configuration,
    Costs,
    MeasuredCost,
    NetworkCost,
    PredictedTime,
    Structures,
    flops_cost,
    place_of,
    steering_cost,
)
from compressor.data import Data, Rows, row_count, take
from compressor.export import input_specs, load_keras, load_known, to_tflite_bytes
from compressor.graph import ChannelGraph, build_graph, cut, find_blocks
from compressor.pipeline.prepare.tolerance import standard_error
from compressor.search import Candidate, Goal, SearchOverError, SearchProblem, Trial
from compressor.training import (
    FineTuner,
    Importance,
    Options,
    Schedule,
    Task,
    TrainingError,
    let_go,
    measure_importance,
    normalised,
    run,
    strongest,
    task_of,
)
from profiler.devices import Target
from profiler.errors import UsageError
from profiler.network import Network, peak_memory_bytes
from profiler.progress import ProgressCallback
from profiler.tflite import read_network
from timemodel.model import NetworkPredictor

_ROWS_WITHOUT, _BATCH_WITHOUT = 512, 128


@dataclass(frozen=True)
class Prepared:
    """The original network, taken apart; `measure` is that of importance.

    `times` predicts the file that will be exported at any widths, `steering` is what stands for it in the search.
    `original` is the network as it is, as a trial: its score is on validation rows. `notes` are for the user.
    `test_given` is whether the test rows are the user's own, not split off those for training.
    """

    name: str
    structures: Structures
    task: Task
    tuner: FineTuner
    importance: Importance
    times: PredictedTime
    steering: CandidateCost
    time_model: NetworkPredictor
    original: Trial
    quantize: str
    calibration: Any
    notes: tuple[str, ...]
    measure: str = "taylor"
    test_given: bool = True

    @property
    def model(self) -> Any:
        """The network as it is."""
        return self.structures.full.model

    @property
    def graph(self) -> ChannelGraph:
        """Its groups."""
        return self.structures.full.graph

    def importance_of(self, model: Any, graph: ChannelGraph, seed: int) -> Importance:
        """Importance in a network that was cut from the original, by the measure of this one; each group's sum to 1."""
        data, loss = self.task.data, self.task.loss
        return normalised(measure_importance(model, graph, self.measure, data.x, data.y, loss, seed))

    def build(self, configuration: Configuration) -> Any:
        """The original cut to a configuration: its most important channels, with their weights."""
        structure = self.structures.of(configuration)
        widths = {name: configuration.widths[name] for name in structure.graph.groups}
        return cut(structure.model, strongest(self.importance, widths), structure.graph)

    def loss_without(self, configuration: Configuration) -> float:
        """The loss on some training rows at full widths without the configuration's blocks, before any training.

        Normalisations use the statistics of the batch: those that they have are of a network with the blocks.
        """
        model, data = self.structures.model_without(configuration), self.task.data
        chosen = np.random.default_rng(0).permutation(row_count(data.x))[:_ROWS_WITHOUT]
        losses = []
        for start in range(0, len(chosen), _BATCH_WITHOUT):
            rows = chosen[start : start + _BATCH_WITHOUT]
            losses.append(
                float(self.task.loss(take(data.y, rows), run(model, take(data.x, rows), training=True)))
            )
        return float(np.mean(losses))

    def network_of(self, candidate: Candidate, folder: Path | None) -> Any:
        """The network to train for a candidate, as it is before that; `folder` is where `Candidate.network` is."""
        if candidate.network is not None and folder is not None and (folder / candidate.network).exists():
            return load_keras(folder / candidate.network)
        if candidate.keep is not None:
            structure = self.structures.of(candidate.configuration)
            kept = {name: candidate.keep[name] for name in structure.graph.groups}
            return cut(structure.model, kept, structure.graph)
        return self.build(candidate.configuration)

    def score_error(self, outputs: Sequence[Rows]) -> float:
        """Standard error of what networks score more than the original, from their outputs on validation rows."""
        x, y = self.validation_rows
        return standard_error(self.task, outputs, self.tuner.validation_outputs(self.model), x, y)

    @property
    def validation_rows(self) -> tuple[Rows, Rows]:
        """Inputs and labels to choose by."""
        data = self.task.data
        assert data.x_val is not None
        assert data.y_val is not None
        return data.x_val, data.y_val

    @property
    def test_rows(self) -> tuple[Rows, Rows]:
        """Inputs and labels that are looked at once."""
        data = self.task.data
        assert data.x_test is not None
        assert data.y_test is not None
        return data.x_test, data.y_test

    def costs(self, configuration: Configuration) -> Costs:
        """All that the file of a configuration costs."""
        return _costs(self.time_model, self.times, self.steering, configuration)

    def cost_of(self, goal: Goal) -> tuple[CandidateCost, float | None]:
        """The one cost of a search with this goal, and the budget of it."""
        return steering_cost(goal.objective, self.single_costs(goal), goal.limits)

    def single_costs(self, goal: Goal) -> dict[str, CandidateCost]:
        """Every cost that a goal can limit, by name; energy that the time model does not know is a `UsageError`."""
        cheap = self.times.cheap
        energy = self.times.energy(self.time_model)
        if "energy" in (goal.objective, *goal.limits):
            energy.calibrate(self.original.configuration)
        return {
            "time": self.steering,
            "size": NetworkCost(self.times.network, lambda network: network.file_bytes, cheap),
            "memory": NetworkCost(self.times.network, _memory_bytes, cheap),
            "energy": energy,
        }


def prepare(
    path: str | os.PathLike[str],
    data: Data,
    time_model: NetworkPredictor,
    quantize: str,
    calibration: Any,
    setting: str | None,
    importance: str,
    seed: int,
    options: Options,
    progress: ProgressCallback,
    steer: str = "time",
    target: str | Target | None = None,
    records: Path | None = None,
) -> Prepared:
    """Load, check, split, convert and measure importance; `records` keeps what was measured on the target."""
    name = Path(path).name
    model = load_keras(path)
    graph = build_graph(model)
    task = task_of(model, data)
    if not graph.groups:
        reasons = "; ".join(f"{f.layer}: {f.reason}" for f in graph.frozen)
        raise UsageError(f"{name} has no channels that can be removed{f' ({reasons})' if reasons else ''}.")
    given = task.data
    data = given.with_test(options.test_share, seed).with_validation(options.validation_share, seed)
    task = Task(task.head, data)
    tuner = FineTuner(task, model)
    progress(0.2, "measuring importance")
    channels = measure_importance(model, graph, importance, data.x, data.y, task.loss, seed)
    rows = data.x if calibration is None else load_known(calibration, input_specs(model))
    convert = converter(quantize, rows)
    progress(0.4, "converting")
    base = read_network(to_tflite_bytes(model), name=name) if quantize == "none" else None
    structures = Structures(model, graph, find_blocks(model).removable, convert, base, seed)
    if setting is not None:
        time_model = time_model.only(setting)
    times = PredictedTime(time_model, structures)
    notes = []
    if structures.full.reason:
        notes.append(
            f"Every candidate is converted to know its time, which is slower, because {structures.full.reason}."
        )
    full = Configuration(graph.widths)
    times.calibrate(full)
    score, loss = tuner.evaluate(model)
    steering: CandidateCost = times
    if steer == "measured":
        progress(0.8, "measuring the original")
        steering = MeasuredCost(
            structures, lambda made: _content(made, quantize, rows), place_of(time_model, target), records
        )
    elif steer == "flops":
        steering = flops_cost(times, full)
    elif steer not in STEERINGS:
        raise UsageError(f"--steer is one of {', '.join(STEERINGS)}, not {steer!r}.")
    original = Trial(full, _costs(time_model, times, steering, full), score, loss)
    notes += _splits(given)
    notes += [f"Left alone: {f.layer} ({f.reason})." for f in graph.frozen]
    prediction = time_model.predict(times.network(full))
    left = dict.fromkeys(layer.op for layer in prediction.layers if layer.left and not layer.known)
    if left:
        notes.append(f"{time_model.device} leaves {', '.join(left)} to the CPU: their time is left out.")
    uncovered = [op for op in prediction.uncovered if op not in left]
    if uncovered:
        notes.append(f"The time model never measured {', '.join(uncovered)}: their times are estimates.")
    return Prepared(
        name, structures, task, tuner, normalised(channels), times, steering, time_model, original, quantize, rows,
        tuple(notes), importance, given.x_test is not None,
    )  # fmt: skip


def converter(quantize: str, calibration: Any) -> Callable[[Any], Network]:
    """From a Keras model to the network in the file that it is exported to."""

    def convert(model: Any) -> Network:
        return read_network(_content(model, quantize, calibration), name=model.name)

    return convert


def _content(model: Any, quantize: str, calibration: Any) -> bytes:
    """The file that a model is exported to."""
    return to_tflite_bytes(model, quantize, calibration if quantize != "none" else None)


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


def _costs(
    time_model: NetworkPredictor, times: PredictedTime, steering: CandidateCost, configuration: Configuration
) -> Costs:
    network = times.network(configuration)
    return Costs(
        float(times.exact(configuration)),
        network.file_bytes,
        _memory_bytes(network),
        time_model.predict(network).energy_mj,
        None if steering is times else float(steering.exact(configuration)),
    )


def _memory_bytes(network: Network) -> int:
    return int(peak_memory_bytes(network) or 0)


class Evaluator:
    """Judges candidates by a short fine-tuning, each of the whole schedule; `last` is the network that was trained last.

    A candidate is not begun that, by the time of the last one, would not be finished before `deadline`; what is cut by it
    all the same does not count. With `judges_first` the first one is trained to its end whatever the time.

    `epoch_seconds` is what an epoch over all training rows takes, by the last candidate. `on_pace` is called once, as soon
    as the time of an epoch is known, with the seconds that the rest of the first candidate takes and with `epoch_seconds`.
    """

    def __init__(self, prepared: Prepared, schedule: Schedule, seed: int, folder: Path | None = None) -> None:
        self._prepared, self._schedule, self._seed, self._folder = prepared, schedule, seed, folder
        self._first = True
        self.last: Any = None
        self.deadline = math.inf
        self.judges_first = True
        self.epoch_seconds = 0.0
        self._needed_s = 0.0
        self.on_pace: Callable[[float, float], None] = lambda rest_s, epoch_seconds: None
        self.on_epoch: Callable[[int, int, float], None] = lambda epoch, epochs, score: None

    def __call__(self, candidate: Candidate) -> tuple[float, float]:
        """Validation score and loss after a short fine-tuning; -inf and inf where it diverged.

        A network that the candidate brings along (`Candidate.model`) is trained on, as it is. Where there is no time to
        train it to its end, `SearchOverError` is raised.
        """
        always = self._first and self.judges_first
        deadline = math.inf if always else self.deadline
        if time.monotonic() + self._needed_s > deadline:
            raise SearchOverError
        self.last = None
        let_go()
        self.last = candidate.model or self._prepared.network_of(candidate, self._folder)
        ends: list[float] = []

        def finished(epoch: int, score: float) -> None:
            ends.append(time.monotonic())
            if epoch:
                # The first epoch compiles.
                counted = ends[min(1, epoch - 1) :]
                seconds = (counted[-1] - counted[0]) / (len(counted) - 1)
                self.epoch_seconds = seconds * self._part()
                if self._first and epoch == min(2, self._schedule.epochs):
                    self.on_pace(seconds * (self._schedule.epochs - epoch), self.epoch_seconds)
            self.on_epoch(epoch, self._schedule.epochs, score)

        try:
            outcome = self._prepared.tuner.fit(
                self.last, self._schedule, self._seed, deadline=deadline, on_epoch=finished
            )
        except TrainingError:
            return -math.inf, math.inf
        if outcome.epochs:
            self._needed_s = outcome.seconds / outcome.epochs * self._schedule.epochs
        if not outcome.complete:
            raise SearchOverError
        self._first = False
        return outcome.score, outcome.loss

    def _part(self) -> float:
        """How many times as many rows an epoch over all of them has."""
        rows = row_count(self._prepared.task.data.x)
        return rows / min(rows, self._schedule.most_rows or rows)


def search_problem(
    prepared: Prepared,
    goal: Goal,
    evaluator: Evaluator,
    seed: int,
    folder: Path | None,
    known: Sequence[Trial] = (),
) -> SearchProblem:
    """What a method searches, judged by `evaluator` until its deadline; epochs are reported to the problem."""
    cost, budget = prepared.cost_of(goal)
    problem = SearchProblem(
        groups=prepared.graph.groups,
        importance=prepared.importance,
        cost=cost,
        budget=budget,
        costs=prepared.costs,
        evaluate=evaluator,
        goal=goal,
        original=prepared.original,
        seed=seed,
        deadline=evaluator.deadline,
        needs_one=evaluator.judges_first,
        folder=folder,
        known=list(known),
        blocks=prepared.structures.blocks,
        loss_without=prepared.loss_without,
        context=prepared,
    )
    evaluator.on_epoch = lambda epoch, epochs, score: problem.on_epoch(epoch, epochs, score)
    return problem
