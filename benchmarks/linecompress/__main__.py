"""LineCompress beside other ways to store weights, on four networks, at equal accuracy and counting every byte.

    python -m benchmarks.linecompress WORK --data SHARED [--larger NET.tflite] [--only NAME …] [--skip training]
    python -m benchmarks.linecompress.speed                                  decoding and encoding beside zstd
    python -m benchmarks.linecompress.devices WORK --data SHARED             time and energy on accelerators

Operating points are chosen on training images (or on recordings of other speakers) and judged on test rows that nothing else
has seen. Each line of the results is kept in WORK, so that an interrupted run goes on. `--larger` is a CIFAR-10 network of one's
own, trained on (pixels - 127.5) / 64. Ratios are bytes of the float32 file over bytes of the packed one, all of it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.csv_files import write_csv
from benchmarks.linecompress.cases import Case, cases
from benchmarks.linecompress.rivals import MIXED, RIVALS, Judged, int4_to_train, integers
from compressor.weights.line_compress.container import read_lct
from compressor.weights.line_compress.finetuning import train
from compressor.weights.line_compress.job import Job
from compressor.weights.line_compress.judging import PackingRows
from compressor.weights.line_compress.packing import pack
from compressor.weights.line_compress.pricing import PriceSearch
from profiler.errors import BudgetError
from profiler.progress import silent

RESULTS = Path(__file__).parents[1] / "results"
ALLOWED_POINTS = 1.0
FIXED_RATIOS = (7.0, 7.4, 7.5)
TRAINED = ((7.5, 2.0), (9.0, 2.0), (10.5, 2.0))
"""Ratio and epochs of the trained points."""

TRAINED_INT4 = "int4 with error feedback, trained, 2 epochs"

GRID = (
    3.0,
    4.0,
    5.0,
    5.5,
    6.0,
    6.5,
    7.0,
    7.4,
    7.5,
    8.0,
    8.5,
    9.0,
    9.5,
    10.0,
    10.5,
    11.0,
    12.0,
    13.0,
    14.0,
    16.0,
)


class Log:
    """Lines of the results by network and method, each kept as soon as it is known."""

    def __init__(self, path: Path) -> None:
        self._path = path
        text = path.read_text() if path.exists() else ""
        self.rows: list[dict[str, Any]] = [json.loads(line) for line in text.splitlines()]

    def known(self, network: str, method: str) -> bool:
        """Whether it was judged already."""
        return any((row["network"], row["method"]) == (network, method) for row in self.rows)

    def add(self, case: Case, method: str, nbytes: float, content: bytes, job: Job, **more: Any) -> None:
        """Judge a network on the test rows and keep the line."""
        before, after = case.judge(case.content, "test"), case.judge(content, "test")
        chosen = case.judge(case.content, "choose")[0] - case.judge(content, "choose")[0]
        row = {
            "network": case.name,
            "method": method,
            "bytes": round(nbytes),
            "ratio": round(job.float32_bytes / nbytes, 3),
            "ratio_int8": round(job.float32_bytes / nbytes / 4, 3),
            "measure": case.measure,
            "float": round(before[0], 2),
            "score": round(after[0], 2),
            "loss_points": round(before[0] - after[0], 2),
            "loss_top5_points": round(before[1] - after[1], 2),
            "loss_choosing_points": round(chosen, 2),
            "rows": len(case.x_test),
            **more,
        }
        self.rows.append(row)
        with self._path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(
            f"{case.name:22} {method:40} {row['ratio']:6.2f}x {row['loss_points']:+7.2f} points (top-5 "
            f"{row['loss_top5_points']:+.2f}; where chosen {row['loss_choosing_points']:+.2f})",
            flush=True,
        )


def last_within(case: Case, count: int, network: Callable[[int], bytes]) -> int | None:
    """Of networks that lose more and more, the last within the loss on the rows to choose on; None where there is none."""
    least = case.judge(case.content, "choose")[0] - ALLOWED_POINTS - 1e-9
    low, high = -1, count
    while high - low > 1:
        middle = (low + high) // 2
        if case.judge(network(middle), "choose")[0] >= least:
            low = middle
        else:
            high = middle
    return None if low < 0 else low


def judge_ours(case: Case, log: Log, job: Job, prices: PriceSearch, coding: str) -> None:
    """Level ``dp`` at fixed ratios, and as small as the loss allows."""
    for ratio in FIXED_RATIOS:
        if not log.known(case.name, f"LineCompress dp, {coding}, {ratio:g}x"):
            packed = prices.search(ratio, None)
            log.add(case, f"LineCompress dp, {coding}, {ratio:g}x", len(packed.content), packed.tflite(), job)
    method = f"LineCompress dp, {coding}"
    if log.known(case.name, method):
        return
    made: dict[int, Any] = {}

    def network(number: int) -> bytes:
        made[number] = prices.search(GRID[number], None)
        return made[number].tflite()

    try:
        best = last_within(case, len(GRID), network)
    except BudgetError:
        return
    if best is not None:
        log.add(case, method, len(made[best].content), made[best].tflite(), job)


def judge_paper(case: Case, log: Log, job: Job) -> None:
    """Level ``paper``, which takes what tolerance the loss allows; where none does, its best."""
    from compressor.weights.line_compress.lines import paper_runs

    if log.known(case.name, "LineCompress as published"):
        return
    values = [job.tensors[number].read(job.content) for number in job.weights]
    shares = [0.0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05]
    made = {n: job.write([paper_runs(one, share) for one in values], {}) for n, share in enumerate(shares)}
    best = last_within(case, len(shares), lambda number: made[number].tflite())
    packed = made[best or 0]
    log.add(case, "LineCompress as published", len(packed.content), packed.tflite(), job)


def judge_rivals(case: Case, log: Log, judged: Judged) -> None:
    """Each rival as small as the loss allows; those of one setting as they are."""
    for method, (rival, settings) in RIVALS.items():
        if not log.known(case.name, method):
            judge_series(case, log, judged, method, [[rival, setting] for setting in settings])
    for method, rival in MIXED.items():
        if not log.known(case.name, method):
            judge_series(case, log, judged, method, judged.mixed(rival))


def judge_series(case: Case, log: Log, judged: Judged, method: str, series: Sequence[Any]) -> None:
    """The smallest network of a series within the loss, or its first."""

    def stored(number: int) -> list[Any]:
        one = series[number]
        return [one[0](tensor, one[1]) for tensor in judged.tensors] if callable(one[0]) else one

    best = last_within(case, len(series), lambda number: judged.network(stored(number))[0])
    content, nbytes = judged.network(stored(best or 0))
    log.add(case, method, nbytes, content, judged.job)


def judge_trained(case: Case, log: Log, job: Job, work: Path) -> None:
    """Level ``finetune``: on this network and these rows, with so many epochs."""
    source = work / f"{case.name}.tflite"
    source.write_bytes(case.content)
    for ratio, epochs in TRAINED:
        method = f"LineCompress finetune, entropy, {ratio:g}x, {epochs:g} epochs"
        if not log.known(case.name, method):
            lct = work / "trained.lct"
            found = pack(source, lct, "finetune", ratio=ratio, data=case.data, epochs=epochs)
            log.add(case, method, found.nbytes, read_lct(found.path), job)


def judge_trained_int4(case: Case, log: Log, judged: Judged) -> None:
    """Integers of 4 bits, trained as level ``finetune`` trains words, with as many epochs."""
    if log.known(case.name, TRAINED_INT4):
        return
    job = judged.job
    start = [int4_to_train(tensor) for tensor in judged.tensors]
    corrected = job.write(start, judged.means).corrected
    inputs = [case.x]
    lines, biases = train(job.content, corrected, job.tensors, start, inputs, 2.0, 0, silent)
    stored = [integers(tensor, 4.0) for tensor in judged.tensors]
    log.add(case, TRAINED_INT4, judged.network(stored)[1], job.write_with(biases, lines).tflite(), job)


def run(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Judge everything that is asked for; the lines of the results."""
    options.work.mkdir(parents=True, exist_ok=True)
    log = Log(options.work / "linecompress.jsonl")
    for name, read in cases(options.data, options.work, options.larger).items():
        if options.only and name not in options.only:
            continue
        case = read()
        source = options.work / f"{name}.tflite"
        source.write_bytes(case.content)
        job = Job.read(source, entropy=True)
        if "ours" not in options.skip or "rivals" not in options.skip:
            prices = PriceSearch(job, PackingRows.read(case.data, job), silent)
        if "ours" not in options.skip:
            fixed = Job.read(source, entropy=False)
            judge_ours(case, log, job, prices, "entropy")
            judge_ours(case, log, fixed, prices.recoded(fixed), "fixed")
        if "paper" not in options.skip:
            judge_paper(case, log, job)
        if "rivals" not in options.skip:
            judge_rivals(case, log, Judged(job, prices.tensors, prices.means))
        if "training" not in options.skip and not case.scored:
            judge_trained(case, log, job, options.work)
            if "rivals" not in options.skip:
                judge_trained_int4(case, log, Judged(job, prices.tensors, prices.means))
    return log.rows


def table(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """The results as lines: who is best first."""
    for network in dict.fromkeys(row["network"] for row in rows):
        mine = [row for row in rows if row["network"] == network]
        fair = [
            row
            for row in mine
            if row["loss_choosing_points"] <= ALLOWED_POINTS
            and "finetune" not in row["method"]
            and "trained" not in row["method"]
        ]
        fair = [row for row in fair if not row["method"].endswith("x")]
        fair.sort(key=lambda row: -row["ratio"])
        if fair:
            yield (
                f"{network}: smallest within {ALLOWED_POINTS:g} point where chosen is {fair[0]['method']} "
                f"({fair[0]['ratio']:.2f}x, test {-fair[0]['loss_points']:+.2f} points)"
            )
        for row in sorted(mine, key=lambda row: -row["ratio"]):
            yield (
                f"  {row['method']:48} {row['ratio']:6.2f}x ({row['ratio_int8']:.2f}x from int8) {row['measure']} "
                f"{row['float']:.2f} -> {row['score']:.2f} ({-row['loss_points']:+.2f}; top-5 {-row['loss_top5_points']:+.2f})"
            )
    ours = [row for row in rows if row["method"] in ("LineCompress dp, entropy", "LineCompress dp, fixed")]
    for coding in ("entropy", "fixed"):
        found = [row["ratio"] for row in ours if row["method"].endswith(coding)]
        if found:
            yield f"LineCompress dp, {coding}: {sum(found) / len(found):.2f}x on average of {len(found)} networks"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("work", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="the folder with models/ and tasks/")
    parser.add_argument("--larger", type=Path, help="a CIFAR-10 network of one's own")
    parser.add_argument("--only", nargs="*", default=[], help="names of networks")
    parser.add_argument("--skip", nargs="*", default=[], choices=["ours", "paper", "rivals", "training"])
    options = parser.parse_args()
    rows = run(options)
    for line in table(rows):
        print(line)
    write_csv(RESULTS / "linecompress.csv", rows)


if __name__ == "__main__":
    main()
