"""From the trained networks to the result: export, one look at the test rows, times in turns."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from compressor.data import row_count
from compressor.export import Turns, file_score, layers_ms, measure_in_turns, seconds_a_turn, target_of
from compressor.graph import layers_of
from compressor.pipeline.final import Finalist
from compressor.pipeline.prepare import Limits, Prepared, Workspace
from compressor.pipeline.result.compression_result import (
    CompressionResult,
    FrontPoint,
    LayerWidth,
    NetworkFacts,
)
from compressor.pipeline.result.files import WINNER, PointFiles, write_files
from compressor.pipeline.result.given_back import LayerChange, layer_changes, timed
from compressor.pipeline.result.reader_warnings import reader_warnings
from compressor.search import Goal, Trial
from profiler.devices import Target
from profiler.errors import TargetError
from profiler.network import peak_memory_bytes
from profiler.progress import ProgressCallback, sub_progress
from profiler.tflite import read_network
from profiler.tradeoff import pareto_front

_REPEATED_KEYS = frozenset({"groups", "target_shape", "newshape", "shape", "batch_shape", "projection_dim"})
"""Counts that only say again how wide something is that another layer made."""

_LABELS = {"num_query_heads": "query_heads"}
"""Where a group's own label would stand for two counts of one layer."""


@dataclass(frozen=True)
class Request:
    """What a run was asked for, beyond what `Prepared` knows.

    Attributes
    ----------
    limits, goal
        What was asked, and the goal that followed from it.
    method
        Its name.
    target
        Where to measure; None for this machine.
    started, deadline
        On the clock of `time.monotonic`.
    """

    limits: Limits
    goal: Goal
    method: str
    seed: int
    target: str | Target | None
    measure: bool
    started: float
    deadline: float = math.inf


@dataclass(frozen=True)
class _Measured:
    """Times in turns, and per layer; None and empty where nothing was measured."""

    turns: Turns | None = None
    layers: Mapping[str, Mapping[int, float]] = field(default_factory=dict)


def make_result(
    prepared: Prepared,
    workspace: Workspace,
    points: Sequence[Finalist],
    trials: Sequence[Trial],
    request: Request,
    progress: ProgressCallback,
) -> CompressionResult:
    """Export the original and every network that was trained, run them all, and put the figures side by side.

    Parameters
    ----------
    points
        The winner first.
    """
    notes = list(prepared.notes)
    files = write_files(prepared, workspace, points, notes, sub_progress(progress, 0.0, 0.4))
    progress(0.4, "running on validation and test rows")
    test = _scores(prepared, files.tflite, prepared.test_rows)
    validation = _scores(prepared, files.tflite, prepared.validation_rows)
    measured = _measure(prepared, files, request, notes, sub_progress(progress, 0.5, 0.98))
    figures = _Figures(prepared, workspace.folder, files, points, test, validation, measured.turns)
    facts = {name: figures.facts(name) for name in ("original", "quantized", WINNER) if name in files.tflite}
    before, after = facts["original"], facts[WINNER]
    ratio = measured.turns.ratio("original", WINNER) if measured.turns else None
    chosen = points[0]
    result = CompressionResult(
        folder=str(workspace.folder),
        method=request.method,
        device=prepared.time_model.device,
        setting=str(getattr(prepared.time_model.setting(), "key", "")),
        quantize=prepared.quantize,
        seed=request.seed,
        seeds=len(chosen.networks),
        budget_ms=request.limits.budget_ms,
        max_accuracy_drop=request.limits.max_accuracy_drop,
        met=chosen.met,
        score_name=prepared.task.score_name,
        test_rows=row_count(prepared.test_rows[0]),
        before=before,
        quantized=facts.get("quantized"),
        after=after,
        speedup_measured=ratio[0] if ratio else None,
        speedup_low=ratio[1] if ratio else None,
        speedup_high=ratio[2] if ratio else None,
        widths=layer_widths(prepared, chosen.trial),
        frozen=tuple({"layer": f.layer, "reason": f.reason} for f in prepared.graph.frozen),
        trials=tuple(_without_channels(trial) for trial in trials),
        seconds=time.monotonic() - request.started,
        points=figures.points(),
        layers=_layers(prepared, files, measured),
        validation_rows=row_count(prepared.validation_rows[0]),
        limits=request.limits.asked(),
    )
    warnings = reader_warnings(result, request.goal, chosen, prepared.original.score)
    return replace(result, notes=(*notes, *warnings))


def layer_widths(prepared: Prepared, trial: Trial) -> tuple[LayerWidth, ...]:
    """The width of every layer that has one of its own, before and after.

    What else can be chosen inside a layer stands under its name with what it is behind it, as in the names of
    groups: ``attention.heads``, ``attention.key_width``.
    """
    graph = prepared.graph
    rows = []
    for count in graph.counts:
        if count.key not in _REPEATED_KEYS:
            form = graph.form(count.channels)
            group = form.times[0][0] if form.times else ""
            label = _LABELS.get(count.key, count.label)
            name = f"{count.layer}.{label}" if label else count.layer
            rows.append(LayerWidth(name, group, form(graph.widths), form(trial.widths)))
    # The two layers of a bidirectional one say the same.
    return tuple(dict.fromkeys(rows))


def _without_channels(trial: Trial) -> dict[str, Any]:
    """A trial for the record; which channels it keeps stands in ``trials.jsonl``."""
    return {name: value for name, value in trial.to_dict().items() if name != "keep"}


def _scores(prepared: Prepared, files: Mapping[str, Path], rows: tuple[Any, Any]) -> dict[str, float]:
    """The score of every file; on the test rows this is the one look at them."""
    x, y = rows
    return {name: file_score(prepared.task, path, x, y) for name, path in files.items()}


def _measure(
    prepared: Prepared, files: PointFiles, request: Request, notes: list[str], progress: ProgressCallback
) -> _Measured:
    """All networks in turns, then the layers of the two that are compared."""
    if not request.measure:
        return _Measured()
    target, reason = target_of(prepared.time_model, request.target)
    if target is None:
        notes.append(reason)
        return _Measured()
    shown = {name: files.tflite[name] for name in files.shown()}
    seconds = seconds_a_turn(len(shown), request.deadline - time.monotonic())
    try:
        turns = measure_in_turns(shown, target, seconds=seconds, progress=sub_progress(progress, 0.0, 0.9))
        progress(0.9, "measuring layers")
        layers = layers_ms({name: files.tflite[name] for name in (files.base, WINNER)}, target, 2 * seconds)
    except TargetError as error:
        notes.append(f"Nothing was measured: {error}")
        return _Measured()
    finally:
        if not isinstance(request.target, Target):
            target.close()
    if turns.disturbed:
        notes.append("Other work slowed the device down while it measured: times may be too high.")
    return _Measured(turns, layers)


@dataclass(frozen=True)
class _Figures:
    """All that is known of the files, by their names in `PointFiles`."""

    prepared: Prepared
    folder: Path
    files: PointFiles
    finalists: Sequence[Finalist]
    test: Mapping[str, float]
    validation: Mapping[str, float]
    turns: Turns | None

    def facts(self, name: str, point: int = 0) -> NetworkFacts:
        """Of one file; `point` is the one that it belongs to, if it belongs to one."""
        path, turns, prepared = self.files.tflite[name], self.turns, self.prepared
        finalist = self.finalists[point]
        network = read_network(path)
        prediction = prepared.time_model.predict(network)
        judged = {WINNER: finalist.mean_score, "original": prepared.original.score}
        keras_file = self.files.keras.get(name)
        is_cut = name not in ("original", "quantized")
        return NetworkFacts(
            tflite=self._place(path),
            keras=None if keras_file is None else self._place(keras_file),
            quantize=prepared.quantize if name != "original" else "none",
            score=self.test[name],
            scores=tuple(self.test[key] for key in self.files.seeds(point)) if is_cut else (self.test[name],),
            validation_score=judged.get(name, self.validation[name]),
            predicted_ms=float(prediction.predicted_ms),
            low_ms=float(prediction.low_ms),
            high_ms=float(prediction.high_ms),
            measured_ms=turns.median_ms(name) if turns else None,
            measured_p90_ms=turns.median_p90_ms(name) if turns else None,
            parameters=prepared.graph.parameters(finalist.trial.widths if is_cut else prepared.graph.widths),
            macs=network.macs,
            file_bytes=path.stat().st_size,
            peak_memory_bytes=int(peak_memory_bytes(network) or 0),
            energy_mj=prediction.energy_mj,
        )

    def points(self) -> tuple[FrontPoint, ...]:
        """Every point, fastest first; the original and the quantised original compete for the front."""
        found = sorted(map(self._point, range(len(self.finalists))), key=lambda point: point.time_ms)
        others = [name for name in ("original", "quantized") if name in self.files.tflite]
        times = [point.time_ms for point in found] + [self.facts(name).time_ms for name in others]
        scores = [point.validation_score for point in found] + [self.validation[name] for name in others]
        known = [-math.inf if math.isnan(score) else score for score in scores]
        marks = pareto_front(times, known)
        return tuple(replace(point, on_front=mark) for point, mark in zip(found, marks, strict=False))

    def _point(self, number: int) -> FrontPoint:
        seeds = self.files.seeds(number)
        facts = self.facts(seeds[0], number)
        keras_file, tflite = self.files.places[number]
        widths = layer_widths(self.prepared, self.finalists[number].trial)
        return FrontPoint(
            keras=self._place(keras_file),
            tflite=self._place(tflite),
            chosen=number == 0,
            widths={row.layer: row.after for row in widths if row.group},
            validation_score=float(np.mean([self.validation[seed] for seed in seeds])),
            score=facts.mean_score,
            seeds=len(seeds),
            predicted_ms=facts.predicted_ms,
            low_ms=facts.low_ms,
            high_ms=facts.high_ms,
            measured_ms=facts.measured_ms,
            measured_p90_ms=facts.measured_p90_ms,
            size_bytes=facts.file_bytes,
            peak_memory_bytes=facts.peak_memory_bytes,
            energy_mj=facts.energy_mj,
            parameters=facts.parameters,
            macs=facts.macs,
            on_front=True,
        )

    def _place(self, path: Path) -> str:
        return str(path.relative_to(self.folder))


def _layers(prepared: Prepared, files: PointFiles, measured: _Measured) -> tuple[LayerChange, ...]:
    """What each layer gave back: the original in the same arithmetic against the compressed network."""
    before, after = (
        timed(prepared.time_model, read_network(files.tflite[name]), measured.layers.get(name))
        for name in (files.base, WINNER)
    )
    return layer_changes(prepared.time_model, before, after, [name for name, _ in layers_of(prepared.model)])
