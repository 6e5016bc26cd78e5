"""Measured rounds of whole networks: kept as they are made, and what is taken for a network's time.

A *round* is one measurement of one network: loaded anew, run for a second or so, in slices with the canary between them,
as `profiler.measurement.measure_network` does it. All networks are measured once per round before the next round begins,
so that a slow quarter of an hour does not hit one network alone.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from profiler.calm import WITHIN, calm_of
from profiler.devices import Target
from profiler.tflite import read_network

UNSTEADY = 0.05
"""Nor one whose median run takes longer than its fastest by more than this share."""

_FIELDS = ("median_us", "p20_us", "p90_us", "min_us", "load_ms", "first_ms")


@dataclass(frozen=True)
class Round:
    """One network, measured once; times as the agent gave them, `error` where the runtime cannot run it."""

    setting: str
    network: str
    number: int
    at: float
    runtime: str
    file_bytes: int
    median_us: float | None = None
    p20_us: float | None = None
    p90_us: float | None = None
    min_us: float | None = None
    canary_us: float | None = None
    load_ms: float | None = None
    first_ms: float | None = None
    samples: int = 0
    disturbed: bool = False
    error: str | None = None

    def is_calm(self, level_us: float) -> bool:
        """Whether nothing else disturbed it: by the agent's word, by the canary's level in its setting, by its own runs.

        An agent that is started on a busy machine takes that for its calm, so its word is not enough; and the canary
        takes microseconds, so that it slips between the time slices of other work, where a long run does not.
        """
        return (
            self.error is None
            and not self.disturbed
            and (self.canary_us is None or self.canary_us <= WITHIN * level_us)
            and float(self.median_us or 0.0) <= (1 + UNSTEADY) * float(self.min_us or 0.0)
        )


class Rounds:
    """A file of JSON lines, one per `Round`; a line that was cut off when the power went is left out."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[Round] = []
        if path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                try:
                    self.rows.append(Round(**json.loads(line)))
                except (ValueError, TypeError):
                    continue

    def add(self, row: Round) -> None:
        """Keep one more, on disk before this returns."""
        self.rows.append(row)
        with self.path.open("a+b") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                # After a line that was cut off, begin a new one.
                if file.read(1) != b"\n":
                    file.write(b"\n")
            file.write(json.dumps(asdict(row)).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def of(self, setting: str) -> dict[str, list[Round]]:
        """Rounds of a setting by network, in the order of their numbers."""
        found: dict[str, list[Round]] = {}
        for row in sorted((row for row in self.rows if row.setting == setting), key=lambda row: row.number):
            found.setdefault(row.network, []).append(row)
        return found


def still_open(rows: Rounds, setting: str, files: Sequence[Path], rounds: int) -> list[tuple[int, Path]]:
    """What is still to be measured for `rounds` calm rounds of every network: (number of the measurement, file).

    Round by round. What was disturbed is measured again, until a network was measured twice as often as it should be;
    what the runtime cannot run is not.
    """
    done = rows.of(setting)
    level = canary_level_us(row for some in done.values() for row in some)
    found = []
    for number in range(rounds):
        for path in files:
            before = done.get(path.stem, [])
            quiet = sum(row.is_calm(level) for row in before)
            attempt = len(before) + number - quiet
            if quiet <= number and attempt < 2 * rounds and not any(row.error for row in before):
                found.append((attempt, path))
    return found


def measure(
    target: Target,
    setting: str,
    todo: Iterable[tuple[int, Path]],
    rows: Rounds,
    seconds: float,
    until: float = float("inf"),
    say: Callable[[str], None] = lambda line: None,
) -> int:
    """Measure what `still_open` names and keep each as soon as it is made, until `until` (by `time.monotonic`).

    After a round that was not calm the agent starts anew: what slowed it down may have been its own process.

    Returns
    -------
    int
        How many were measured.
    """
    count = 0
    for number, path in todo:
        if time.monotonic() >= until:
            break
        content = path.read_bytes()
        network = read_network(content)
        answer = target.measure_network(content, seconds, [network.tensors[i].shape for i in network.inputs])
        rows.add(to_round(setting, path.stem, number, target.setting.key, len(content), answer))
        count += 1
        row = rows.rows[-1]
        if row.error is None and not row.is_calm(
            canary_level_us(r for r in rows.rows if r.setting == setting)
        ):
            target.close()
        told = row.error or f"{(row.median_us or 0) / 1e3:.4g} ms, canary {row.canary_us or 0:.4g} us"
        say(f"{setting} round {number + 1}: {path.stem} {told}{' (disturbed)' if row.disturbed else ''}")
    return count


def to_round(
    setting: str, network: str, number: int, runtime: str, file_bytes: int, answer: Mapping[str, Any]
) -> Round:
    """An agent's answer as a `Round`."""
    common = (setting, network, number, time.time(), runtime, file_bytes)
    if "error" in answer:
        return Round(*common, error=str(answer["error"])[:300])
    times = {name: float(answer[name]) for name in _FIELDS if answer.get(name) is not None}
    if answer.get("canaries_us"):
        times["canary_us"] = float(max(answer["canaries_us"]))
    return Round(
        *common, **times, samples=int(answer.get("samples", 0)), disturbed=bool(answer.get("disturbed"))
    )


# --- What is taken for a network's time -----------------------------------------------------------------------

Estimate = Callable[[Sequence[Round], float], float]
"""From some rounds of one network, and the canary's level in us, to its time in ms."""


def _over_rounds(name: str, by_canary: bool, combine: Callable[[list[float]], float]) -> Estimate:
    def estimate(rows: Sequence[Round], level_us: float) -> float:
        quiet = calm(rows, level_us)
        if not quiet:
            # How much longer other work made it cannot be told from the canary: the part that met least counts.
            return min(float(row.p20_us or math.inf) for row in usable(rows)) / 1e3
        scale = [level_us / row.canary_us if by_canary and row.canary_us else 1.0 for row in quiet]
        return combine([float(getattr(row, name)) * f / 1e3 for row, f in zip(quiet, scale, strict=True)])

    return estimate


def usable(rows: Iterable[Round]) -> list[Round]:
    """Rounds that gave a time."""
    return [row for row in rows if row.error is None and row.median_us]


def calm(rows: Iterable[Round], level_us: float) -> list[Round]:
    """Rounds that nothing else disturbed."""
    return [row for row in usable(rows) if row.is_calm(level_us)]


ESTIMATES: dict[str, Estimate] = {
    f"{how} of {name[:-3]}s{' by canary' if by_canary else ''}": _over_rounds(name, by_canary, combine)
    for name in ("median_us", "p20_us", "min_us")
    for by_canary in (False, True)
    for how, combine in (("median", statistics.median), ("least", min))
}
"""Definitions that can be compared (--estimates); `MEASURED` names the one in use."""

MEASURED = "least of medians"
"""The median of runs, as `edgetime predict --measure` says it, in the calmest round: other work only adds time.

Over 51 networks and 4 rounds on a shared machine, half of the calm rounds predicted the other half with an error of
2.6% (float32, XNNPACK, median 0.7%) and 0.8% (int8). Medians over rounds did with 2.7% and 0.8%; scaled by the canary, with
3.6% and 0.8%: while it is calm the machine does not drift, and the canary's own noise is all that scaling adds.
"""


def canary_level_us(rows: Iterable[Round]) -> float:
    """The canary of a calm machine, from all rounds of a setting; 1 where there are none."""
    known = [row.canary_us for row in usable(rows) if row.canary_us and not row.disturbed]
    return calm_of(known).calm_us if known else 1.0


def halves(count: int, most: int = 50) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Ways to split `count` rounds into two halves (of an odd number one is left out), each pair once."""
    half = count // 2
    splits = []
    for first in itertools.combinations(range(count), half):
        rest = [i for i in range(count) if i not in first]
        for second in itertools.combinations(rest, half):
            if first < second:
                splits.append((first, second))
    step = max(1, len(splits) // most)
    return splits[::step]


def noise_errors(rows: Sequence[Round], level_us: float, estimate: Estimate) -> list[float]:
    """Errors of predicting one half of a network's rounds by the other half, over all ways to split them.

    What is left when the predictor is the network itself: no model can be expected to do better. Halves are
    noisier than all rounds together, so this is a little more than what the measured value is off by.
    """
    quiet = calm(rows, level_us)
    errors = []
    for first, second in halves(len(quiet)):
        one, other = (estimate([quiet[i] for i in half], level_us) for half in (first, second))
        errors += [abs(one / other - 1), abs(other / one - 1)]
    return errors


def compare_estimates(by_network: Mapping[str, Sequence[Round]]) -> dict[str, dict[str, float]]:
    """How repeatable each definition in `ESTIMATES` is: mean and 90th percentile of `noise_errors`."""
    level = canary_level_us(row for rows in by_network.values() for row in rows)
    table = {}
    for name, estimate in ESTIMATES.items():
        errors = [np.mean(e) for rows in by_network.values() if (e := noise_errors(rows, level, estimate))]
        if errors:
            table[name] = {"mean": float(np.mean(errors)), "p90": float(np.quantile(errors, 0.9))}
    return table
