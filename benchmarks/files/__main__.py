"""How well are the `.tflite` files of a folder predicted, whatever they are?

    python -m benchmarks.files FOLDER … --time-model MODEL.timemodel.json [-o RESULTS.csv] [--rounds N] [--target T]

Every file (every signature of it) is predicted, and measured where it can be run; a file is measured again, up to `--rounds` times,
until the canary says that the device was calm. Said of each: predicted and measured time, how far the measured time lies outside of
the interval (as a factor: 1 is inside), coverage, and what is not known or could not be run, by name. The goals: no file outside of
its interval by more than a factor of 1.5, and a coverage of 95% or the operators named.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.csv_files import write_csv
from edgetime import networks as files
from edgetime.prediction import Predictor
from profiler.errors import EdgetimeError
from timemodel import TimeModel
from timemodel.model import in_words

OUTSIDE, COVERED = 1.5, 0.95
"""A file may lie outside of its interval by this factor, and be covered by this share where nothing is named."""

Row = dict[str, Any]


def outside(row: Mapping[str, Any]) -> float | None:
    """By what factor the measured time is beyond the interval: 1 inside; None where either is not known."""
    measured, low, high = row["measured_ms"], row["low_ms"], row["high_ms"]
    if not measured or low is None:
        return None
    above = measured / high if high is not None else 1.0
    return max(above, low / measured, 1.0)


def judged(result: Mapping[str, Any], failed: str = "") -> Row:
    """One row of the results from a line of ``predict --json``; `failed` says why it was not measured."""
    row = {
        name: result.get(name)
        for name in ("network", "signature", "dtype", "predicted_ms", "low_ms", "high_ms", "measured_ms")
    }
    factor = outside(row)
    named = in_words(result.get("unknown", {})) or ", ".join(result["uncovered"])
    return {
        **row,
        "outside": None if factor is None else round(factor, 3),
        "coverage": round(result["coverage"], 4),
        "named": named,
        "calm": None if result.get("measured_calm_share") is None else result["measured_calm_share"] > 0,
        "failed": failed,
    }


def misses(row: Row) -> list[str]:
    """Which goals a row misses, in words."""
    found = []
    if row["outside"] is not None and row["outside"] > OUTSIDE and row["calm"] is not False:
        found.append(f"outside of its interval by {row['outside']:.2f}")
    if row["coverage"] < COVERED and not row["named"]:
        found.append(f"covered by {row['coverage']:.1%}, with nothing named")
    return found


def each(paths: Sequence[Path], model: TimeModel, rounds: int, target: str | None = None) -> Iterator[Row]:
    """Every signature of every file; what cannot be read is a row that says so."""
    with Predictor(model, target, measure=True) as measuring, Predictor(model) as predicting:
        for path in paths:
            try:
                signatures = files.signatures(path)
            except EdgetimeError as error:
                yield _refused(path, error)
                continue
            for signature in signatures:
                yield _one(path, signature, measuring, predicting, rounds)


def _one(path: Path, signature: str | None, measuring: Predictor, predicting: Predictor, rounds: int) -> Row:
    try:
        predicted, _ = predicting.predict(path, None, signature)
    except EdgetimeError as error:
        return _refused(path, error)
    row = judged(predicted)
    for _ in range(rounds):
        try:
            row = judged(measuring.predict(path, None, signature)[0])
        except EdgetimeError as error:
            return judged(predicted, str(error))
        if row["calm"] is not False:
            break
    return row


def _refused(path: Path, error: Exception) -> Row:
    empty: Row = {"network": path.name, "uncovered": [], "coverage": 1.0}
    return judged(empty, str(error))


def shown(row: Row) -> str:
    """A row as a line for a terminal."""

    def ms(value: float | None) -> str:
        return "unknown" if value is None else f"{value:.4g}"

    name = row["network"] + (f" [{row['signature']}]" if row["signature"] else "")
    if row["predicted_ms"] is None and row["failed"]:
        return f"{name}: {row['failed']}"
    line = f"{name} ({row['dtype']}): predicted {ms(row['predicted_ms'])} ms"
    line += f" ({ms(row['low_ms'])} to {ms(row['high_ms'])}), measured {ms(row['measured_ms'])}"
    if row["outside"] is not None and row["outside"] > 1:
        line += f", outside by {row['outside']:.2f}"
    line += f", coverage {row['coverage']:.1%}" + (f" ({row['named']})" if row["named"] else "")
    disturbed = " [the device was never calm]" if row["calm"] is False else ""
    failed = f" [not measured: {row['failed'][:120]}]" if row["failed"] else ""
    missed = "".join(f" MISSES: {miss}" for miss in misses(row))
    return line + disturbed + failed + missed


def summary(rows: Sequence[Row]) -> list[str]:
    """What all rows come to."""
    both = [row for row in rows if row["outside"] is not None and row["high_ms"] is not None]
    calm = [row for row in both if row["calm"] is not False]
    inside = sum(row["outside"] <= 1 for row in calm)
    far = sum(row["outside"] > OUTSIDE for row in calm)
    ratios = sorted(abs(row["predicted_ms"] / row["measured_ms"] - 1) for row in calm)
    lines = [
        f"{len(rows)} networks: {len(both)} predicted and measured, {len(calm)} of these with a calm moment",
        f"within the interval {inside} of {len(calm)}, outside by more than {OUTSIDE}: {far}",
    ]
    if ratios:
        lines.append(
            f"error: median {ratios[len(ratios) // 2]:.1%}, mean {sum(ratios) / len(ratios):.1%}, largest {ratios[-1]:.1%}"
        )
    covered = sum(row["coverage"] >= COVERED for row in rows)
    silent = sum(row["coverage"] < COVERED and not row["named"] for row in rows)
    lines.append(
        f"coverage of {COVERED:.0%} or more: {covered} of {len(rows)}; less with nothing named: {silent}"
    )
    return lines


def _tflite_files(given: Sequence[Path]) -> list[Path]:
    found: list[Path] = []
    for path in given:
        found += sorted(path.rglob("*.tflite")) if path.is_dir() else [path]
    return list(dict.fromkeys(found))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER")
    parser.add_argument("--time-model", type=Path, required=True)
    parser.add_argument("--target", help="where to measure; default: where the time model was")
    parser.add_argument("--rounds", type=int, default=3, help="how often a file is measured at most")
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    rows = []
    for row in each(
        _tflite_files(options.folders), TimeModel.load(options.time_model), options.rounds, options.target
    ):
        rows.append(row)
        print(shown(row), flush=True)
    print(*summary(rows), sep=os.linesep)
    if options.output and rows:
        write_csv(options.output, rows)


if __name__ == "__main__":
    main()
