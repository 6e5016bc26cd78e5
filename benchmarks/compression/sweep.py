"""Whether an original is bloated: its network at other widths, trained alike."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.compression.originals import make_original
from benchmarks.compression.running import Job, split_of
from benchmarks.compression.settings import model_path
from benchmarks.compression.tasks import get_task
from profiler.files import write_json

WIDTHS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
SLOW_TASKS = {"image": (0.25, 0.5, 1.0, 2.0), "image-mobile": (0.5, 1.0, 2.0)}
"""Tasks whose wide networks would take hours in all."""


def _folder(work: Path, task: str, width: float) -> Path:
    return work / "originals" / task / ("seed0" if width == 1 else f"width{width:g}")


def widths(task: str) -> Sequence[float]:
    """Widths that are trained."""
    return SLOW_TASKS.get(task, WIDTHS)


def todo(work: Path, task: str) -> list[float]:
    """Those that were not yet."""
    return [width for width in widths(task) if not (_folder(work, task, width) / "sweep.json").exists()]


def run(job: Job, width: float) -> dict[str, Any]:
    """Train one width with the first seed; what it reached on validation rows and its predicted time."""
    from compressor.export import load_keras, to_tflite_bytes
    from profiler.tflite import read_network
    from timemodel.model import TimeModel

    task, folder = get_task(job.cell.task), _folder(job.work, job.cell.task, width)
    modes = ("none", "int8") if width == 1 else ()
    original = make_original(folder, task, split_of(job), job.plan, 0, width, modes)
    network = read_network(to_tflite_bytes(load_keras(original.keras)), name=task.name)
    model = TimeModel.load(model_path(job.work, job.cell.setting))
    facts = json.loads((folder / "training.json").read_text("utf-8"))
    facts |= {
        "width": width,
        "macs": network.macs,
        "predicted_ms": float(model.predict(network).predicted_ms),
    }
    write_json(folder / "sweep.json", facts)
    return dict(facts)


def records(work: Path, tasks: Sequence[str]) -> list[dict[str, Any]]:
    """One record for each width of each task."""
    found = []
    for task in tasks:
        for width in widths(task):
            path = _folder(work, task, width) / "sweep.json"
            facts = json.loads(path.read_text("utf-8")) if path.exists() else {}
            found.append({"task": task, "width": width, "state": "trained" if facts else "not run", **facts})
    return found


def lines(work: Path, task: str) -> list[str]:
    """The sweep of a task as a table."""
    found = [f"{task:16s}{'width':>7s}{'accuracy':>10s}{'parameters':>12s}{'MMACs':>8s}{'predicted':>12s}"]
    for record in records(work, [task]):
        start = f"{'':16s}{'x' + format(record['width'], 'g'):>7s}"
        if record["state"] == "not run":
            found.append(f"{start}{'not run':>10s}")
        else:
            found.append(
                f"{start}{record['validation']:>10.2%}{record['parameters']:>12,}{record['macs'] / 1e6:>8.2f}"
                f"{record['predicted_ms']:>9.4f} ms"
            )
    return found
