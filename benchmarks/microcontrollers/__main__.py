"""Arena that ``edgetime predict --mcu`` works out, against what TFLite Micro's own interpreter takes.

    python -m benchmarks.microcontrollers FOLDER [FOLDER …] [--most-macs N] [-o RESULTS.csv]

Every `.tflite` file in the folders: those that the package ``tflite-micro`` (extra ``mcu``) can run, and those that it refuses,
for does `--mcu` say so, and why? `error` is the estimate of what the running interpreter uses by what it says; `arena` is the
estimate of what it needs to start, tried with an arena of just that size. Networks of up to `--most-macs` are run once too: some
types are only refused then. Below the table: the published results of MLPerf Tiny, for the order of magnitude of time and energy.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.csv_files import write_csv
from profiler.errors import EdgetimeError
from profiler.microcontrollers import RESNET8_MACS, RESULTS, SOURCE, measure_arena, micro_footprint
from profiler.tflite import read_network

FOLDER = Path(__file__).parents[1] / "results"


def judged(path: Path, most_macs: int) -> dict[str, Any]:
    """One row of the results."""
    footprint, network = micro_footprint(path), read_network(path)
    measured = measure_arena(path, footprint.arena_bytes, run=network.macs <= most_macs)
    used = footprint.tensor_bytes + footprint.persistent_bytes
    took = measured.used_bytes
    return {
        "network": path.stem,
        "dtype": network.dtype,
        "flash_bytes": footprint.flash_bytes,
        "arena_bytes": footprint.arena_bytes,
        "used_bytes": used,
        "interpreter_bytes": took,
        "error": None if took is None else round(used / took - 1, 5),
        "starts": measured.enough,
        "said": footprint.runs,
        "runs": took is not None,
        "lacks": "; ".join([*footprint.missing_operators, *footprint.missing_types]),
        "problem": measured.problem[:120],
    }


def published() -> str:
    """The published results as a table."""
    rows = [f"{SOURCE}; for the order of magnitude only:"]
    for result in RESULTS:
        rate = result.inferences_per_s
        time = f"{1e3 / rate:6.1f} ms, {RESNET8_MACS * rate / 1e6:5.1f} M MACs/s" if rate else " " * 26
        rows.append(
            f"  {result.board:<12} {time}  {result.energy_uj:7.0f} uJ, {result.energy_uj / RESNET8_MACS * 1e6:.0f} pJ/MAC"
        )
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument(
        "--most-macs", type=int, default=20_000_000, help="networks of up to so many are run once"
    )
    parser.add_argument("-o", "--output", type=Path, default=FOLDER / "microcontrollers.csv")
    options = parser.parse_args()
    rows = []
    for path in sorted(path for folder in options.folders for path in folder.glob("*.tflite")):
        try:
            row = judged(path, options.most_macs)
        except EdgetimeError as error:
            print(f"{path.name}: left out, {error}", flush=True)
            continue
        rows.append(row)
        what = f"{row['error']:+.2%}" if row["runs"] else row["lacks"] or row["problem"]
        print(
            f"{row['network']:<34} {row['arena_bytes']:>10,} {row['interpreter_bytes'] or 0:>10,}  {what}",
            flush=True,
        )
    write_csv(options.output, rows)
    errors = np.array([row["error"] for row in rows if row["runs"]])
    started = [row["starts"] for row in rows if row["runs"]]
    right = sum(row["said"] == row["runs"] for row in rows)
    print(
        f"{len(errors)} networks run: median error {np.median(np.abs(errors)):.2%}, largest {np.max(np.abs(errors)):.2%}, lowest "
        f"{np.min(errors):+.2%}; {sum(started)} start with an arena of just the estimate; whether it runs was said rightly of "
        f"{right} of {len(rows)}"
    )
    print(published())


if __name__ == "__main__":
    main()
