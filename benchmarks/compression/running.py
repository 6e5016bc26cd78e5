"""Running one cell: in a process of its own kind, which can be killed at any moment."""

from __future__ import annotations

import functools
import gc
import math
import os
import shutil
import threading
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.compression import versions
from benchmarks.compression.cells import ORIGINAL, QUANTIZED, SCRATCH, Cell, Store
from benchmarks.compression.originals import data_of, export_and_test, make_original, train_alone
from benchmarks.compression.schedules import DROP_POINTS, Plan
from benchmarks.compression.settings import SETTINGS, model_path
from benchmarks.compression.tasks import Split, get_task
from profiler.errors import BudgetError, EdgetimeError
from profiler.files import replacing, write_json
from profiler.tflite import read_network


@dataclass(frozen=True)
class Job:
    """A cell, and all that running it needs.

    Attributes
    ----------
    data, work
        The folder of tasks and the work folder.
    plan
        How long to train.
    """

    cell: Cell
    data: Path
    work: Path
    plan: Plan


def watch_parent() -> None:
    """End this process when the one that started it is gone, so that two never write to one folder."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def run(job: Job) -> dict[str, Any]:
    """Run a cell and keep what it came to; what cannot be done is kept as its error."""
    store = Store(job.work)
    store.folder(job.cell).mkdir(parents=True, exist_ok=True)
    began, used = time.monotonic(), time.process_time()
    seen = versions.remember(store.folder(job.cell))
    try:
        facts = _run(job, store)
    except EdgetimeError as error:
        facts = {"error": str(error)}
    except Exception as error:  # a method that crashes must not keep the other cells from running
        facts = {"error": f"{type(error).__name__}: {error}"[:300]}
        (store.folder(job.cell) / "error.txt").write_text(traceback.format_exc(), "utf-8")
    facts.setdefault("seconds", time.monotonic() - began)
    facts.setdefault("cpu_seconds", time.process_time() - used)
    facts |= {
        "task": job.cell.task,
        "setting": job.cell.setting,
        "seed": job.cell.seed,
        "cell": job.cell.name,
        "code": seen,
    }
    store.finish(job.cell, facts)
    _forget()
    return facts


def _run(job: Job, store: Store) -> dict[str, Any]:
    cell = job.cell
    if cell.name in (ORIGINAL, QUANTIZED):
        return _original(job, store)
    if cell.name == SCRATCH:
        return _scratch(job, store)
    return _search(job, store)


@functools.lru_cache(maxsize=1)
def _split(task: str, data: Path, work: Path, seed: int) -> Split:
    return get_task(task).split(data, work, seed)


def split_of(job: Job) -> Split:
    """The rows of the job's task and seed; the last ones are kept in memory."""
    return _split(job.cell.task, job.data, job.work, job.cell.seed)


@functools.lru_cache(maxsize=4)
def _time_model(path: Path) -> Any:
    from timemodel.model import TimeModel

    return TimeModel.load(path)


def predicted(job: Job, file: Path) -> dict[str, Any]:
    """What the setting's time model says of a file, and its size."""
    network = read_network(file)
    prediction = _time_model(model_path(job.work, job.cell.setting)).predict(network)
    return {
        "predicted_ms": float(prediction.predicted_ms),
        "low_ms": float(prediction.low_ms),
        "high_ms": float(prediction.high_ms),
        "coverage": float(prediction.coverage),
        "macs": network.macs,
        "file": str(file.relative_to(job.work)),
        "file_bytes": file.stat().st_size,
    }


def _original(job: Job, store: Store) -> dict[str, Any]:
    cell = job.cell
    task = get_task(cell.task)
    original = make_original(store.original(cell.task, cell.seed), task, split_of(job), job.plan, cell.seed)
    training = _read(original.folder / "training.json")
    mode = "none" if cell.name == ORIGINAL else "int8"
    facts = predicted(job, original.tflite(mode))
    return {
        **facts, "met": True, "validation": training.get("validation") if mode == "none" else None,
        "parameters": training.get("parameters"), "seconds": training.get("seconds", math.nan), "trials": 0,
    }  # fmt: skip


def _search(job: Job, store: Store) -> dict[str, Any]:
    """The cell as a user would make it: by `compress`, with the validation rows and never the test rows."""
    from compressor import compress
    from compressor.search import get_method

    cell, plan = job.cell, job.plan
    task, split, folder = get_task(cell.task), split_of(job), store.folder(cell)
    data = data_of(split, task)
    searcher = get_method(cell.method, **plan.arguments(cell.method))
    began, used = time.monotonic(), time.process_time()
    earlier = _read(folder / "spent.json")
    out = folder / "run"
    setting = SETTINGS[cell.setting]
    met = True
    try:
        result = compress(
            store.original(cell.task, cell.seed) / "net.keras", data,
            _time_model(model_path(job.work, cell.setting)), out, max_accuracy_drop=DROP_POINTS, method=searcher,
            quantize=setting.quantize, seed=cell.seed, seeds=1, points=1, minutes=plan.minutes,
            resume=(out / "run.json").exists(), measure=False, steer=cell.steer, options=plan.options(),
            target=setting.target if cell.steer == "measured" else None, progress=_Spent(folder / "spent.json", earlier, began),
        )  # fmt: skip
    except BudgetError:
        from compressor.pipeline.result import CompressionResult

        if not (out / "result.json").exists():
            raise
        result, met = CompressionResult.load(out), False
    seconds = time.monotonic() - began + float(earlier.get("seconds", 0.0))
    cpu_seconds = time.process_time() - used
    file = folder / f"{setting.quantize}.tflite"
    with replacing(file) as temporary:
        shutil.copyfile(out / result.after.tflite, temporary)
    file.with_suffix(".npz").unlink(missing_ok=True)
    export_and_test(out / str(result.after.keras), folder, setting.quantize, split.test, data, task)
    facts = predicted(job, file)
    _tidy(out)
    return {
        **facts, "met": met, "validation": result.after.validation_score, "parameters": result.after.parameters,
        "seconds": seconds, "cpu_seconds": cpu_seconds, "trials": len(result.trials),
        "widths": {width.layer: width.after for width in result.widths},
        "network": str((out / str(result.after.keras)).relative_to(job.work)),
    }  # fmt: skip


class _Spent:
    """Keeps how long a cell has taken so far, for those that are killed and gone on with, and what it did when."""

    def __init__(self, path: Path, earlier: dict[str, Any], began: float) -> None:
        self._path, self._before, self._began = path, float(earlier.get("seconds", 0.0)), began
        self._kept = began

    def __call__(self, done: float, note: str) -> None:
        now = time.monotonic()
        with self._path.with_name("progress.log").open("a", encoding="utf-8") as file:
            file.write(f"{now - self._began:7.1f} s  {done:5.1%}  {note}\n")
        if now - self._kept > 5.0:
            write_json(self._path, {"seconds": self._before + now - self._began})
            self._kept = now


def _tidy(out: Path) -> None:
    """Remove networks of candidates: hundreds of cells would fill a disk."""
    for name in ("candidates", "checkpoints", "seeds", "trained"):
        shutil.rmtree(out / name, ignore_errors=True)


def winner(store: Store, cell: Cell) -> Cell | None:
    """The cell whose widths are trained from scratch: of those that kept the accuracy on validation the fastest.

    By predicted time, so that the test rows have no say.
    """
    from benchmarks.compression.cells import ROWS

    found: list[tuple[float, Cell]] = []
    for name in ROWS:
        other = Cell(cell.task, cell.setting, cell.seed, name)
        facts = store.facts(other)
        if other.is_search and facts and facts.get("met") and not facts.get("error"):
            found.append((facts["predicted_ms"], other))
    return min(found, key=lambda pair: pair[0])[1] if found else None


def _scratch(job: Job, store: Store) -> dict[str, Any]:
    """The winner's widths with new weights, trained as long as the original was."""
    import keras

    from compressor.export import load_keras

    cell = job.cell
    best = winner(store, cell)
    if best is None:
        raise EdgetimeError(
            "No method has kept the accuracy yet, so there are no widths to train from scratch."
        )
    task, split, folder = get_task(cell.task), split_of(job), store.folder(cell)
    data = data_of(split, task)
    facts = store.facts(best)
    assert facts is not None
    cut = load_keras(job.work / facts["network"])
    keras.utils.set_random_seed(2000 + cell.seed)
    model = type(cut).from_config(cut.get_config())
    score, seconds = train_alone(
        model, data, job.plan.original, cell.seed, folder / "checkpoint.npz", job.plan.last_epoch
    )
    with replacing(folder / "net.keras") as temporary:
        model.save(temporary)
    (folder / "checkpoint.npz").unlink(missing_ok=True)
    mode = SETTINGS[cell.setting].quantize
    for stale in (folder / f"{mode}.tflite", folder / f"{mode}.npz"):
        stale.unlink(missing_ok=True)
    file, _ = export_and_test(folder / "net.keras", folder, mode, split.test, data, task)
    whole = _read(store.original(cell.task, cell.seed) / "training.json")
    met = score >= float(whole["validation"]) - DROP_POINTS / 100
    return {
        **predicted(job, file), "met": met, "validation": score, "parameters": int(model.count_params()),
        "seconds": seconds, "trials": 0, "widths": facts["widths"], "winner": best.name,
    }  # fmt: skip


def _read(path: Path) -> dict[str, Any]:
    import json

    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _forget() -> None:
    """Give back what TensorFlow keeps of networks that are gone."""
    import keras

    keras.backend.clear_session()
    gc.collect()
