"""What choosing a network for every input saves: cascades beside the best single network, in float32 and int8.

    python -m benchmarks.selection --work DIR [--data TASKS] [--tasks image,sound,motion] [--seeds 0,1,2] [--minutes 360]

Trains the networks of each task and seed, and early exits in one network of each task (what is trained is kept, and a training that
was stopped goes on), lets them answer rows that none was trained on, chooses policies by one part of these rows and judges them on
the other. Prints for cascades, premodels and early exits: accuracy against the best single network with its paired interval,
predicted and measured mean time in turns with it, all that is worked out to choose counted; best single networks, oracle, ensemble
and plain cascade beside it; then what random splits say of the promise. Image networks: CIFAR-10, 18,000 training images.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.selection import exits, judging, members, turns
from benchmarks.selection.rows import Held, folds, held, joined, of_type
from timemodel import TimeModel

PROMISED_POINTS = {"image": (1.0, False), "sound": (5.0, True)}
"""Points that are promised, and whether by groups; the eleven subjects of the motion task can promise nothing of use."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.selection",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data/tasks"))
    parser.add_argument("--work", type=Path, required=True, help="folder for everything that is made")
    parser.add_argument("--tasks", default=",".join(members.TASKS))
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--time-model", type=Path, help="of this machine; default: profiled for 3 minutes")
    parser.add_argument(
        "--minutes", type=float, default=360, help="no training goes on after so many minutes"
    )
    parser.add_argument("--splits", type=int, default=200, help="random splits that test the promise")
    parser.add_argument("--only-train", action="store_true")
    parser.add_argument("--only-report", action="store_true", help="train nothing")
    options = parser.parse_args(arguments)
    tasks, seeds = options.tasks.split(","), [int(seed) for seed in options.seeds.split(",")]
    until = time.monotonic() + 60 * options.minutes
    if not options.only_report:
        for seed in seeds:
            for task in tasks:
                members.make(options.data, options.work, task, seed, say, until)
    model = time_model(options.work, options.time_model)
    if not options.only_report:
        for task in tasks:
            exits.make(options.data, options.work, task, seeds[0], model, say)
    if options.only_train:
        return
    for task in tasks:
        known = {
            seed: exits.with_exits(found, options.work, task, seed, model)
            for seed in seeds
            if (found := held(options.data, options.work, task, seed, model, say))
        }
        if known:
            report(options.work, task, known)
            test_promise(task, next(iter(known.values())), options.splits)


def say(line: str) -> None:
    """Print at once."""
    print(line, flush=True)


def time_model(work: Path, given: Path | None) -> TimeModel:
    """The time model of this machine, profiled once."""
    from profiler.measurement import profile
    from timemodel import fit_profile

    file = given or work / "here.timemodel.json"
    if not file.exists():
        profile("local", work / "here.db", minutes=3.0, dtypes=("float32", "int8"))
        fit_profile(work / "here.db").save(file)
    return TimeModel.load(file)


def report(work: Path, task: str, known: dict[int, Held]) -> None:
    """Print the tables of one task."""
    for seed, one in known.items():
        say(f"\n{task} seed {seed}: networks, accuracy on rows to choose by and to judge on")
        for index, network in enumerate(one.judge.networks):
            say(
                f"  {network.name:28s} {network.predicted_ms:8.4f} ms  {one.choose.right[index].mean():7.2%} "
                f"{one.judge.right[index].mean():7.2%}"
            )
        for dtype in ("float32", "int8"):
            share = judging.disagreement(of_type(one.judge, dtype))
            say(f"  {dtype}: not all agree on {share:.0%} of the rows")
    say(
        f"\n{task}, seeds {', '.join(map(str, known))}: times are how many times less than those of the single network"
    )
    table = [
        (
            "policy",
            "against",
            "accuracy",
            "points",
            "predicted",
            "measured",
            "measured, ms",
            "predicted is off",
        )
    ]
    details = []
    for dtype in ("float32", "int8"):
        table += beside(known, dtype)
    for way in judging.WAYS:
        found = [judging.judge(way, one, task, seed) for seed, one in known.items()]
        judged = [one for one in found if isinstance(one, judging.Judged)]
        details += [one for one in found if isinstance(one, str)]
        if not judged:
            continue
        gap = judging.compared(judged)
        measured = [end_to_end(work, one, known[one.seed], task) for one in judged]
        off = [one.ms.mean() / seen.policy_ms - 1 for one, seen in zip(judged, measured, strict=True)]
        table.append(
            (
                way.name,
                judged[0].single if way.policy == "exits" else f"best {way.against}",
                f"{np.mean([one.rows.score for one in judged]):.2%}",
                f"{gap.points:+.2f} [{gap.low:+.2f}, {gap.high:+.2f}]",
                f"{geometric(one.ratio for one in judged):.2f}",
                f"{geometric(seen.ratio for seen in measured):.2f}",
                f"{geometric(seen.policy_ms for seen in measured):.4f}",
                ", ".join(f"{one:+.0%}" for one in off),
            )
        )
        details += [
            f"{way.name}, seed {one.seed}: {one.policy} against {one.single}, "
            f"stops {'/'.join(f'{share:.0%}' for share in one.stop_shares)}, {one.ratio:.2f} times less"
            for one in judged
        ]
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    for row in table:
        say("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    for line in details:
        say(f"  {line}")


def beside(known: dict[int, Held], dtype: str) -> list[tuple[str, ...]]:
    """Rows of what policies must be seen beside: of the test rows alone, chosen on them, which flatters all but single networks."""
    rivals = [judging.rivals(one, dtype) for one in known.values()]
    singles = [found["best single"] for found in rivals]
    rows = []
    for kind in rivals[0]:
        points = [found[kind] for found in rivals if kind in found]
        accuracy = np.mean([one.accuracy for one in points])
        gap = 100 * (accuracy - np.mean([one.accuracy for one in singles]))
        ratio = geometric(single.mean_ms / one.mean_ms for one, single in zip(points, singles, strict=False))
        rows.append(
            (
                f"{dtype}, {kind}",
                f"best {dtype}",
                f"{accuracy:.2%}",
                f"{gap:+.2f}",
                f"{ratio:.2f}",
                "",
                "",
                "",
            )
        )
    return rows


def geometric(values: Iterable[float]) -> float:
    """Geometric mean."""
    return float(np.exp(np.mean(np.log([*values]))))


def end_to_end(work: Path, judged: judging.Judged, one: Held, task: str) -> turns.Measured:
    """Measure the policy that was chosen by the rows of the first fold."""
    fold, found = folds(one, task)[0], judged.fitted
    name = judged.way.name.replace(", ", "-").replace(" ", "-")
    folder = members.folder_of(work, task, judged.seed) / "policies" / name
    pair = one.judge.networks[found.single], one.judge.paths[found.single]
    return turns.measure(found.fit, folder, one.judge_rows.x[fold.numbers], pair)


def test_promise(task: str, one: Held, splits: int) -> None:
    """Print what random splits say of the promise."""
    if not splits or task not in PROMISED_POINTS:
        return
    points, by_group = PROMISED_POINTS[task]
    rows = of_type(joined(one.choose, one.judge), "float32")
    rows = replace(rows, groups=np.concatenate([one.choose_rows.unit, one.judge_rows.unit]))
    found = judging.promise(rows, points, splits, by_group=by_group)
    say(
        f"  promise of at most {points:g} points at 95%{' by recordings' if by_group else ''}: broken in {found.broken} of "
        f"{found.splits} random splits, nothing promised in {found.silent}; {found.saving_kept:.0%} of the saving without a "
        "promise is kept"
    )


if __name__ == "__main__":
    main()
