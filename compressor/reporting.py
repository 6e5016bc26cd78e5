"""From the chosen networks to the result: export, one look at the test rows, times in turns."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from compressor.export import export
from compressor.finals import Chosen
from compressor.methods.base import Trial
from compressor.preparation import Prepared
from compressor.result import CompressionResult, LayerWidth, NetworkFacts
from compressor.verification import Turns, file_score, measure_in_turns, target_of
from compressor.workspace import Workspace
from profiler.errors import TargetError
from profiler.progress import ProgressCallback
from profiler.target import Target
from profiler.tflite_reader import read_network

_WIDTH_KEYS = ("filters", "units")


def make_result(
    prepared: Prepared,
    workspace: Workspace,
    chosen: Chosen,
    trials: Sequence[Trial],
    method: str,
    budget_ms: float | None,
    max_accuracy_drop: float | None,
    seed: int,
    target: str | Target | None,
    measure: bool,
    started: float,
    progress: ProgressCallback,
) -> CompressionResult:
    """Export the original and every seed's network, run them all, and put the figures side by side."""
    progress(0.0, "exporting")
    notes = list(prepared.notes)
    files, keras_files = _export(prepared, workspace, chosen, notes)
    progress(0.4, "running on test rows")
    scores = _scores(prepared, files)
    turns = None
    if measure:
        timed = {name: path for name, path in files.items() if not name.startswith("seed") or name == "seed0"}
        turns = _measure(prepared, timed, target, notes, progress)
    facts = {
        name: _facts(prepared, workspace, name, files, keras_files, scores, chosen, turns)
        for name in ("original", "quantized", "seed0")
        if name in files
    }
    before, after = facts["original"], facts["seed0"]
    ratio = turns.ratio("original", "seed0") if turns else None
    setting = prepared.time_model.setting()
    result = CompressionResult(
        folder=str(workspace.folder),
        method=method,
        device=prepared.time_model.device,
        setting=str(getattr(setting, "key", "")),
        quantize=prepared.quantize,
        seed=seed,
        seeds=len(chosen.networks),
        budget_ms=budget_ms,
        max_accuracy_drop=max_accuracy_drop,
        met=chosen.met,
        score_name=prepared.task.score_name,
        test_rows=len(_test_rows(prepared)[0]),
        before=before,
        quantized=facts.get("quantized"),
        after=after,
        speedup_measured=ratio[0] if ratio else None,
        speedup_low=ratio[1] if ratio else None,
        speedup_high=ratio[2] if ratio else None,
        widths=layer_widths(prepared, chosen.trial),
        frozen=tuple({"layer": f.layer, "reason": f.reason} for f in prepared.graph.frozen),
        trials=tuple(trial.to_dict() for trial in trials),
        seconds=time.monotonic() - started,
        notes=(),
    )
    return replace(result, notes=(*notes, *_remarks(result)))


def layer_widths(prepared: Prepared, trial: Trial) -> tuple[LayerWidth, ...]:
    """The width of every layer that has one of its own, before and after."""
    graph = prepared.graph
    rows = []
    for count in graph.counts:
        if count.key in _WIDTH_KEYS:
            form = graph.form(count.atoms)
            group = form.times[0][0] if form.times else ""
            rows.append(LayerWidth(count.layer, group, form(graph.widths), form(trial.widths)))
    return tuple(rows)


def _export(
    prepared: Prepared, workspace: Workspace, chosen: Chosen, notes: list[str]
) -> tuple[dict[str, Path], dict[str, Path]]:
    """Write every `.tflite`: the original, the quantised original, one per seed (``seed0`` is the best)."""
    from compressor.export_load import load_keras

    data, quantize = prepared.task.data, prepared.quantize
    held = data if prepared.task.is_classification or data.metric is not None else data.x[:200]
    files = {"original": workspace.path("original.tflite")}
    keras_files: dict[str, Path] = {}
    options: dict[str, Any] = {"check_data": held, "allow_drop": True}
    export(prepared.model, files["original"], **options)
    if quantize != "none":
        files["quantized"] = workspace.path(f"original_{quantize}.tflite")
        found = export(prepared.model, files["quantized"], quantize, prepared.calibration, **options)
        notes += [f"The original as {quantize}: {note}" for note in found.notes]
    for rank, path in enumerate(chosen.networks):
        name = f"seed{rank}"
        files[name] = workspace.path("compressed.tflite") if rank == 0 else path.with_suffix(".tflite")
        keras_files[name] = workspace.path("compressed.keras") if rank == 0 else path
        calibration = prepared.calibration if quantize != "none" else None
        found = export(load_keras(path), files[name], quantize, calibration, **options)
        if rank == 0:
            shutil.copyfile(path, keras_files[name])
            notes += list(found.notes)
    with contextlib.suppress(OSError):
        workspace.path("best_so_far.keras").unlink()
    return files, keras_files


def _test_rows(prepared: Prepared) -> tuple[Any, Any]:
    data = prepared.task.data
    assert data.x_test is not None
    assert data.y_test is not None
    return data.x_test, data.y_test


def _scores(prepared: Prepared, files: dict[str, Path]) -> dict[str, float]:
    """The one look at the test rows."""
    x, y = _test_rows(prepared)
    return {name: file_score(prepared.task, path, x, y) for name, path in files.items()}


def _measure(
    prepared: Prepared,
    files: dict[str, Path],
    named: str | Target | None,
    notes: list[str],
    progress: ProgressCallback,
) -> Turns | None:
    target, reason = target_of(prepared.time_model, named)
    if target is None:
        notes.append(reason)
        return None
    try:
        turns = measure_in_turns(files, target, progress=lambda done, note: progress(0.5 + 0.5 * done, note))
    except TargetError as error:
        notes.append(f"Nothing was measured: {error}")
        return None
    finally:
        if not isinstance(named, Target):
            target.close()
    if turns.disturbed:
        notes.append("Other work slowed the device down while it measured: times may be too high.")
    return turns


def _facts(
    prepared: Prepared,
    workspace: Workspace,
    name: str,
    files: dict[str, Path],
    keras_files: dict[str, Path],
    scores: dict[str, float],
    chosen: Chosen,
    turns: Turns | None,
) -> NetworkFacts:
    path = files[name]
    network = read_network(path)
    prediction = prepared.time_model.predict(network)
    cut = name.startswith("seed")
    widths = chosen.trial.widths if cut else prepared.graph.widths
    return NetworkFacts(
        tflite=str(path.relative_to(workspace.folder)),
        keras=str(keras_files[name].relative_to(workspace.folder)) if name in keras_files else None,
        quantize=prepared.quantize if name != "original" else "none",
        score=scores[name],
        scores=tuple(scores[key] for key in scores if key.startswith("seed")) if cut else (scores[name],),
        validation_score=(
            chosen.mean_score if cut else prepared.original.score if name == "original" else None
        ),
        predicted_ms=float(prediction.predicted_ms),
        low_ms=float(prediction.low_ms),
        high_ms=float(prediction.high_ms),
        measured_ms=turns.median_ms(name) if turns else None,
        measured_p90_ms=turns.median_p90_ms(name) if turns else None,
        parameters=prepared.graph.parameters(widths),
        macs=network.macs,
        file_bytes=path.stat().st_size,
    )


def _remarks(result: CompressionResult) -> list[str]:
    """What a reader of the figures should notice."""
    remarks = []
    drop = result.max_accuracy_drop
    if drop is not None and result.drop_points > drop:
        remarks.append(
            f"On the test rows {result.drop_points:.2f} points were lost, more than the {drop:g} that were allowed "
            "on validation rows."
        )
    measured = result.after.measured_ms
    if result.budget_ms is not None and measured is not None and measured > result.budget_ms:
        remarks.append(f"It was measured at {measured:.4g} ms, above the budget of {result.budget_ms:g} ms.")
    if result.speedup_measured is not None and result.speedup_measured < 1:
        remarks.append("It was measured to be slower than the original.")
    return remarks
