"""Running one cell: in a process of its own, which can be killed at any moment."""

from __future__ import annotations

import functools
import gc
import json
import os
import shutil
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from benchmarks.compression.cells import ORIGINAL, QUANTIZE, SCRATCH, WAYS, Cell, Store, code_mark
from benchmarks.compression.originals import data_of, export_and_test, make_original, tuner_of
from benchmarks.compression.sizes import UNCUT, Plan
from benchmarks.compression.tasks import Split, get_task
from compressor.data import Data
from profiler.errors import BudgetError, EdgetimeError
from profiler.files import replacing
from profiler.tflite import read_network

LONG_MINUTES = 30.0
"""Cells of so many minutes go on where they were killed, and their minutes and steps are those since then; others begin anew."""
LEFT_SHARE = 0.88
"""Of the minutes for a network from scratch: what is left is for exporting and testing it, as `compress` leaves it."""


@dataclass(frozen=True)
class Job:
    """A cell, and all that running it needs.

    Attributes
    ----------
    data, work
        The folder of tasks and the work folder.
    model
        The time model's file.
    plan
        How long to train.
    """

    cell: Cell
    data: Path
    work: Path
    model: Path
    plan: Plan


def begin() -> None:
    """Prepare a process for cells: its clock is its own processor time.

    So the minutes of a method are minutes of work, whatever else the machine does meanwhile, and methods that were run at a calm
    hour are not favoured. The process ends when the one that started it is gone, so that two never write to one folder.
    """
    time.monotonic = time.process_time
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def run(job: Job) -> dict[str, Any]:
    """Run a cell and keep what it came to; what cannot be done is kept as its error."""
    store = Store(job.work)
    store.folder(job.cell).mkdir(parents=True, exist_ok=True)
    began, at = time.monotonic(), time.perf_counter()
    try:
        facts = _run(job, store)
    except EdgetimeError as error:
        facts = {"error": str(error)}
    except Exception as error:  # a method that crashes must not keep the other cells from running
        facts = {"error": f"{type(error).__name__}: {error}"[:300]}
        (store.folder(job.cell) / "error.txt").write_text(traceback.format_exc(), "utf-8")
    facts |= {
        "cell": str(job.cell),
        "seconds": time.monotonic() - began,
        "wall_s": time.perf_counter() - at,
        "code": code_mark(),
    }
    store.finish(job.cell, facts)
    _forget()
    return facts


def _run(job: Job, store: Store) -> dict[str, Any]:
    return {ORIGINAL: _original, SCRATCH: _scratch, UNCUT: _uncut}.get(job.cell.name, _search)(job, store)


@functools.lru_cache(maxsize=1)
def _split(task: str, data: Path, work: Path, seed: int) -> Split:
    return get_task(task).split(data, work, seed)


def split_of(job: Job) -> Split:
    """The rows of the job's task and seed; the last ones are kept in memory."""
    return _split(job.cell.task, job.data, job.work, job.cell.seed)


@functools.lru_cache(maxsize=1)
def _time_model(path: Path) -> Any:
    from timemodel.model import TimeModel

    return TimeModel.load(path)


def predicted(job: Job, file: Path) -> dict[str, Any]:
    """What the time model says of a file, and its size."""
    network = read_network(file)
    return {
        "predicted_ms": float(_time_model(job.model).predict(network).predicted_ms),
        "macs": network.macs,
        "file": str(file.relative_to(job.work)),
        "file_bytes": file.stat().st_size,
    }


class Steps:
    """Counts steps of training, whoever trains: every batch is augmented once."""

    def __init__(self, augment: Callable[[NDArray[Any]], NDArray[Any]]) -> None:
        self._augment = augment
        self.steps = self.rows = 0

    def __call__(self, x: NDArray[Any]) -> NDArray[Any]:
        """Count a batch and augment it."""
        self.steps += 1
        self.rows += len(x)
        return self._augment(x)


def _counted(job: Job) -> tuple[Data, Steps]:
    task = get_task(job.cell.task)
    steps = Steps(task.augment)
    return replace(data_of(split_of(job), task), augment=steps), steps


def _original(job: Job, store: Store) -> dict[str, Any]:
    cell, plan = job.cell, job.plan
    mode = QUANTIZE[cell.setting]
    original = make_original(
        store.original(cell.task, cell.seed), get_task(cell.task), split_of(job), plan.original, cell.seed, (mode,),
        plan.last_epoch,
    )  # fmt: skip
    training = json.loads((original.folder / "training.json").read_text("utf-8"))
    return {**predicted(job, original.tflite(mode)), "validation": training["validation"]}


def _search(job: Job, store: Store) -> dict[str, Any]:
    """The cell as a user would make it: by `compress`, with the validation rows and never the test rows."""
    from compressor import compress
    from compressor.pipeline.result import CompressionResult

    cell, folder, way = job.cell, store.folder(job.cell), WAYS[job.cell.name]
    whole = store.facts(replace(cell, name=ORIGINAL, share=1.0))
    assert whole is not None
    data, steps = _counted(job)
    out, mode = folder / "run", QUANTIZE[cell.setting]
    resumed = job.plan.minutes >= LONG_MINUTES and (out / "run.json").exists()
    if not resumed:
        shutil.rmtree(out, ignore_errors=True)
    try:
        result = compress(
            store.original(cell.task, cell.seed) / "net.keras", data, _time_model(job.model), out,
            budget_ms=cell.share * whole["predicted_ms"], steer=way.steer, importance=way.importance,
            method=way.method if isinstance(way.method, str) else way.method(),
            quantize=mode, seed=cell.seed, seeds=1, points=1, minutes=job.plan.minutes, measure=False, resume=resumed,
            progress=_Log(folder / "progress.log", steps),
        )  # fmt: skip
    except BudgetError:
        if not (out / "result.json").exists():
            raise
        result = CompressionResult.load(out)
    file = folder / f"{mode}.tflite"
    with replacing(file) as temporary:
        shutil.copyfile(out / result.after.tflite, temporary)
    file.with_suffix(".npz").unlink(missing_ok=True)
    task = get_task(cell.task)
    export_and_test(out / str(result.after.keras), folder, mode, split_of(job).test, data, task)
    for name in ("candidates", "checkpoints", "seeds", "trained"):
        shutil.rmtree(out / name, ignore_errors=True)
    return {
        **predicted(job, file), "validation": result.after.validation_score, "compress_s": result.seconds,
        "steps": steps.steps, "rows": steps.rows, "trials": len(result.trials), "missed": result.missed,
        "resumed": resumed,
        "search_s": result.effort.get("phases", {}).get("searching", {}).get("seconds"),
        "changes": next((point.changes for point in result.points if point.chosen), ""),
        "network": str((out / str(result.after.keras)).relative_to(job.work)),
    }  # fmt: skip


class _Log:
    """Keeps what a cell did when, with the steps that were trained so far."""

    def __init__(self, path: Path, steps: Steps) -> None:
        self._path, self._steps, self._began = path, steps, time.monotonic()
        path.unlink(missing_ok=True)

    def __call__(self, done: float, note: str) -> None:
        seconds = time.monotonic() - self._began
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"{seconds:7.1f} s  {self._steps.steps:6d} steps  {done:5.1%}  {note}\n")


def _scratch(job: Job, store: Store) -> dict[str, Any]:
    """The network that ``structure`` found, with new weights: no search, so that all of the time is training.

    It is taught by the original as all others are.
    """
    import keras

    from compressor.export import load_keras

    cell = job.cell
    found = store.facts(replace(cell, name="structure"))
    if not found or found.get("error"):
        raise EdgetimeError(
            "There is no network of row 'structure' yet whose like could be trained from scratch."
        )

    def anew() -> Any:
        cut = load_keras(job.work / found["network"])
        keras.utils.set_random_seed(2000 + cell.seed)
        return type(cut).from_config(cut.get_config())

    return {**_trained(job, store, anew, taught=True), "changes": found["changes"]}


def _uncut(job: Job, store: Store) -> dict[str, Any]:
    """The original, trained on; nothing teaches it, since nothing knows more."""
    from compressor.export import load_keras

    file = store.original(job.cell.task, job.cell.seed) / "net.keras"
    return _trained(job, store, lambda: load_keras(file), taught=False)


def _trained(job: Job, store: Store, make: Callable[[], Any], taught: bool) -> dict[str, Any]:
    """Train a network as finalists are trained, and test it; making it is in the minutes, too."""
    from compressor.export import load_keras
    from compressor.training import Options

    began = time.monotonic()
    cell, folder = job.cell, store.folder(job.cell)
    data, steps = _counted(job)
    model = make()
    teacher = load_keras(store.original(cell.task, cell.seed) / "net.keras") if taught else None
    left_s = LEFT_SHARE * 60 * job.plan.minutes - (time.monotonic() - began)
    outcome = tuner_of(data, teacher).fit(model, Options().final, cell.seed, seconds=left_s)
    seconds = time.monotonic() - began
    with replacing(folder / "net.keras") as temporary:
        model.save(temporary)
    mode = QUANTIZE[cell.setting]
    for stale in (folder / f"{mode}.tflite", folder / f"{mode}.npz"):
        stale.unlink(missing_ok=True)
    file, _ = export_and_test(
        folder / "net.keras", folder, mode, split_of(job).test, data, get_task(cell.task)
    )
    return {
        **predicted(job, file), "validation": outcome.score, "compress_s": seconds, "steps": steps.steps,
        "rows": steps.rows, "trials": 1,
    }  # fmt: skip


def _forget() -> None:
    """Give back what TensorFlow keeps of networks that are gone, where it was imported."""
    if "keras" in sys.modules:
        sys.modules["keras"].backend.clear_session()
    gc.collect()
