"""From the trained networks to the result: export, one look at the test rows, times in turns."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from compressor.data import row_count
from compressor.export import (
    Turns,
    file_score,
    keep_float32,
    layers_ms,
    measure_in_turns,
    seconds_a_turn,
    target_of,
)
from compressor.graph import layers_of
from compressor.pipeline.final import Finalist
from compressor.pipeline.prepare import (
    Limits,
    Prepared,
    Workspace,
    enough_minutes,
    in_minutes,
    in_words,
    missed,
)
from compressor.pipeline.result.changes import changes_in_words, layer_widths, parameters_of
from compressor.pipeline.result.comparing import Losses, losses_of_files, recommendations
from compressor.pipeline.result.compression_result import (
    CompressionResult,
    FileCosts,
    FrontPoint,
    NetworkFacts,
)
from compressor.pipeline.result.confirming import Confirmed, confirm_files
from compressor.pipeline.result.family import finish_family
from compressor.pipeline.result.files import WINNER, PointFiles, name_winner, write_files, write_quantised
from compressor.pipeline.result.given_back import LayerChange, layer_changes, timed
from compressor.pipeline.result.promise import promise_of_files
from compressor.pipeline.result.reader_warnings import reader_warnings
from compressor.pipeline.result.rebuilding import write_rebuilding
from compressor.pipeline.result.structural import refused_in_words
from compressor.search import Goal, Trial
from compressor.training import Schedule
from profiler.devices import Target
from profiler.errors import TargetError
from profiler.network import Network, peak_memory_bytes
from profiler.progress import ProgressCallback, sub_progress
from profiler.tflite import read_network
from profiler.tradeoff import pareto_front


@dataclass(frozen=True)
class Request:
    """What a run was asked for, beyond what `Prepared` knows; times on the clock of `time.monotonic`."""

    limits: Limits
    goal: Goal
    method: str
    seed: int
    target: str | Target | None
    measure: bool
    started: float
    deadline: float = math.inf
    minutes: float | None = None
    steer: str = "time"
    family: bool = False
    effort: Mapping[str, Any] = field(default_factory=dict)
    schedule: Schedule = field(default_factory=Schedule)


_WORTH_SAYING = 0.1
"""A run that took longer by less than this share of its minutes is not warned of."""

_LayersMs = Mapping[str, Mapping[int, float]]
"""Measured times by file and `Layer.index`; empty where nothing was measured."""


def make_result(
    prepared: Prepared,
    workspace: Workspace,
    points: Sequence[Finalist],
    trials: Sequence[Trial],
    request: Request,
    progress: ProgressCallback,
) -> CompressionResult:
    """Export the original and every network that was trained, the winner first, run them all, and compare the figures."""
    notes = [*prepared.notes, *refused_in_words(prepared.refused)]
    files = write_files(prepared, workspace, points, sub_progress(progress, 0.0, 0.4))
    progress(0.4, "running on validation and test rows")
    drop = request.limits.max_accuracy_drop
    asked = None if drop is None else drop / 100
    confirmed = confirm_files(prepared, files, points, request.goal, asked)
    if confirmed is not None:
        points, files = confirmed.lead(points), files.lead(confirmed.place)
    write_quantised(prepared, workspace, files, points[0], notes)
    notes += files.said[WINNER]
    test = _scores(prepared, files.tflite, prepared.test_rows)
    validation = _scores(prepared, files.tflite, prepared.validation_rows)
    turns, layers_measured = _measure(prepared, files, request, notes, sub_progress(progress, 0.5, 0.98))
    losses = losses_of_files(prepared, files)
    figures = _Figures(prepared, workspace.folder, files, points, test, validation, turns, losses)
    advice, missing = "", _missed(prepared, figures, request, confirmed)
    if "quantized" in files.tflite:
        times = (figures.facts(name).time_ms for name in ("quantized", "original"))
        advice = keep_float32(figures.precision("quantized"), *times)
    if missing and advice and _wants_time(request.goal):
        missing += f"; {advice[0].lower()}{advice[1:-1]}"
    name_winner(workspace, files, not missing)
    write_rebuilding(workspace.folder, [place for place, _ in files.places], prepared.task, request.schedule)
    facts = {name: figures.facts(name) for name in ("original", "quantized", WINNER) if name in files.tflite}
    before, after = facts["original"], facts[WINNER]
    promise = promise_of_files(prepared, files, asked)
    if promise is None and confirmed is not None:
        promise = confirmed.claim.to_dict()
    ratio = turns.ratio("original", WINNER) if turns else None
    chosen = points[0]
    shown, names = figures.points(), figures.names()
    seconds = time.monotonic() - request.started
    overrun_s = max(0.0, seconds - 60 * request.minutes) if request.minutes else 0.0
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
        met=not missing,
        missed=missing,
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
        refused=tuple(asdict(one) for one in prepared.refused),
        # Which channels a trial keeps stands in ``trials.jsonl``.
        trials=tuple({k: v for k, v in trial.to_dict().items() if k != "keep"} for trial in trials),
        seconds=seconds,
        minutes=request.minutes,
        effort=dict(request.effort),
        overrun_minutes=overrun_s / 60,
        points=shown,
        layers=_layers(prepared, files, layers_measured),
        validation_rows=row_count(prepared.validation_rows[0]),
        limits=request.limits.asked(),
        promise=promise,
        confirmed=None if confirmed is None else confirmed.to_dict(),
        losses_on=losses.rows,
    )
    warnings = reader_warnings(result, request.goal, chosen, prepared)
    if confirmed is not None:
        warnings.insert(0, confirmed.sentence())
    if not request.family:
        warnings += recommendations(shown, names, losses, before.time_ms, asked)
    else:
        warnings += finish_family(prepared, workspace, files)
    if advice:
        warnings.insert(0, advice)
    warnings += overrun_warning(request.minutes, seconds)
    return replace(result, notes=(*notes, *warnings))


def overrun_warning(minutes: float | None, seconds: float) -> list[str]:
    """A sentence where a run took longer than its `minutes` by more than clocks and machines vary; else none."""
    if not minutes or seconds - 60 * minutes <= _WORTH_SAYING * 60 * minutes:
        return []
    return [
        f"It took {in_minutes(seconds - 60 * minutes)} longer than --minutes {minutes:g} allows, what comes before and after "
        f"training included: give --minutes {enough_minutes(seconds / 60)}, or stop what else runs here."
    ]


def _wants_time(goal: Goal) -> bool:
    """Whether a faster network was asked for."""
    return goal.budget_ms is not None or goal.objective == "time"


def _missed(
    prepared: Prepared, figures: _Figures, request: Request, confirmed: Confirmed | None = None
) -> str:
    """How the winner misses the goal, in words: as it was trained, or as the file that is handed over; else nothing."""
    goal, chosen = request.goal, figures.finalists[0]
    before, after = figures.facts("original"), figures.facts(WINNER)
    if not chosen.met:
        score = f"{after.mean_score:.1%} {prepared.task.score_name}"
        return missed(goal, chosen.trial, prepared.original, chosen.mean_score, score, request.steer)
    for name, value in (
        ("size", after.file_bytes), ("memory", after.peak_memory_bytes), ("energy", after.energy_mj),
    ):  # fmt: skip
        limit = goal.limits.get(name)
        if limit is not None and value is not None and value > limit:
            predicted = chosen.trial.costs.by_name[name] or value
            return (
                f"The file takes {in_words(name, value)}, above the limit of {in_words(name, limit)} "
                f"({in_words(name, predicted)} was predicted; a limit of {in_words(name, limit * predicted / value)} will do)"
            )
    kept = "" if confirmed is not None and confirmed.holds else _by_quantising(prepared, figures, goal)
    if kept:
        return kept
    steered = request.steer == "measured" and not figures.turns  # then what was measured in the search counts
    if not _wants_time(goal) or steered or after.time_ms < before.time_ms:
        return ""
    how = "measured" if figures.turns else "predicted"
    precision = figures.precision(WINNER)
    as_what = "" if precision in ("none", "float32") else f" as {precision}"
    return (
        f"The network that was found is no faster than the original:{as_what} it takes {in_words('time', after.time_ms)}, "
        f"the original {in_words('time', before.time_ms)} ({how})"
    )


def _scores(prepared: Prepared, files: Mapping[str, Path], rows: tuple[Any, Any]) -> dict[str, float]:
    """The score of every file; on the test rows this is the one look at them."""
    x, y = rows
    return {name: file_score(prepared.task, path, x, y) for name, path in files.items()}


def _measure(
    prepared: Prepared, files: PointFiles, request: Request, notes: list[str], progress: ProgressCallback
) -> tuple[Turns | None, _LayersMs]:
    """All networks in turns, then the layers of the two that are compared."""
    if not request.measure:
        return None, {}
    target, reason = target_of(prepared.time_model, request.target)
    if target is None:
        notes.append(reason)
        return None, {}
    shown = {name: files.run(name) for name in files.shown()}
    seconds = seconds_a_turn(len(shown), request.deadline - time.monotonic())
    try:
        turns = measure_in_turns(shown, target, seconds=seconds, progress=sub_progress(progress, 0.0, 0.9))
        progress(0.9, "measuring layers")
        layers = layers_ms({name: files.tflite[name] for name in (files.base, WINNER)}, target, 2 * seconds)
    except TargetError as error:
        notes.append(f"Nothing was measured: {error}")
        return None, {}
    finally:
        if not isinstance(request.target, Target):
            target.close()
    if turns.disturbed:
        notes.append("Other work slowed the device down while it measured: times may be too high.")
    return turns, layers


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
    losses: Losses | None = None

    def facts(self, name: str, point: int = 0) -> NetworkFacts:
        """Of one file; `point` is the one that it belongs to, if it belongs to one."""
        path, turns, prepared = self.files.tflite[name], self.turns, self.prepared
        finalist = self.finalists[point]
        network = read_network(path)
        prediction = prepared.time_model.predict(read_network(self.files.run(name)))
        judged = {WINNER: finalist.mean_score, "original": prepared.original.score}
        keras_file = self.files.keras.get(name)
        is_cut = name not in ("original", "quantized")
        return NetworkFacts(
            tflite=self._place(path),
            keras=None if keras_file is None else self._place(keras_file),
            quantize=self.precision(name),
            score=self.test[name],
            scores=tuple(self.test[key] for key in self.files.seeds(point)) if is_cut else (self.test[name],),
            validation_score=judged.get(name, self.validation[name]),
            predicted_ms=float(prediction.predicted_ms),
            low_ms=float(prediction.low_ms),
            high_ms=float(prediction.high_ms),
            measured_ms=turns.median_ms(name) if turns else None,
            measured_p90_ms=turns.median_p90_ms(name) if turns else None,
            parameters=parameters_of(prepared, finalist.trial if is_cut else prepared.original),
            macs=network.macs,
            file_bytes=path.stat().st_size,
            peak_memory_bytes=int(peak_memory_bytes(network) or 0),
            energy_mj=prediction.energy_mj,
        )

    def precision(self, name: str) -> str:
        """What a file is in, as ``--quantize`` calls it."""
        if name == "original":
            return "none"
        return self.files.precisions[WINNER if name == "quantized" else name]

    def names(self) -> list[str]:
        """The best file of every point, by its name in `PointFiles`, fastest first."""
        order = sorted(range(len(self.finalists)), key=lambda number: self._point(number).time_ms)
        return [self.files.seeds(number)[0] for number in order]

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
        shared: dict[str, Any] = {item.name: getattr(facts, item.name) for item in fields(FileCosts)}
        loss = None if self.losses is None else self.losses.by_name[seeds[0]]
        return FrontPoint(
            keras=self._place(keras_file),
            tflite=self._place(tflite),
            chosen=number == 0,
            changes=changes_in_words(self.prepared, self.finalists[number].trial),
            widths={row.layer: row.after for row in widths if row.group},
            precision=facts.quantize,
            bits=_bits(read_network(self.files.tflite[seeds[0]])),
            validation_score=float(np.mean([self.validation[seed] for seed in seeds])),
            score=facts.mean_score,
            seeds=len(seeds),
            size_bytes=facts.file_bytes,
            on_front=True,
            lost=None if loss is None else loss.mean,
            lost_low=None if loss is None else loss.low,
            lost_high=None if loss is None else loss.high,
            lost_at_most=None if loss is None else loss.at_most,
            steps=self.finalists[number].steps,
            epochs=self.finalists[number].epochs,
            seconds=self.finalists[number].seconds,
            **shared,
        )

    def _place(self, path: Path) -> str:
        return str(path.relative_to(self.folder))


_BITS = {"float32": 32, "float16": 16, "int16": 16}


def _bits(network: Network) -> dict[str, int]:
    """Bits of the arithmetic of each operator that multiplies, by the name of its output."""
    return {layer.name: _BITS.get(layer.dtype, 8) for layer in network.layers if layer.macs}


def _layers(prepared: Prepared, files: PointFiles, measured: _LayersMs) -> tuple[LayerChange, ...]:
    """What each layer gave back: the original in the same arithmetic against the compressed network."""
    before, after = (
        timed(prepared.time_model, read_network(files.tflite[name]), measured.get(name))
        for name in (files.base, WINNER)
    )
    return layer_changes(prepared.time_model, before, after, [name for name, _ in layers_of(prepared.model)])


def _by_quantising(prepared: Prepared, figures: _Figures, goal: Goal) -> str:
    """Where the quantised file no longer keeps the score that the network kept, in words."""
    least, chosen = goal.least_score, figures.finalists[0]
    precision = figures.precision(WINNER)
    if least is None or precision in ("none", "float32"):
        return ""
    score = float(np.mean([figures.validation[name] for name in figures.files.seeds(0)]))
    if score >= least:
        return ""
    lost = 100 * (chosen.mean_score - score)
    return (
        f"As {precision} the network loses another {lost:.2f} points on the validation rows, and so keeps the "
        "limit no more"
    )
