"""What choosing a network for every input saves: cascades beside the best single network, in float32 and int8.

    python -m benchmarks.selection --work DIR [--data TASKS] [--tasks image,sound,motion] [--seeds 0,1,2] [--minutes 360]

Trains the networks of each task and seed (what is trained is kept, and a training that was stopped goes on), lets them answer rows
that none was trained on, chooses policies by one part of these rows and judges them on the other. Prints for each way to choose:
accuracy against the best single network with its paired interval, predicted and measured mean time in turns with it, oracle,
ensemble and plain cascade beside it; then what random splits say of the promise. Image networks: CIFAR-10, 18,000 training images.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.selection import judging, members, turns
from benchmarks.selection.rows import Held, held, joined, of_type
from timemodel import TimeModel

PROMISED_POINTS = 1.0


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
    if options.only_train:
        return
    model = time_model(options.work, options.time_model)
    for task in tasks:
        known = {
            seed: found
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
            rows = of_type(one.judge, dtype)
            say(
                f"  {dtype}: not all agree on {judging.disagreement(rows):.0%} of the rows; {judging.rivals(one, dtype)}"
            )
    say(f"\n{task}, seeds {', '.join(map(str, known))}: policies against the best single network")
    for way in judging.WAYS:
        found = [judging.judge(way, one, task, seed) for seed, one in known.items()]
        for sentence in (one for one in found if isinstance(one, str)):
            say(f"  {sentence}")
        judged = [one for one in found if isinstance(one, judging.Judged)]
        if not judged:
            continue
        gap = judging.compared(judged)
        ratio = float(np.exp(np.mean([np.log(one.ratio) for one in judged])))
        accuracy = np.mean([one.rows.accuracy for one in judged])
        say(
            f"  {way.name:24s} against {way.against}: {accuracy:.2%}, {gap.points:+.2f} points [{gap.low:+.2f}, {gap.high:+.2f}], "
            f"{ratio:.2f} times less predicted time ({', '.join(f'{one.ratio:.2f}' for one in judged)})"
        )
        for one in judged:
            measured = end_to_end(work, way, known[one.seed], task, one.seed)
            stops = "/".join(f"{share:.0%}" for share in one.stop_shares)
            error = one.ms.mean() / measured.policy_ms - 1
            say(
                f"    seed {one.seed}: {one.chain} against {one.single}, stops {stops}; predicted {one.ms.mean():.4f} ms, "
                f"measured {measured.policy_ms:.4f} ({error:+.1%}); {measured.ratio:.2f} times less measured time"
            )


def end_to_end(work: Path, way: judging.Way, one: Held, task: str, seed: int) -> turns.Measured:
    """Measure the policy that was chosen by the rows of the first fold."""
    choose, rows, numbers = judging.folds(one, task)[0]
    single = judging.best_single(rows if task != "image" else choose, way.against)
    folder = members.folder_of(work, task, seed) / "policies" / way.name.replace(", ", "-").replace(" ", "-")
    pair = choose.networks[single], choose.paths[single]
    return turns.measure(judging.fit(way, choose), folder, one.judge_rows.x[numbers], pair)


def test_promise(task: str, one: Held, splits: int) -> None:
    """Print what random splits say of the promise."""
    if splits:
        rows = of_type(joined(one.choose, one.judge) if task == "image" else one.judge, "float32")
        found = judging.promise(rows, PROMISED_POINTS, splits)
        say(
            f"  promise of at most {PROMISED_POINTS:g} point at 95%: broken in {found.broken} of {found.splits} random "
            f"splits, nothing promised in {found.silent}; {found.saving_kept:.0%} of the saving without a promise is kept"
        )


if __name__ == "__main__":
    main()
