"""The translation row: a small network's beam answers first, a large one's where that is not sure, by its score per token.

    python -m benchmarks.selection.translation SMALL.json LARGE.json --dev DEV.tsv --test TEST.tsv

Both files are what ``edgetime.sequence.export`` wrote (see examples/translation); the same file twice is a narrow beam before a
wide one. How sure the small one has to be is chosen on DEV, for no more than --max-drop BLEU under the better of the two alone;
BLEU with its paired interval, share handed on and time, measured in turns, are of TEST.
"""

from __future__ import annotations

import argparse
import csv
import io
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from profiler.files import write_bytes
from selector.sequence import FixedWidth, LoadedSequencePolicy, load_sequence_policy
from selector.sequence_tuning import (
    measured_costs,
    paired_difference,
    quality_of,
    read_pairs,
    tune_cascade,
)

CSV = Path(__file__).resolve().parent.parent / "results" / "selection_translation.csv"


def main() -> None:
    """Judge one pair."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.selection.translation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("small_file", type=Path)
    parser.add_argument("large_file", type=Path)
    parser.add_argument("--dev", type=Path, required=True)
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument("--small", type=int, default=1, help="width of the small network's beam")
    parser.add_argument("--large", type=int, default=5, help="of the large one's")
    parser.add_argument("--max-drop", type=float, default=0.2, help="points of BLEU on development lines")
    parser.add_argument("--sentences", type=int, default=100, help="of the test that are measured")
    parser.add_argument("--rounds", type=int, default=3, help="of measuring")
    parser.add_argument("--most", type=int, help="only so many lines of dev and test, for a first look")
    parser.add_argument("--csv", type=Path, default=CSV)
    given = parser.parse_args()
    small, large = with_width(given.small_file, given.small), with_width(given.large_file, given.large)
    (dev, dev_wanted), (test, test_wanted) = (
        tuple(side[: given.most] for side in read_pairs(part)) for part in (given.dev, given.test)
    )
    costs = [measured_costs(one, [one.tokens(line) for line in dev[:50]]) for one in (small, large)]
    tuned = tune_cascade(small, large, dev, dev_wanted, *costs, max_drop=given.max_drop)
    first = LoadedSequencePolicy(tuned.policy, small.file, small.network, large)
    policies = {"small": small, "large": large, "cascade": first}
    fitting = [line for line in test if _fits(line, small, large)]
    wanted = [one for line, one in zip(test, test_wanted, strict=True) if _fits(line, small, large)]
    found = {name: [one(line) for line in fitting] for name, one in policies.items()}
    quality = {
        name: quality_of("bleu", [one.text for one in answers], wanted) for name, answers in found.items()
    }
    times = measure(policies, fitting[: given.sentences], given.rounds)
    best = max(("small", "large"), key=lambda name: quality[name].value)
    gap = paired_difference(quality["cascade"], quality[best])
    row: dict[str, Any] = {
        "small": f"{small.network.file.stem} fixed {given.small}",
        "large": f"{large.network.file.stem} fixed {given.large}",
        "lines": len(fitting),
        "measured_lines": min(given.sentences, len(fitting)),
        "handed_on": float(np.mean([one.stage for one in found["cascade"]])),
        **{f"{name}_bleu": quality[name].value for name in policies},
        **{f"{name}_ms": times[name] for name in policies},
        "against": best,
        "difference": gap[0],
        "difference_low": gap[1],
        "difference_high": gap[2],
        "times_faster": times[best] / times["cascade"],
        "times_faster_predicted": max(tuned.small_ms, tuned.large_ms) / tuned.mean_ms,
    }
    alone = f"{row['small_bleu']:.2f} and {row['large_bleu']:.2f} alone"
    print(
        f"{row['small']}, then {row['large']} on {row['handed_on']:.0%} of {len(fitting):,} lines: "
        f"BLEU {row['cascade_bleu']:.2f} ({alone}; against {best} {gap[0]:+.2f} [{gap[1]:+.2f}, {gap[2]:+.2f}]), "
        f"{times['cascade']:.3f} ms a line ({times['small']:.3f} and {times['large']:.3f}): {row['times_faster']:.2f}x, "
        f"predicted {row['times_faster_predicted']:.2f}x",
        flush=True,
    )
    keep(row, given.csv)


def with_width(file: Path, width: int) -> LoadedSequencePolicy:
    """A policy of a fixed width."""
    loaded = load_sequence_policy(file)
    policy = replace(loaded.policy, widths=FixedWidth(width))
    return LoadedSequencePolicy(policy, loaded.file, loaded.network)


def _fits(line: str, *policies: LoadedSequencePolicy) -> bool:
    return all(len(one.tokens(line)) <= one.network.source_longest for one in policies)


def measure(policies: dict[str, LoadedSequencePolicy], lines: list[str], rounds: int) -> dict[str, float]:
    """Mean time of a line, ms of this thread: of rounds the median counts, line by line, policies in turns."""
    names = list(policies)
    times = np.zeros((rounds, len(lines), len(names)))
    for turn in range(rounds):
        for place, line in enumerate(lines):
            for which in np.random.default_rng([turn, place]).permutation(len(names)).tolist():
                begin = time.thread_time()
                policies[names[which]](line)
                times[turn, place, which] = time.thread_time() - begin
    return dict(zip(names, (1e3 * np.median(times, axis=0).mean(axis=0)).tolist(), strict=True))


def keep(row: dict[str, Any], file: Path) -> None:
    """Write a row in place of that of the same pair."""
    kept: list[dict[str, Any]] = []
    if file.exists():
        with open(file, newline="", encoding="utf-8") as stream:
            pair = row["small"], row["large"]
            kept = [one for one in csv.DictReader(stream) if (one["small"], one["large"]) != pair]
    content = io.StringIO()
    writer = csv.DictWriter(content, list(row))
    writer.writeheader()
    writer.writerows([*kept, row])
    write_bytes(file, content.getvalue().encode())


if __name__ == "__main__":
    main()
