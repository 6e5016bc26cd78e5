"""Does `--max-accuracy-drop P` keep its promise? Validation rows are drawn again and again, the trainings are done once.

    python -m benchmarks.compression.promise --work DIR [--data FOLDER] [--only made-up] [--draws 100]

For each draw half of the rows choose an order of networks and half of them test it, as `compress` does; the promise is broken
where the network that is handed over loses more in truth than was claimed. Beside it the naive rule: the cheapest network whose
mean on the same rows keeps the limit. First for made-up networks whose truth is known exactly, then for a network of spoken digits
(voices of two speakers that no training has heard) and one of motion (eleven subjects that none has seen), each cut to eight
widths and trained once. Last, how often a bound by bootstrap is broken for a score of the user's own.
"""

from __future__ import annotations

import argparse
import csv
import io
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.compression.promise.answers import TASKS, pool_of
from benchmarks.compression.promise.own_scores import CASES, broken_share
from benchmarks.compression.promise.resampling import choose, kept
from benchmarks.compression.promise.worlds import MadeUp, Resampled, World
from profiler.files import write_text

ROOT = Path(__file__).resolve().parents[3]
DATA = ROOT.parent / "shared" / "data" / "tasks"
RESULTS = ROOT / "benchmarks" / "results" / "compression_promise.csv"

SETTINGS = (
    ("rows", 1500, 1.0),
    ("rows", 4000, 1.0),
    ("rows", 1000, 3.0),
    ("groups", 240, 5.0),
    ("groups", 120, 10.0),
)
"""What is independent, how many are drawn (half of them choose), and how many points may be lost."""


def rows_of(world: World, draws: int) -> list[dict[str, Any]]:
    """What became of the promise in one world, for each setting."""
    found = []
    for unit, count, points in SETTINGS:
        rng = np.random.default_rng([count, int(10 * points)])
        groups, most = unit == "groups", points / 100
        chosen = [
            choose(world.draw(count // 2, groups, rng), world.draw(count // 2, groups, rng), world.cost, most)
            for _ in range(draws)
        ]
        what = {"task": world.name, "unit": unit, "units": count, "asked_points": points, "draws": draws}
        found.append({**what, **asdict(kept(chosen, world.truth(groups), world.cost, most))})
        print(_line(found[-1]), flush=True)
    return found


def _line(row: dict[str, Any]) -> str:
    return (
        f"{row['task']}: {row['units']} {row['unit']}, at most {row['asked_points']:g} points: broken in {row['broken']:.1%}, "
        f"confirmed in {row['confirmed']:.0%}, {row['faster']:.2g}x; naively broken in {row['naive_broken']:.1%}, "
        f"{row['naive_faster']:.2g}x"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run and write the CSV."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.compression.promise", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    names = ("made-up", *TASKS, "own-scores")
    parser.add_argument("--work", type=Path, required=True, help="folder for trained networks' answers")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of fsdd.zip and motion.npz")
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    parser.add_argument(
        "--draws", type=int, default=100, help="resamplings; three times as many of scores of one's own"
    )
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    rows: list[dict[str, Any]] = []
    if "made-up" in options.only:
        rows += rows_of(MadeUp(), options.draws)
    for task in (task for task in TASKS if task in options.only):
        rows += rows_of(Resampled(pool_of(task, options.data, options.work)), options.draws)
    if "own-scores" in options.only:
        for case in CASES:
            row = {"task": case.name, "unit": case.unit, "units": case.units, "draws": 3 * options.draws}
            rows.append({**row, "broken": broken_share(case, 3 * options.draws)})
            print(f"{case.name}: {case.units} {case.unit}: broken in {rows[-1]['broken']:.1%}", flush=True)
    text = io.StringIO()
    writer = csv.DictWriter(
        text, list(dict.fromkeys(key for row in rows for key in row)), lineterminator="\n"
    )
    writer.writeheader()
    writer.writerows({k: f"{v:.5g}" if isinstance(v, float) else v for k, v in row.items()} for row in rows)
    write_text(options.results, text.getvalue())


if __name__ == "__main__":
    main()
