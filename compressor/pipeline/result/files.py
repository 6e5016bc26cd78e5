"""Writing the networks of a result: the original, the winner, and the other points of the front."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from compressor.data import take
from compressor.export import export, load_keras
from compressor.pipeline.final import Finalist
from compressor.pipeline.prepare import Prepared, Workspace
from profiler import files
from profiler.progress import ProgressCallback
from timemodel.model import NetworkPredictor

WINNER = "point0.seed0"

REACHED, MISSED = "compressed", "closest"
"""What the winner's files are called: no file bears the name of a result that is none."""

_FOLDER = "points"


@dataclass
class PointFiles:
    """What was written: ``original``, ``quantized``, and the seeds of every point as ``point0.seed0``, by name.

    The first point is the winner, and ``seed0`` the best of a point's seeds. The originals have no ``.keras``. `places` are
    the files in ``points/`` of each point; the fastest by prediction is 01. `integers_only` is whether the device runs no floats,
    `precisions` what each point's files are in, `said` what the export of each had to say.
    """

    tflite: dict[str, Path] = field(default_factory=dict)
    keras: dict[str, Path] = field(default_factory=dict)
    places: list[tuple[Path, Path]] = field(default_factory=list)
    integers_only: bool = False
    precisions: dict[str, str] = field(default_factory=dict)
    said: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def lead(self, place: int) -> PointFiles:
        """The same with another point as the first: the winner."""

        def exchanged(by_name: dict[str, Any]) -> dict[str, Any]:
            other = {"point0": f"point{place}", f"point{place}": "point0"}
            parts = ((name.partition("."), value) for name, value in by_name.items())
            return {other.get(first, first) + dot + rest: value for (first, dot, rest), value in parts}

        places = list(self.places)
        places[0], places[place] = places[place], places[0]
        by_names = (exchanged(one) for one in (self.tflite, self.keras, self.precisions, self.said))
        tflite, keras, precisions, said = by_names
        return PointFiles(tflite, keras, places, self.integers_only, precisions, said)

    def run(self, name: str) -> Path:
        """The file that tells what a network takes: on a device of integers only the original's in integers."""
        return self.tflite["quantized" if name == "original" and self.integers_only else name]

    @property
    def base(self) -> str:
        """The file that layers are compared with: the original in the same arithmetic."""
        return "quantized" if "quantized" in self.tflite else "original"

    def seeds(self, point: int) -> list[str]:
        """Names of one point's files, the best first."""
        return [name for name in self.tflite if name.startswith(f"point{point}.")]

    def shown(self) -> list[str]:
        """Names of the files that stand for a network: not the further seeds."""
        return [name for name in self.tflite if "." not in name or name.endswith(".seed0")]


def _runs_floats(time_model: NetworkPredictor) -> bool:
    """Whether the device runs float32 networks; only those of simulated accelerators say no."""
    runs = getattr(time_model.setting(), "runs", None)
    return runs is None or bool(runs("float32"))


def write_files(
    prepared: Prepared,
    workspace: Workspace,
    points: Sequence[Finalist],
    progress: ProgressCallback,
) -> PointFiles:
    """Export the original and every seed of every point, the first first."""
    made = PointFiles({"original": workspace.path("original.tflite")}, {}, _places(workspace, points))
    progress(0.0, "exporting")
    export(prepared.model, made.tflite["original"], **_options(prepared))
    total, done = sum(len(point.networks) for point in points), 0
    for number, point in enumerate(points):
        for rank, path in enumerate(point.networks):
            progress(done / total, f"exporting network {done + 1} of {total}")
            name = f"point{number}.seed{rank}"
            keras_file, tflite = (path, path.with_suffix(".tflite")) if rank else made.places[number]
            if not rank:
                _copy(path, keras_file)
            precision = prepared.precision_of(point.trial.configuration)
            found = _export(prepared, load_keras(path), tflite, precision)
            made.precisions[name] = precision
            made.keras[name], made.tflite[name] = keras_file, tflite
            done += 1
            made.said[name] = tuple(found.notes)
    _tidy(workspace, made)
    return made


def write_quantised(
    prepared: Prepared, workspace: Workspace, made: PointFiles, winner: Finalist, notes: list[str]
) -> None:
    """Export the original in the precision of the winner, where that is not float32; that of another one goes."""
    quantize = prepared.precision_of(winner.trial.configuration)
    for other in () if prepared.precisions is None else prepared.precisions.by_name:
        if other != quantize:
            workspace.path(f"original_{other}.tflite").unlink(missing_ok=True)
    if quantize in ("none", "float32"):
        return
    place, rest = workspace.path(f"original_{quantize}.tflite"), dict(made.tflite)
    made.tflite = {"original": rest.pop("original"), "quantized": place, **rest}
    found = _export(prepared, prepared.model, place, quantize)
    notes += [f"The original as {quantize}: {note}" for note in found.notes]
    if not _runs_floats(prepared.time_model):
        made.integers_only = True
        notes.append(
            f"{prepared.time_model.device} runs no float32 network: times of the original are those of its {quantize} file."
        )


def _options(prepared: Prepared) -> dict[str, Any]:
    data = prepared.task.data
    held = data if prepared.task.is_classification or data.metric is not None else take(data.x, slice(200))
    return {"check_data": held, "allow_drop": True}


def _export(prepared: Prepared, model: Any, place: Path, precision: str) -> Any:
    if prepared.precisions is not None:
        return prepared.precisions.export(model, place, precision, **_options(prepared))
    calibration = prepared.calibration if precision != "none" else None
    return export(model, place, precision, calibration, **_options(prepared))


def name_winner(workspace: Workspace, made: PointFiles, met: bool) -> None:
    """Give the winner's files their names in the folder, by whether the goal was reached; those of an earlier run go."""
    name, other = (REACHED, MISSED) if met else (MISSED, REACHED)
    for files_of, suffix in ((made.keras, ".keras"), (made.tflite, ".tflite")):
        workspace.path(other + suffix).unlink(missing_ok=True)
        place = workspace.path(name + suffix)
        _copy(files_of[WINNER], place)
        files_of[WINNER] = place


def _places(workspace: Workspace, points: Sequence[Finalist]) -> list[tuple[Path, Path]]:
    order = sorted(range(len(points)), key=lambda i: points[i].trial.predicted_ms)
    names = [f"{order.index(number) + 1:02d}" for number in range(len(points))]
    return [
        (workspace.path(_FOLDER, f"{name}.keras"), workspace.path(_FOLDER, f"{name}.tflite"))
        for name in names
    ]


def _copy(source: Path, target: Path) -> None:
    with files.replacing(target) as temporary:
        shutil.copyfile(source, temporary)


def _tidy(workspace: Workspace, made: PointFiles) -> None:
    """Remove what earlier runs left that this one has not: points beyond the last, the best so far."""
    kept = {path for place in made.places for path in (*place, place[0].with_suffix(".json"))}
    old = [path for path in workspace.path(_FOLDER).glob("[0-9]*.*") if path not in kept]
    for path in [*old, workspace.path("best_so_far.keras")]:
        with contextlib.suppress(OSError):
            path.unlink()
