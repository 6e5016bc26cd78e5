"""Compression for a simulated accelerator against compression by size and for the wrong device, at equal accuracy.

    python -m benchmarks.accelerators.compression WORK --energy-model M --time-model M --cpu-model M --data FOLDER

One network per task and seed is trained, and compressed by `edgetime.compress` to several budgets (what narrower networks cost):
of the energy on a design of ZigZag, of the time on an Ethos-U, of the time on a CPU (the wrong device), and of the file's size (by
DeepIoT, and by the same search that the others use). All get the same training. What comes out is judged as an int8 file:
accuracy on test rows that nothing has seen, time and energy by the simulators themselves. For each way accuracy is read as a
curve over cost, and what it takes to come within one to three points of the original is compared seed by seed.

Every network is kept in WORK as soon as it is made: the same command goes on where it was stopped, and --minutes 0 prints what
is there.
"""

from __future__ import annotations

import argparse
import gc
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.accelerators.words import TASKS
from benchmarks.compression.answers import answers_of
from benchmarks.compression.fronts import Reading, cost_at, ratio_of
from benchmarks.compression.originals import data_of, make_original
from benchmarks.compression.tasks import Task
from benchmarks.csv_files import write_csv
from compressor import compress
from compressor.export import to_tflite_bytes
from compressor.pipeline.result import CompressionResult
from compressor.search import get_method
from compressor.training import Options, Schedule
from profiler.devices import open_target
from profiler.errors import BudgetError, EdgetimeError
from profiler.files import write_bytes
from profiler.records import Records
from profiler.tflite import read_network
from timemodel.model import TimeModel

RESULTS = Path(__file__).resolve().parents[1] / "results"
ENERGY_TARGET, TIME_TARGET = "sim:edge_tpu_like", "sim:ethos-u55-128"
ORIGINAL = "original"
TRAINING = Schedule(epochs=30, batch_size=64, learning_rate=3e-3, patience=30, alpha=0.0)
"""Of an original; the last epoch's weights are kept."""
OPTIONS = Options(
    search=Schedule(epochs=2, batch_size=64, learning_rate=2e-3),
    final=Schedule(epochs=8, batch_size=64, learning_rate=2e-3, patience=8),
    finalists=1,
)
"""A budget leaves one candidate to a method, which is trained by `search` and then by `final`; DeepIoT trains more before."""
METHODS: dict[str, dict[str, int]] = {"deepiot": {"iterations": 10}, "fastdeepiot": {"iterations": 10}}
"""Constructor arguments of search methods."""


@dataclass(frozen=True)
class Way:
    """A way to compress: a method, which time model it is given, and what is limited."""

    method: str
    model: str
    limit: str


WAYS = {
    "energy": Way("knapsack", "energy", "max_energy_mj"),
    "deepiot": Way("deepiot", "energy", "max_size_kb"),
    "fastdeepiot": Way("fastdeepiot", "energy", "max_energy_mj"),
    "time": Way("knapsack", "time", "budget_ms"),
    "cpu": Way("knapsack", "cpu", "budget_ms"),
    "size": Way("knapsack", "energy", "max_size_kb"),
    "uniform": Way("uniform", "energy", "max_size_kb"),
}
"""In the order in which they are run: the first two tell most."""

WIDTHS = (0.5, 0.35, 0.25, 0.17)
"""Budgets: what the network costs with all widths times this, by what a way is given."""

COMPARED = (
    ("mj", "energy", ("deepiot", "fastdeepiot", "size", "cpu", "time", "uniform", ORIGINAL)),
    ("ms", "time", ("cpu", "deepiot", "size", "energy", "uniform", ORIGINAL)),
)
"""What is compared: the simulators' energy and time, which way is for it, and which are not."""

POINTS_LOST = (1.0, 2.0, 3.0)


class Bench:
    """What is in the work folder, and how more is made."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        # A file for each task, so that two processes can work on two tasks.
        self.records = {task: Records(options.work / f"{task}.jsonl") for task in options.tasks}
        self.rows: list[dict[str, Any]] = [row for records in self.records.values() for row in records.read()]
        paths = {"energy": options.energy_model, "time": options.time_model, "cpu": options.cpu_model}
        self.models = {name: TimeModel.load(path) for name, path in paths.items()}

    def run(self) -> None:
        """Make what is missing until time is up, one seed of every task before the next seed."""
        until = time.monotonic() + 60 * self.options.minutes
        done = {(row["task"], row["seed"], row["way"], row["width"]) for row in self.rows}
        cells = [(seed, task, way, width)
                 for seed in range(self.options.seeds) for task in self.options.tasks
                 for way in (ORIGINAL, *self.options.ways)
                 for width in (self.options.widths if way in WAYS else (1.0,))]  # fmt: skip
        left = [cell for cell in cells if (cell[1], cell[0], cell[2], cell[3]) not in done]
        with ExitStack() as stack:
            targets = {
                name: stack.enter_context(open_target(spec))
                for name, spec in (("energy", ENERGY_TARGET), ("time", TIME_TARGET))
            }
            for position, (seed, task, way, width) in enumerate(left):
                if time.monotonic() > until:
                    print(f"Time is up with {len(left) - position} networks to go; the same command goes on.")
                    return
                began = time.monotonic()
                row = {"task": task, "seed": seed, "way": way, "width": width}
                row |= self._made(TASKS[task], seed, way, width, targets)
                row["seconds"] = time.monotonic() - began
                self.records[task].append(row)
                self.rows.append(row)
                print(
                    " ".join(f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in row.items()),
                    flush=True,
                )

    def _made(
        self, task: Task, seed: int, way: str, width: float, targets: Mapping[str, Any]
    ) -> dict[str, Any]:
        """A network, made and judged."""
        import keras

        work = self.options.work
        split = task.split(self.options.data, work, seed)
        original = make_original(
            work / "originals" / f"{task.name}{seed}", task, split, TRAINING, seed, ("int8",), last=True
        )
        file, facts = original.tflite("int8"), {}
        if way in WAYS:
            out = work / "cells" / f"{task.name}{seed}" / f"{way}-{WAYS[way].method}-{width:g}"
            limit = self._budget(task, WAYS[way], width, split.validation.x)
            try:
                facts = self._compressed(original.keras, data_of(split, task), WAYS[way], limit, seed, out)
            except EdgetimeError as error:
                return {"error": str(error)}
            file = out / facts.pop("file")
        accuracy = answers_of(file, split.test, task.outputs).score
        keras.backend.clear_session()
        gc.collect()
        return {"accuracy": accuracy, "bytes": file.stat().st_size, **judged(file, targets), **facts}

    def _budget(self, task: Task, way: Way, width: float, rows: Any) -> float:
        """What the network costs with all widths times `width`, by what a way is given; weights do not matter."""
        file = self.options.work / "narrow" / f"{task.name}-{width:g}.tflite"
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(file, to_tflite_bytes(task.network(width), "int8", rows))
        known = self.models[way.model].predict(read_network(file))
        costs = {"max_energy_mj": known.energy_mj, "budget_ms": known.predicted_ms}
        return float(costs.get(way.limit) or file.stat().st_size / 1e3)

    def _compressed(
        self, network: Path, data: Any, way: Way, limit: float, seed: int, out: Path
    ) -> dict[str, Any]:
        """Compress to a budget, as a user would."""
        if not (out / "result.json").exists():
            shutil.rmtree(out, ignore_errors=True)
            with suppress(BudgetError):  # what is a few bytes over its budget is a network all the same
                compress(
                    network, data, self.models[way.model], out, **{way.limit: limit},
                    method=get_method(way.method, **METHODS.get(way.method, {})), quantize="int8", seed=seed, seeds=1,
                    points=1, measure=False, options=OPTIONS,
                )  # fmt: skip
        result = CompressionResult.load(out)
        for name in ("candidates", "checkpoints", "seeds", "trained"):
            shutil.rmtree(out / name, ignore_errors=True)
        widths = " ".join(str(width.after) for width in result.widths)
        return {"file": result.after.tflite, "validation": result.after.validation_score, "widths": widths}

    def readings(self, task: str, way: str, what: str, lost: float) -> list[Reading | None]:
        """For each seed what a way takes to come within `lost` points of the original."""
        found = []
        for seed in range(self.options.seeds):
            rows = [
                row for row in self.rows if (row["task"], row["seed"]) == (task, seed) and "error" not in row
            ]
            whole = next((row for row in rows if row["way"] == ORIGINAL), None)
            mine = [row for row in rows if row["way"] == way]
            if whole is None or not mine:
                found.append(None)
            elif way == ORIGINAL:
                found.append(Reading(whole[what]))
            else:
                points = [(row[what], row["accuracy"]) for row in (*mine, whole)]
                reading = cost_at(points, whole["accuracy"] - lost / 100)
                # One network and the original make no curve; that it reaches the accuracy itself is known all the same.
                found.append(reading if len(mine) > 1 or (reading and reading.most) else None)
        return found

    def report(self) -> list[dict[str, Any]]:
        """Print how the ways compare; the rows of the table."""
        rows = []
        for task in self.options.tasks:
            for what, one, others in COMPARED:
                for lost in POINTS_LOST:
                    ours = self.readings(task, one, what, lost)
                    for other in others:
                        theirs = self.readings(task, other, what, lost)
                        ratio = ratio_of(ours, theirs)
                        row = {"task": task, "what": what, "way": one, "other": other, "points_lost": lost}
                        if ratio:
                            row |= {
                                "ratio": ratio.ratio,
                                "low": ratio.low,
                                "high": ratio.high,
                                "seeds": ratio.seeds,
                            }
                            print(f"{task}: {what}, by {one} against {other}, {lost:g} points below the original: "
                                  f"{ratio.text()} ({ratio.seeds} seeds)")  # fmt: skip
                        rows.append(row)
        return rows


def judged(file: Path, targets: Mapping[str, Any]) -> dict[str, Any]:
    """What the simulators say of a file."""
    answers = {name: target.measure_network(file.read_bytes()) for name, target in targets.items()}
    for answer in answers.values():
        if "error" in answer:
            raise EdgetimeError(f"{file}: {answer['error']}")
    return {
        "mj": answers["energy"]["energy_mj"],
        "energy_target_ms": answers["energy"]["median_us"] / 1e3,
        "ms": answers["time"]["median_us"] / 1e3,
    }


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.accelerators.compression", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("work", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="folder of fsdd.zip")
    parser.add_argument("--energy-model", type=Path, required=True, help=f"time model of {ENERGY_TARGET}")
    parser.add_argument("--time-model", type=Path, required=True, help=f"time model of {TIME_TARGET}")
    parser.add_argument("--cpu-model", type=Path, required=True, help="time model of a CPU")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--widths", nargs="+", type=float, default=list(WIDTHS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=600.0, help="begin no network after so many")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the CSV files")
    return parser.parse_args(arguments)


def main() -> None:
    """Run, print, and write the results."""
    options = parse()
    options.work.mkdir(parents=True, exist_ok=True)
    bench = Bench(options)
    bench.run()
    write_csv(options.results / "accelerators_compression.csv", bench.rows)
    write_csv(options.results / "accelerators_compression_ratios.csv", bench.report())


if __name__ == "__main__":
    main()
