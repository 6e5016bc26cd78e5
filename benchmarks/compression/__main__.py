"""Compression on three real tasks: what each method reaches at the same accuracy, by measured time.

    python -m benchmarks.compression --work DIR [--profile xnnpack=DEVICE.db] [--only motion/int8 …] [--minutes 360]

Trains one network per task (image, sound, motion) and seed, after showing by a sweep of its width that it is not a bloated
one; compresses it by every method for every setting through `edgetime.compress`; runs the exported files on test rows that
nothing else has seen; measures them in turns with the original; prints the tables and writes them as CSV.

One cell (task, setting, seed, row) is made at a time, and everything is kept in DIR as soon as it is made: the same command
goes on where it was stopped or killed. Cells that were not run print "not run". --only-report prints the tables from what is
there. No cell is begun after six hours (--minutes); all cells take about a day, so the first ones are those that tell
most: the sweep, then one seed of every task, then the next seed.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from benchmarks.compression import costs, records, report, sweep, versions, where
from benchmarks.compression.cells import ORIGINAL, QUANTIZED, ROWS, Cell, Store, all_cells
from benchmarks.compression.measuring import Turns
from benchmarks.compression.pooled import Table
from benchmarks.compression.running import Job, run, watch_parent
from benchmarks.compression.schedules import PLANS, SHORTENED, Plan, shortened, told
from benchmarks.compression.settings import DEFAULT_SETTINGS, SETTINGS, learn, model_path
from benchmarks.compression.tasks import EXTRA_TASKS, TASKS
from profiler.devices import open_target
from profiler.errors import DataError, EdgetimeError, UsageError
from profiler.files import write_json

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data" / "tasks"
CELLS_A_PROCESS = 12
"""After so many cells a new process is begun: TensorFlow gives little of its memory back."""


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.compression", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--work", type=Path, required=True, help="folder for everything that is made")
    parser.add_argument(
        "--data", type=Path, default=DATA, help="folder of cifar10.zip, fsdd.zip and motion.npz"
    )
    parser.add_argument("--results", type=Path, help="folder for the CSV files; default: the work folder")
    parser.add_argument("--profile", action="append", default=[], metavar="NAME=DB",
                        help="a profile of this machine under a name (xnnpack, builtin); else one is made")  # fmt: skip
    parser.add_argument("--profile-minutes", type=float, default=3.0)
    parser.add_argument(
        "--tasks", type=_names(TASKS + EXTRA_TASKS), default=None, help=f"of {', '.join(TASKS + EXTRA_TASKS)}"
    )
    parser.add_argument(
        "--settings", type=_names(tuple(SETTINGS)), default=DEFAULT_SETTINGS, help=f"of {', '.join(SETTINGS)}"
    )
    parser.add_argument("--rows", type=_names(ROWS), default=ROWS, help=f"of {', '.join(ROWS)}")
    parser.add_argument("--seeds", type=int, default=None, help="default 3; with --full 6")
    parser.add_argument("--only", nargs="+", default=[], metavar="PART",
                        help="cells to run and measure, such as motion, sound/int8 or image/0/fastdeepiot")  # fmt: skip
    parser.add_argument(
        "--again", nargs="+", default=[], metavar="PART", help="cells to run anew, named likewise"
    )
    parser.add_argument(
        "--minutes",
        "--stop-after",
        dest="minutes",
        type=float,
        default=360.0,
        help="begin no cell after so many minutes; default: 360",
    )
    parser.add_argument("--rounds", type=int, default=6, help="rounds of measuring")
    parser.add_argument("--seconds", type=float, default=0.3, help="of one file in one round")
    parser.add_argument(
        "--schedule", type=float, default=1.0, help="times the epochs of the schedules, to try things out"
    )
    parser.add_argument("--no-measure", action="store_true", help="leave measuring to another call")
    parser.add_argument("--only-measure", action="store_true", help="measure what is there")
    parser.add_argument("--only-report", action="store_true", help="print the tables from what is there")
    parser.add_argument(
        "--no-sweep", action="store_true", help="leave the sweep of the originals' widths out"
    )
    parser.add_argument(
        "--no-costs", action="store_true", help="leave surgery on MobileNetV2 and the long search out"
    )
    parser.add_argument(
        "--full", action="store_true", help="MobileNet- and transformer-like networks too, and six seeds"
    )
    options = parser.parse_args(arguments)
    options.tasks = options.tasks or (TASKS + EXTRA_TASKS if options.full else TASKS)
    options.seeds = options.seeds or (6 if options.full else 3)
    options.profiles = dict(_named(text) for text in options.profile)
    return options


def _names(known: Sequence[str]) -> Any:
    def read(text: str) -> tuple[str, ...]:
        names = tuple(text.split(","))
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"there is no {name}: choose of {', '.join(known)}")
        return names

    return read


def _named(text: str) -> tuple[str, Path]:
    name, separator, path = text.partition("=")
    if not separator:
        name, path = "xnnpack", text
    if not Path(path).exists():
        raise UsageError(f"{path} does not exist: name a profile that 'edgetime profile' wrote.")
    return name, Path(path)


def say(line: str = "") -> None:
    """Print at once."""
    print(line, flush=True)


class Benchmark:
    """One call: what is in the work folder, and what is still to do."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.store = Store(options.work)
        self.turns = Turns(options.work / "turns.jsonl")
        self.until = time.monotonic() + 60 * options.minutes
        self.plans: dict[str, Plan] = {
            task: PLANS[task] if options.schedule == 1 else shortened(PLANS[task], options.schedule)
            for task in options.tasks
        }
        self.cells = all_cells(options.tasks, options.settings, options.seeds, options.rows)
        self._pool: ProcessPoolExecutor | None = None
        self._in_process = 0

    def check(self) -> None:
        """Refuse to go on with what was begun under other schedules: the cells would not compare.

        Raises
        ------
        UsageError
            That is so.
        DataError
            The data is not there.
        """
        if not self.options.data.is_dir():
            raise DataError(
                f"{self.options.data} does not exist: name the folder that holds cifar10.zip, fsdd.zip and motion.npz "
                "with --data; nothing was run."
            )
        path = self.options.work / "schedules.json"
        now = {task: json.loads(json.dumps(plan.to_dict())) for task, plan in self.plans.items()}
        earlier = json.loads(path.read_text("utf-8")) if path.exists() else {}
        for task, plan in now.items():
            if task in earlier and earlier[task] != plan:
                changed = sorted(key for key in plan if earlier[task].get(key) != plan[key])
                raise UsageError(
                    f"{self.options.work} was begun with another {', '.join(changed)} for {task}: name another --work."
                )
        write_json(path, {**earlier, **now})

    def job(self, cell: Cell) -> Job:
        """A cell with what running it needs."""
        return Job(cell, self.options.data.resolve(), self.options.work.resolve(), self.plans[cell.task])

    def todo(self) -> list[Cell]:
        """Cells that are wanted and not done, in order."""
        again = self.options.again
        found = []
        for cell in self.cells:
            wanted = cell.available and cell.matches(self.options.only)
            if wanted and (not self.store.done(cell) or (again and cell.matches(again))):
                found.append(cell)
        return found

    def learn(self) -> None:
        """The time models, and what they say of the narrowest networks."""
        options = self.options
        for setting in options.settings:
            learn(options.work, setting, options.profiles, options.profile_minutes, say)
            for task in options.tasks:
                where.make_narrowest(options.work, task, setting)

    def run(self) -> None:
        """Run what is still to do, until time is up."""
        todo = self.todo()
        if self.options.again:
            for cell in todo:
                self.store.forget(cell)
        for position, cell in enumerate(todo):
            if time.monotonic() >= self.until:
                say(f"Time is up with {len(todo) - position} cells to go; the same command goes on.")
                break
            self._prepare(cell)
            began = time.monotonic()
            facts = self._in_child(run, self.job(cell))
            say(f"[{position + 1}/{len(todo)}, {self._left(todo[position + 1 :])} left] {cell}: "
                f"{outcome(facts)} ({time.monotonic() - began:.0f} s)")  # fmt: skip
        self._close()

    def _prepare(self, cell: Cell) -> None:
        """Everything but the originals needs a trained network."""
        original = Cell(cell.task, cell.setting, cell.seed, ORIGINAL)
        if cell.name not in (ORIGINAL, QUANTIZED) and not self.store.done(original):
            self._in_child(run, self.job(original))

    def _in_child(self, work: Any, *arguments: Any) -> dict[str, Any]:
        """In a process that is replaced now and then; one that dies takes only its cell along."""
        if self._pool is None or self._in_process >= CELLS_A_PROCESS:
            self._close()
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(1, mp_context=context, initializer=watch_parent)
            self._in_process = 0
        self._in_process += 1
        try:
            found: dict[str, Any] = self._pool.submit(work, *arguments).result()
            return found
        except BrokenProcessPool:
            self._pool = None
            return {"error": "its process died; the same command tries again"}

    def _close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None

    def _left(self, cells: Sequence[Cell]) -> str:
        """How long the cells to come take, by those that are done."""
        known: dict[tuple[str, str], list[float]] = {}
        for cell in self.cells:
            facts = self.store.facts(cell)
            if facts and facts.get("seconds") and not facts.get("error"):
                known.setdefault((cell.task, cell.name), []).append(facts["seconds"])
        everything = [second for seconds in known.values() for second in seconds] or [60.0]
        total = 0.0
        for cell in cells:
            same = known.get((cell.task, cell.name)) or [
                s for (task, _), some in known.items() if task == cell.task for s in some
            ]
            total += sum(same or everything) / len(same or everything)
        return f"{total / 3600:.1f} h" if total > 5400 else f"{total / 60:.0f} min"

    def measure(self) -> None:
        """Measure what is there in turns with the originals, until every file has its rounds."""
        for task in self.options.tasks:
            for setting in self.options.settings:
                for seed in range(self.options.seeds):
                    files = self._files(task, setting, seed)
                    if ORIGINAL not in files:
                        continue
                    self._measure(task, setting, seed, files)

    def _files(self, task: str, setting: str, seed: int) -> dict[str, Path]:
        cells = [Cell(task, setting, seed, name) for name in self.options.rows]
        keep = [cell for cell in cells if cell.matches(self.options.only) or cell.name == ORIGINAL]
        return {cell.name: self.store.file(cell) for cell in keep if self.store.done(cell)}

    def _measure(self, task: str, setting: str, seed: int, files: dict[str, Path]) -> None:
        rounds = self.options.rounds
        todo = self.turns.open_files(task, setting, seed, files, rounds)
        if not todo or time.monotonic() >= self.until + 600:
            return
        with open_target(SETTINGS[setting].target) as target:
            while todo:
                self.turns.measure(target, task, setting, seed, todo, self.options.seconds)
                todo = self.turns.open_files(task, setting, seed, files, rounds)
        say(f"measured: {task}/{setting}/{seed}, {len(files)} files")

    def report(self) -> None:
        """Print the tables and write them as CSV."""
        options = self.options
        table = Table(self.store, self.turns, options.tasks, options.settings, options.seeds, options.rows)
        say("\n== What was trained, and what was shortened\n" + SHORTENED)
        for task in options.tasks:
            say(told(task, self.plans[task]))
        say()
        swept = [line for task in options.tasks for line in sweep.lines(options.work, task)]
        say(
            "\n".join(
                [
                    "== Is the original bloated? Its network at other widths, trained alike (validation)",
                    *swept,
                    "",
                ]
            )
        )
        say("\n".join(report.report_lines(table)))
        say("\n".join([*versions.lines(table), "", *where.lines(table)]))
        say("\n".join(["", "== Cost", *costs.lines(options.work)]))
        folder = options.results or options.work
        records.write_csv(folder / "compression.csv", records.cell_records(table))
        records.write_csv(folder / "compression_rows.csv", records.row_records(table))
        records.write_csv(folder / "compression_ratios.csv", records.comparison_records(table))
        records.write_csv(folder / "compression_turns.csv", records.turn_records(table))
        records.write_csv(folder / "compression_where.csv", where.records(table))
        records.write_csv(folder / "compression_sweep.csv", sweep.records(options.work, options.tasks))
        records.write_csv(folder / "compression_costs.csv", costs.records(options.work))

    def sweep(self) -> None:
        """The originals at other widths: a bloated one would make any compression look good."""
        if self.options.no_sweep or self.options.only:
            return
        for task in self.options.tasks:
            for width in sweep.todo(self.options.work, task):
                if time.monotonic() >= self.until:
                    return
                job = self.job(Cell(task, self.options.settings[0], 0, ORIGINAL))
                say(f"sweep: {task} x{width:g}: {outcome(self._in_child(sweep.run, job, width))}")

    def costs(self) -> None:
        """What compression itself costs, each in a process of its own so that its memory can be told."""
        if self.options.no_costs or self.options.only:
            return
        model = model_path(self.options.work.resolve(), self.options.settings[0])
        for name in costs.todo(self.options.work):
            if time.monotonic() >= self.until:
                return
            self._close()
            say(f"cost: {name}: {self._in_child(costs.run, name, self.options.work.resolve(), model)}")
        self._close()


def outcome(facts: dict[str, Any]) -> str:
    """A cell in a few words."""
    if facts.get("error"):
        return f"failed: {facts['error']}"
    validation = facts.get("validation")
    score = f", {validation:.2%} on validation" if validation is not None else ""
    kept = "" if facts.get("met", True) else ", accuracy not kept"
    return f"{facts['predicted_ms']:.4f} ms predicted{score}{kept}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; the exit status."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        options = parse(arguments)
        benchmark = Benchmark(options)
        if not options.only_report:
            benchmark.check()
            options.work.mkdir(parents=True, exist_ok=True)
            if not options.only_measure:
                benchmark.learn()
                benchmark.sweep()
                benchmark.run()
                benchmark.costs()
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
