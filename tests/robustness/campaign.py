"""Many mutated files, read by child processes: what came of each, a crash and a hang included.

As a program: ``PYTHONPATH=.:tests python -m robustness.campaign FILES [SEEDS [KIND…]]``.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
LONGEST_S = 20.0
"""Of a file; on a machine with much else to do a child is given three times as long."""
MOST_MB = 1000.0

SHARES: Mapping[str, int] = {
    "tflite": 30, "timemodel": 8, "db": 10, "import": 8, "report": 15, "policy": 8, "policy_static": 3, "npz": 6, "csv": 6,
    "lct": 4, "keras_outside": 4, "keras": 2,
}  # fmt: skip
"""Of a hundred files how many are of each kind; such as need TensorFlow or compiled loops are slow."""
SLOW = ("lct", "keras")


def jobs(files: int, kinds: Sequence[str] = tuple(SHARES), first: int = 0) -> list[tuple[str, int]]:
    """Kind and number of each of `files` files, without the first ones."""
    whole = sum(SHARES[kind] for kind in kinds)
    return [
        (kind, number)
        for kind in kinds
        for number in range(first * SHARES[kind] // whole, files * SHARES[kind] // whole)
    ]


class _Worker:
    """A child process that answers one job at a time; started anew where it died or hung."""

    def __init__(self, seeds: Path, folder: Path) -> None:
        self._command = [
            sys.executable,
            "-c",
            "from robustness.worker import main; main()",
            str(seeds),
            str(folder),
        ]
        self._process: subprocess.Popen[str] | None = None
        self._known: set[str] = set()
        self._answers: queue.Queue[str] = queue.Queue()

    def answer(self, kind: str, number: int) -> dict[str, Any]:
        begin = time.monotonic()
        # The first file of a kind waits for imports, that of a child for its start.
        longest_s = (3 if kind in self._known and self._process is not None else 9) * LONGEST_S
        self._known.add(kind)
        process = self._started()
        assert process.stdin is not None
        try:
            process.stdin.write(f"{kind} {number}\n")
            process.stdin.flush()
            line, answered = self._answers.get(timeout=longest_s), True
        except queue.Empty:
            line, answered = "", False
        except BrokenPipeError:
            line, answered = "", True
        if line:
            found: dict[str, Any] = json.loads(line)
            if found["peak_mb"] > MOST_MB:
                self.stop()  # the next one's peak is its own
            return found
        ended = None
        if answered:  # its output ended: so has it, or will at once
            with contextlib.suppress(subprocess.TimeoutExpired):
                ended = process.wait(timeout=2)
        self.stop()
        what = "hang" if ended is None else "crash"
        seconds = time.monotonic() - begin
        return {
            "kind": kind,
            "number": number,
            "what": what,
            "text": f"status {ended}",
            "seconds": seconds,
            "peak_mb": 0.0,
        }

    def _started(self) -> subprocess.Popen[str]:
        if self._process is None:
            threads = dict.fromkeys(
                ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "OPENBLAS_NUM_THREADS"), "1"
            )
            paths = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "tests")])
            environment = {**os.environ, **threads, "PYTHONPATH": paths, "TF_CPP_MIN_LOG_LEVEL": "3"}
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                env=environment, cwd=REPOSITORY,
            )  # fmt: skip
            self._answers = queue.Queue()
            threading.Thread(target=_read, args=(self._process.stdout, self._answers), daemon=True).start()
        return self._process

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def _read(stream: Iterable[str], answers: queue.Queue[str]) -> None:
    for line in stream:
        answers.put(line)
    answers.put("")


def run(wanted: Sequence[tuple[str, int]], seeds: Path, workers: int = 1) -> list[dict[str, Any]]:
    """What came of every file, in no order."""
    waiting: queue.SimpleQueue[tuple[str, int]] = queue.SimpleQueue()
    for job in wanted:
        waiting.put(job)
    found: list[dict[str, Any]] = []

    def work(folder: Path) -> None:
        worker = _Worker(seeds, folder)
        try:
            while True:
                found.append(worker.answer(*waiting.get_nowait()))
        except queue.Empty:
            pass
        finally:
            worker.stop()

    with tempfile.TemporaryDirectory() as folder:
        threads = [threading.Thread(target=work, args=(Path(folder, str(i)),)) for i in range(workers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return found


def faults(found: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """What must not be: a traceback, a crash, a hang, a gigabyte."""
    return [
        one
        for one in found
        if one["what"] not in ("read", "refused") or one["seconds"] > LONGEST_S or one["peak_mb"] > MOST_MB
    ]


def counts(found: Sequence[Mapping[str, Any]]) -> str:
    """A line for each kind: how many files were read, refused, and so on."""
    lines = []
    for kind in sorted({one["kind"] for one in found}):
        of_kind = [one for one in found if one["kind"] == kind]
        number = ", ".join(
            f"{count} {what}" for what, count in sorted(Counter(one["what"] for one in of_kind).items())
        )
        longest, peak = max(one["seconds"] for one in of_kind), max(one["peak_mb"] for one in of_kind)
        lines.append(
            f"{kind}: {len(of_kind)} files, {number}; longest {longest:.1f} s, most memory {peak:.0f} MB"
        )
    return "\n".join(lines)


def main(files: int, seeds: Path | None, kinds: Sequence[str]) -> int:
    """Run, print counts and every fault; returns the exit status."""
    from robustness import seed_files

    with tempfile.TemporaryDirectory() as folder:
        if seeds is None:
            seeds = Path(folder)
            seed_files.make(seeds)
        found = run(jobs(files, kinds or tuple(SHARES)), seeds, workers=2)
    wrong = faults(found)
    for one in wrong:
        print(
            f"{one['kind']} {one['number']}: {one['what']}, {one['seconds']:.1f} s, {one['peak_mb']:.0f} MB\n{one['text']}\n"
        )
    print(counts(found))
    print(f"{len(found)} files, {len(wrong)} faults")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None, sys.argv[3:]))
