"""Everything a search needs, made from the files that the user named."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from compressor.changes import RefusedChange, find_changes
from compressor.costs import (
    STEERINGS,
    CandidateCost,
    Configuration,
    Costs,
    LeastCost,
    LeastTime,
    MeasuredCost,
    NetworkCost,
    PredictedTime,
    Structures,
    flops_cost,
    place_of,
    steering_cost,
)
from compressor.data import Data, Rows, evenly, take
from compressor.export import input_specs, load_keras, load_known, to_tflite_bytes
from compressor.graph import ChannelGraph, Keep, build_graph, cut
from compressor.pipeline.prepare.aside import Aside, keep_aside
from compressor.pipeline.prepare.doubts import check_labels, check_metric, grouping_notes, label_notes, unseen
from compressor.pipeline.prepare.precisions import FLOAT32, Precisions, find_precisions
from compressor.pipeline.prepare.tolerance import score_margin, tolerance
from compressor.search import Candidate, Goal, Trial
from compressor.training import (
    RECONSTRUCTED_FROM,
    FineTuner,
    Importance,
    Options,
    Reconstruction,
    Task,
    dead_in_words,
    measure_importance,
    normalised,
    strongest,
    task_of,
    without_dead_channels,
)
from profiler.devices import Target
from profiler.errors import UsageError
from profiler.network import Network, peak_memory_bytes
from profiler.progress import ProgressCallback, sub_progress
from profiler.tflite import read_network
from timemodel.model import NetworkPrediction, NetworkPredictor

_LOOKED_AT = 64
"""Rows on which a network without its dead channels must answer the same."""


@dataclass(frozen=True)
class Prepared:
    """The original network, taken apart; `measure` is that of importance.

    `times` predicts the file that will be exported at any widths, `steering` is what stands for it in the search. With
    ``--quantize auto`` `precisions` are what that file can be in, and `times` is the fastest of them.
    `alive` are the channels that stay of each group with dead ones. `refused` is what was considered besides channels and is
    not offered to the search.
    `original` is the network as it is, as a trial: its score is on validation rows. `notes` are for the user.
    `test_given` and `validation_given` are whether these rows are the user's own, neither split off those for training nor their
    copies; `aside` are validation rows by which nothing is chosen, None where there are too few.
    """

    name: str
    structures: Structures
    task: Task
    tuner: FineTuner
    importance: Importance
    times: PredictedTime | LeastTime
    steering: CandidateCost
    time_model: NetworkPredictor
    original: Trial
    quantize: str
    calibration: Any
    notes: tuple[str, ...]
    measure: str = "taylor"
    test_given: bool = True
    precisions: Precisions | None = None
    alive: Mapping[str, list[int]] = field(default_factory=dict)
    refused: tuple[RefusedChange, ...] = ()
    validation_given: bool = True
    aside: Aside | None = None

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
        """The original cut to a configuration: its most important channels, what reads them solved again."""
        graph = self.structures.of(configuration).graph
        widths = {name: configuration.widths[name] for name in graph.groups}
        return self._cut(configuration, strongest(self.importance, widths))

    def _cut(self, configuration: Configuration, keep: Keep) -> Any:
        structure = self.structures.of(configuration)
        weights = Reconstruction(structure.model, structure.graph, self.typical_rows).weights(keep)
        return cut(structure.model, keep, structure.graph, weights)

    def network_of(self, candidate: Candidate, folder: Path | None) -> Any:
        """The network to train for a candidate, as it is before that; `folder` is where `Candidate.network` is."""
        if candidate.network is not None and folder is not None and (folder / candidate.network).exists():
            return load_keras(folder / candidate.network)
        if candidate.keep is not None:
            groups = self.structures.of(candidate.configuration).graph.groups
            return self._cut(candidate.configuration, {name: candidate.keep[name] for name in groups})
        return self.build(candidate.configuration)

    def score_error(self, outputs: Sequence[Rows]) -> float:
        """By how much the score of networks less the original's may be too high, from their outputs on validation rows."""
        x, y = self.validation_rows
        original, groups = self.tuner.validation_outputs(self.model), self.task.data.groups_val
        return score_margin(self.task, outputs, original, x, y, groups)

    @property
    def tolerance(self) -> float:
        """Scores that differ by no more are not told apart on the validation rows."""
        return tolerance(self.task, self.original.score)

    @property
    def validation_rows(self) -> tuple[Rows, Rows]:
        """Inputs and labels to choose by."""
        data = self.task.data
        assert data.x_val is not None
        assert data.y_val is not None
        return data.x_val, data.y_val

    @property
    def typical_rows(self) -> Rows:
        """Inputs from all over the training rows that say what channels carry: files are often sorted by class."""
        x = self.task.data.x
        return take(x, evenly(x, RECONSTRUCTED_FROM))

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
        """The one cost of a search with this goal, and the budget of it.

        Of several precisions the least of each one's: all limits hold in the same file.
        """
        if self.precisions is None:
            return steering_cost(goal.objective, self.single_costs(goal), goal.limits)
        found = {
            name: steering_cost(goal.objective, self._costs_in(one.times, one.times, goal), goal.limits)
            for name, one in self.precisions.by_name.items()
        }
        return LeastCost({name: cost for name, (cost, _) in found.items()}), next(iter(found.values()))[1]

    def single_costs(self, goal: Goal) -> dict[str, CandidateCost]:
        """Every cost that a goal can limit, by name; energy that the time model does not know is a `UsageError`."""
        if not isinstance(self.times, LeastTime):
            return self._costs_in(self.times, self.steering, goal)
        by_name = {name: self._costs_in(one, one, goal) for name, one in self.times.by_precision.items()}
        names = next(iter(by_name.values()))
        return {cost: LeastCost({name: costs[cost] for name, costs in by_name.items()}) for cost in names}

    def _costs_in(
        self, times: PredictedTime, steering: CandidateCost, goal: Goal
    ) -> dict[str, CandidateCost]:
        energy = times.energy(self.time_model)
        if "energy" in (goal.objective, *goal.limits):
            energy.calibrate(self.original.configuration)
        return {
            "time": steering,
            "size": NetworkCost(times.network, lambda network: network.file_bytes, times.cheap),
            "memory": NetworkCost(times.network, _memory_bytes, times.cheap),
            "energy": energy,
        }

    def in_precisions(self, trial: Trial, model: Any) -> dict[str, Trial]:
        """A trial as each precision makes it of its trained network, with the costs and the score of the file; else as it is."""
        if self.precisions is None or not math.isfinite(trial.score):
            return {"": trial}
        found = {}
        for name, (score, loss) in self.precisions.scores(model, trial.score, trial.loss).items():
            configuration = trial.configuration.with_precision(name)
            found[name] = replace(
                trial, configuration=configuration, costs=self.costs(configuration), score=score, loss=loss
            )
        return found

    def precision_of(self, configuration: Configuration) -> str:
        """What the file of a configuration is in, as ``--quantize`` calls it."""
        return self.quantize if self.precisions is None else configuration.precision or FLOAT32


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
    max_accuracy_drop: float | None = None,
) -> Prepared:
    """Load, check, split, convert and measure importance; `records` keeps what was measured on the target.

    `max_accuracy_drop`, in hundredths, is what the rows that are kept aside have to confirm.
    """
    name = Path(path).name
    model = load_keras(path)
    graph = build_graph(model)
    task = task_of(model, data)
    if not graph.groups:
        reasons = "; ".join(f"{f.layer}: {f.reason}" for f in graph.frozen)
        raise UsageError(f"{name} has no channels that can be removed{f' ({reasons})' if reasons else ''}.")
    check_labels(task)
    given = task.data
    (test_given, doubts_of_test), (validation_given, doubts_of_validation) = (
        unseen(given, part) for part in ("test", "val")
    )
    data = given.with_test(options.test_share, seed).with_validation(options.validation_share, seed)
    task, aside = Task(task.head, data), None
    if validation_given and max_accuracy_drop is not None:
        task, aside = keep_aside(task, max_accuracy_drop / 100, seed)
    tuner = FineTuner(task, model)
    progress(0.2, "measuring importance")
    channels = measure_importance(model, graph, importance, data.x, data.y, task.loss, seed)
    rows = data.x if calibration is None else load_known(calibration, input_specs(model))
    if setting is not None:
        time_model = time_model.only(setting)
    full = Configuration(graph.widths)
    precisions: Precisions | None = None
    times: PredictedTime | LeastTime
    progress(0.4, "converting")
    notes = list[str]()
    plain = converter("none" if quantize == "auto" else quantize, rows)
    base = read_network(to_tflite_bytes(model), name=name) if quantize in ("none", "auto") else plain(model)
    found = find_changes(model, base, time_model.predict_layers_ms)
    structures = Structures(model, graph, found.changes, plain, base, seed)
    if quantize == "auto":
        if steer != "time":
            raise UsageError("--quantize auto goes by predicted time: leave --steer out.")
        precisions, notes = find_precisions(
            structures, task, time_model, rows, seed, sub_progress(progress, 0.4, 1.0)
        )
        times = LeastTime({each: one.times for each, one in precisions.by_name.items()})
    else:
        times = PredictedTime(time_model, structures)
        times.calibrate(full)
        if structures.full.reason:
            notes.append(
                f"Every candidate is converted to know its time, which is slower, because {structures.full.reason}."
            )
    doubts = known_of(time_model.predict(times.network(full)))  # refused before anything long is done
    score, loss = tuner.evaluate(model)
    ignored = check_metric(task, task.data.x_val, task.data.y_val, tuner.validation_outputs(model))
    steering: CandidateCost = times
    if steer == "measured":
        progress(0.8, "measuring the original")
        steering = MeasuredCost(
            structures, lambda made: _content(made, quantize, rows), place_of(time_model, target), records
        )
    elif steer == "flops" and isinstance(times, PredictedTime):
        steering = flops_cost(times, full)
    elif steer not in STEERINGS:
        raise UsageError(f"--steer is one of {', '.join(STEERINGS)}, not {steer!r}.")
    as_given = full if precisions is None else full.with_precision(next(iter(precisions.by_name)))
    original = Trial(full, _costs(time_model, times, steering, as_given), score, loss)
    alive = without_dead_channels(model, take(data.x, slice(_LOOKED_AT)), graph)[1]
    if alive:
        notes.append(f"Tried first: {dead_in_words(alive, graph.widths)}")
    notes += [*_splits(given), *doubts_of_test, *doubts_of_validation]
    notes += [*grouping_notes(given), *label_notes(task), *ignored]
    notes += [f"Left alone: {f.layer} ({f.reason})." for f in graph.frozen]
    notes += doubts
    return Prepared(
        name, structures, task, tuner, normalised(channels), times, steering, time_model, original, quantize, rows,
        tuple(notes), importance, test_given, precisions, alive, found.refused, validation_given, aside,
    )  # fmt: skip


def known_of(prediction: NetworkPrediction) -> list[str]:
    """Notes on times that are left out or estimated; UsageError where one is not known, so that no budget can be kept."""
    if any(not layer.known and not layer.left for layer in prediction.layers):
        raise UsageError(
            f"Not all of the time of {prediction.network} is known on {prediction.device}: {prediction.not_known}."
        )
    notes = []
    left = dict.fromkeys(layer.op for layer in prediction.layers if layer.left and not layer.known)
    if left:
        notes.append(f"{prediction.device} leaves {', '.join(left)} to the CPU: their time is left out.")
    uncovered = [op for op in prediction.uncovered if op not in left]
    if uncovered:
        notes.append(f"The time model never measured {', '.join(uncovered)}: their times are estimates.")
    return notes


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
    time_model: NetworkPredictor,
    times: PredictedTime | LeastTime,
    steering: CandidateCost,
    configuration: Configuration,
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
