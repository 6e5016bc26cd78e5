"""Compression on real tasks: what each method reaches in equal time, at equal accuracy, by measured time.

    python -m benchmarks.compression --work DIR --time-model MODEL.json --data FOLDER [--size quick|full|resnet56]

Trains one network per task and seed; compresses it by every method to parts of its predicted time through
`edgetime.compress`, each method with the same minutes of one core for search and training together; runs the exported files
on test rows that nothing has seen; measures them in turns with the original; prints the tables and writes them as CSV.

One cell (task, number type, seed, method, budget) is made at a time (--jobs: at once) and kept in DIR as soon as it is made:
the same command goes on where it was stopped or killed. Cells that were not run print "not run". --only-report prints the tables
from what is there. No cell is begun after --minutes.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.compression import report, table
from benchmarks.compression.cells import ORIGINAL, SCRATCH, Cell, Store, all_cells
from benchmarks.compression.measuring import Turns
from benchmarks.compression.running import Job, begin, run
from benchmarks.compression.sizes import ROWS, SIZES
from benchmarks.csv_files import write_csv
from profiler.devices import open_target
from profiler.errors import DataError, EdgetimeError, UsageError
from profiler.files import write_json

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "tasks"
CELLS_A_PROCESS = 12
"""After so many cells a new process is begun: TensorFlow gives little of its memory back."""
OVERHEAD_S = 5.0
"""Of a cell, beside the minutes that it is given: exporting and testing."""


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.compression", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--work", type=Path, required=True, help="folder for everything that is made")
    parser.add_argument("--time-model", type=Path, required=True, help="time model of this machine")
    parser.add_argument(
        "--data", type=Path, default=DATA, help="folder of cifar10.zip, fsdd.zip, motion.npz, multi30k"
    )
    parser.add_argument("--results", type=Path, help="folder for the CSV files; default: the work folder")
    parser.add_argument("--size", choices=tuple(SIZES), default="quick")
    parser.add_argument("--tasks", nargs="+", help="of the size; default: all")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--only", nargs="+", default=[], metavar="PART",
                        help="cells to run and measure, such as motion, sound/int8 or image-mobile/0/fastdeepiot")  # fmt: skip
    parser.add_argument("--minutes", type=float, default=480.0, help="begin no cell after so many")
    parser.add_argument("--jobs", type=int, default=1, help="cells at once, on a thread each")
    parser.add_argument("--rounds", type=int, default=6, help="rounds of measuring")
    parser.add_argument("--seconds", type=float, default=0.3, help="of one file in one round")
    parser.add_argument("--no-measure", action="store_true", help="leave measuring to another call")
    parser.add_argument("--only-measure", action="store_true", help="measure what is there")
    parser.add_argument("--only-report", action="store_true", help="print the tables from what is there")
    options = parser.parse_args(arguments)
    options.tasks = options.tasks or list(SIZES[options.size].plans)
    unknown = [name for name in options.tasks if name not in SIZES[options.size].plans]
    if unknown:
        parser.error(
            f"--size {options.size} has no task {unknown[0]}: it has {', '.join(SIZES[options.size].plans)}"
        )
    return options


def say(line: str = "") -> None:
    """Print at once."""
    print(line, flush=True)


class Benchmark:
    """One call: what is in the work folder, and what is still to do."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.size = SIZES[options.size]
        self.store = Store(options.work)
        self.turns = Turns(options.work / "turns.jsonl")
        self.until = time.monotonic() + 60 * options.minutes
        self.cells = all_cells(self.size, options.tasks, options.rows)

    def check(self) -> None:
        """Refuse to go on with what was begun under another size: the cells would not compare.

        Raises
        ------
        UsageError
            That is so.
        DataError
            The data is not there.
        """
        options = self.options
        for path, name in ((options.data, "--data"), (options.time_model, "--time-model")):
            if not path.exists():
                raise DataError(f"{path} does not exist: name it with {name}; nothing was run.")
        path = options.work / "size.json"
        now = {name: repr(self.size.plans[name]) for name in options.tasks}
        earlier = json.loads(path.read_text("utf-8")) if path.exists() else {}
        for task, plan in now.items():
            if earlier.get(task, plan) != plan:
                raise UsageError(
                    f"{options.work} was begun with another plan for {task}: name another --work."
                )
        options.work.mkdir(parents=True, exist_ok=True)
        write_json(path, {**earlier, **now})

    def todo(self) -> list[Cell]:
        """Cells that are wanted and not done, in order; originals of wanted cells are wanted, too."""
        wanted = [cell for cell in self.cells if cell.name != ORIGINAL and cell.matches(self.options.only)]
        places = {(cell.task, cell.setting, cell.seed) for cell in wanted}
        return [
            cell
            for cell in self.cells
            if not self.store.done(cell)
            and (cell in wanted or (cell.name == ORIGINAL and (cell.task, cell.setting, cell.seed) in places))
        ]  # fmt: skip

    def run(self) -> None:
        """Run what is still to do, until time is up."""
        todo = self.todo()
        say(f"{len(todo)} cells to do, about {self.left(todo)}")
        waiting, running = list(todo), dict[Future[dict[str, Any]], Cell]()
        with Pools(self.options.jobs) as pools:
            while waiting or running:
                if waiting and time.monotonic() >= self.until:
                    say(f"Time is up with {len(waiting)} cells to go; the same command goes on.")
                    waiting = []
                while waiting and len(running) < self.options.jobs:
                    cell = next((c for c in waiting if self.is_ready(c, running.values())), None)
                    if cell is None:
                        break
                    waiting.remove(cell)
                    running[pools.submit(run, self.job(cell))] = cell
                if not running:
                    if waiting:
                        say(
                            f"{len(waiting)} cells wait for an original that failed; the same command tries again."
                        )
                    break
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    cell = running.pop(future)
                    say(
                        f"[{len(waiting)} to go, about {self.left(waiting)}] {cell}: {outcome(result(future))}"
                    )

    def is_ready(self, cell: Cell, running: Sequence[Cell] | Any) -> bool:
        """Whether what a cell builds on is there, and not just being made."""
        same = [c for c in running if (c.task, c.seed) == (cell.task, cell.seed)]
        if cell.name == ORIGINAL:
            return not same
        blocking = ("structure", ORIGINAL) if cell.name == SCRATCH else (ORIGINAL,)
        original = replace(cell, name=ORIGINAL, share=1.0)
        return self.store.done(original) and not any(c.name in blocking for c in same)

    def job(self, cell: Cell) -> Job:
        """A cell with what running it needs."""
        options = self.options
        return Job(cell, options.data.resolve(), options.work.resolve(), options.time_model.resolve(),
                   self.size.plans[cell.task])  # fmt: skip

    def left(self, cells: Sequence[Cell]) -> str:
        """How long cells take; originals are not counted, since nothing is known of them."""
        minutes = sum(self.size.plans[c.task].minutes + OVERHEAD_S / 60 for c in cells if c.name != ORIGINAL)
        hours = minutes / 60 / self.options.jobs
        return f"{hours:.1f} h" if hours > 1.5 else f"{60 * hours:.0f} min"

    def measure(self) -> None:
        """Measure what is there in turns with the originals, until every file has its rounds."""
        for task, setting, seed, files in self.files():
            rounds, measured = self.options.rounds, 0
            todo = self.turns.open_files(task, setting, seed, files, rounds)
            if not todo:
                continue
            with open_target("local") as target:
                while todo:
                    self.turns.measure(target, task, setting, seed, todo, self.options.seconds)
                    todo = self.turns.open_files(task, setting, seed, files, rounds)
                    measured += 1
            say(f"measured: {task}/{setting}/{seed}, {len(files)} files, {measured} rounds")

    def files(self) -> Iterator[tuple[str, str, int, dict[str, Path]]]:
        """The files of each task, number type and seed by their rows, the original first."""
        found: dict[tuple[str, str, int], dict[str, Path]] = {}
        for cell in self.cells:
            if (cell.name == ORIGINAL or cell.matches(self.options.only)) and self.store.done(cell):
                found.setdefault((cell.task, cell.setting, cell.seed), {})[cell.row] = self.store.file(cell)
        for (task, setting, seed), files in found.items():
            if ORIGINAL in files and len(files) > 1:
                yield task, setting, seed, files

    def report(self) -> None:
        """Print the tables and write them as CSV."""
        options = self.options
        parts = table.read(self.store, self.turns, self.size, options.tasks)
        for task in options.tasks:
            say(f"- {task}: {self.size.plans[task].told()}")
        say("\n" + "\n".join(report.lines(parts)))
        say("\n" + report.goal_line(parts))
        folder = options.results or options.work
        records = report.cell_records(parts)
        marks = sorted({str(record["code"]) for record in records})
        if len(marks) > 1:
            say(f"(!) Cells were made by different versions of the code: {', '.join(marks)}; column 'code'.")
        name = "compression" if options.size == "quick" else f"compression_{options.size}"
        write_csv(folder / f"{name}.csv", records)
        write_csv(folder / f"{name}_ratios.csv", report.comparison_records(parts))


class Pools:
    """Processes for cells, each for one cell at a time; one that has done some is replaced, one that dies takes only its cell."""

    def __init__(self, jobs: int) -> None:
        self._jobs = jobs
        self._free: list[tuple[ProcessPoolExecutor, int]] = []

    def __enter__(self) -> Pools:
        return self

    def __exit__(self, *_: object) -> None:
        for pool, _used in self._free:
            pool.shutdown()

    def submit(self, work: Any, job: Job) -> Future[dict[str, Any]]:
        """Run a job in a free process, or in a new one."""
        pool, used = self._free.pop() if self._free else (self._new(), 0)
        future = pool.submit(work, job)
        future.add_done_callback(lambda done: self._again(pool, used + 1, done))
        return future

    def _again(self, pool: ProcessPoolExecutor, used: int, done: Future[Any]) -> None:
        if used >= CELLS_A_PROCESS or isinstance(done.exception(), BrokenProcessPool):
            pool.shutdown(wait=False)
        else:
            self._free.append((pool, used))

    def _new(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"), initializer=begin)


def result(future: Future[dict[str, Any]]) -> dict[str, Any]:
    """What a cell came to, also where its process died."""
    try:
        return future.result()
    except BrokenProcessPool:
        return {"error": "its process died; the same command tries again"}


def outcome(facts: dict[str, Any]) -> str:
    """A cell in a few words."""
    if facts.get("error"):
        return f"failed: {facts['error']}"
    steps = f", {facts['steps']:,} steps, {facts['trials']} tried" if "steps" in facts else ""
    missed = f", {facts['missed']}" if facts.get("missed") else ""
    return (
        f"{facts['predicted_ms']:.4f} ms predicted, {facts['validation']:.2%} on validation{steps}, "
        f"{facts['seconds']:.0f} s{missed}"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; the exit status."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ[name] = "1"  # of the processes that are begun: each method gets one core
    try:
        options = parse(arguments)
        benchmark = Benchmark(options)
        if not options.only_report:
            benchmark.check()
            if not options.only_measure:
                benchmark.run()
            if not options.no_measure:
                benchmark.measure()
        benchmark.report()
    except EdgetimeError as error:
        print(error, file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    except KeyboardInterrupt:
        print("Stopped; the same command goes on.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
