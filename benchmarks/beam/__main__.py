"""Beams whose width follows the input against every fixed width.

    python -m benchmarks.beam WORK [--networks multi30k-gru-float32,multi30k-transformer-float32] [--seeds 1,2,3]

For each kind of network whose exported files ``CORPUS-NETWORK-SEED-DTYPE.json`` are in WORK (see examples/translation), beside
``CORPUS.dev.tsv`` and ``CORPUS.test.tsv``: every fixed width and every kind of policy is tuned on the development lines of all
seeds together and judged on the test lines, by quality with paired bootstrap and by time, sentence by sentence in turns. What is
done is kept in WORK/beam, and not done again while networks and lines stay the same.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks.beam import fronts, overhead, rivals, rows, stages

CSV = Path(__file__).resolve().parent.parent / "results" / "beam.csv"
NETWORKS = ",".join(
    f"{corpus}-{network}-{dtype}"
    for corpus in ("multi30k", "numerals")
    for network in ("gru", "lstm", "transformer")
    for dtype in ("float32", "dynamic", "int8")
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Judge networks, or measure the search's own time."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.beam",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("work", nargs="?", type=Path, help="folder of the exported networks and the lines")
    parser.add_argument(
        "--networks", default=NETWORKS, help="with commas; those that are not there are left out"
    )
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--trials", type=int, default=120, help="policies to try, over all kinds")
    parser.add_argument("--minutes", type=float, default=15.0, help="of tuning, each network")
    parser.add_argument(
        "--worst-drop",
        type=float,
        default=0.4,
        help="points that a policy may lose on dev to the best fixed width at the lower end of the 95%% interval",
    )
    parser.add_argument("--widest", type=int, default=6, help="fixed width and the widest of a policy")
    parser.add_argument("--rounds", type=int, default=3, help="of measuring")
    parser.add_argument("--sentences", type=int, default=40, help="of the test that are measured, each seed")
    parser.add_argument("--most", type=int, help="only so many lines of dev and test, for a first look")
    parser.add_argument(
        "--rivals",
        type=int,
        default=0,
        metavar="N",
        help="compare best-first search, and CTranslate2 where its model is there, on so many lines",
    )
    parser.add_argument("--overhead", type=Path, help="only the search's own time, of a network's .tflite")
    parser.add_argument(
        "--ctranslate2", type=Path, help="with --overhead: the same network, converted for CTranslate2"
    )
    parser.add_argument("--csv", type=Path, default=CSV)
    parser.add_argument("--svg", type=Path, help="draw what the table holds, docs/beam.svg")
    given = parser.parse_args(arguments)
    if given.overhead is not None:
        overhead.report(given.overhead, given.ctranslate2, say)
        return
    if given.work is not None:
        seeds = [int(seed) for seed in given.seeds.split(",")]
        for name in given.networks.split(","):
            group = stages.group(given.work, name, seeds, given.most)
            if group is not None:
                run(group, given)
    if given.svg is not None:
        fronts.draw(given.csv, given.svg)


def run(group: stages.Group, given: argparse.Namespace) -> None:
    """All stages of one kind of network."""
    say(
        f"\n{group.name}: seeds {', '.join(map(str, group.policies))}; {len(group.dev[0]):,} development and "
        f"{len(group.test[0]):,} test lines"
    )
    chosen = stages.choose(group, given.widest, given.trials, given.minutes, given.worst_drop, say)
    judged = {seed: stages.judge(group, seed, chosen.policies) for seed in group.policies}
    timed = {
        seed: stages.take_times(group, seed, chosen.policies, given.sentences, given.rounds)
        for seed in group.policies
    }
    found = rows.rows_of(group, chosen, judged, timed)
    rows.show(found, say)
    rows.keep(found, given.csv)
    if given.rivals:
        beside = rivals.compare(group, chosen, given.rivals, given.rounds, say)
        rows.keep(beside, given.csv.with_name("beam_rivals.csv"))


def say(line: str) -> None:
    """Print at once."""
    print(line, flush=True)


if __name__ == "__main__":
    main()
